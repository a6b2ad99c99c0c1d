//! A client as the cluster sees it: a member of the group, or one that assigned itself its shards.

use super::requests::MemberTag;
use crate::kafka::GroupEvent;
use std::collections::VecDeque;

/// Where a client stands in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It wants to join, at its next contact.
    Out,
    /// It has joined and waits for its assignment.
    Joining,
    Member,
    /// It was told to give up its shards.
    Revoking,
    /// The same, but they are lost already.
    Lost,
}

pub(super) struct Client {
    /// Its name in the group; the process that is started after it has the same.
    pub instance: String,
    pub identity: usize,
    pub phase: Phase,
    /// Its number in the group, as far as it knows.
    pub member: Option<u64>,
    pub shards: Vec<u32>,
    /// As whom it commits offsets, with the newer protocol: that can change without a group event for the worker.
    pub tag: Option<MemberTag>,
    /// What its worker has not heard yet, with the membership that an assignment brings.
    pub events: VecDeque<(GroupEvent, Option<MemberTag>)>,
    pub is_dead: bool,
    /// The process is stopped, as by SIGSTOP.
    pub is_stopped: bool,
    /// It reaches nobody.
    pub is_cut: bool,
    /// Somebody else has its name.
    pub is_fenced: bool,
    pub silent_since: Option<i64>,
    /// Milliseconds by which its wall clock is ahead of the cluster's.
    pub skew: i64,
}

impl Client {
    pub fn new(instance: &str, identity: usize) -> Self {
        Self {
            instance: instance.to_owned(),
            identity,
            phase: Phase::Out,
            member: None,
            shards: Vec::new(),
            tag: None,
            events: VecDeque::new(),
            is_dead: false,
            is_stopped: false,
            is_cut: false,
            is_fenced: false,
            silent_since: None,
            skew: 0,
        }
    }

    pub fn responds(&self) -> bool {
        !self.is_dead && !self.is_stopped && !self.is_cut
    }
}
