//! A client as the cluster sees it: a member of the group, or one with shards that it assigned to itself.

use super::requests::MemberTag;
use crate::kafka::GroupEvent;
use std::collections::VecDeque;

/// A client's phase in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It will join at its next contact.
    Out,
    /// It has joined and waits for its assignment.
    Joining,
    Member,
    /// It has to release shards.
    Revoking,
    /// It has to release shards that it has lost already.
    Lost,
}

pub(super) struct Client {
    /// Its name in the group; a process that is started later in its stead has the same.
    pub instance: String,
    /// The transactional identities of the producers that its worker uses in turn.
    pub identities: [usize; 2],
    pub phase: Phase,
    /// Its number in the group, as far as it knows.
    pub member: Option<u64>,
    pub shards: Vec<u32>,
    /// The membership with which it commits offsets under the newer protocol. It can change without a group event.
    pub tag: Option<MemberTag>,
    /// Group events that its worker has not polled yet; assignments with the membership that came with them.
    pub events: VecDeque<(GroupEvent, Option<MemberTag>)>,
    pub is_dead: bool,
    /// The process is stopped, as by SIGSTOP.
    pub is_stopped: bool,
    /// It cannot reach any broker.
    pub is_cut: bool,
    /// Another client has its name.
    pub is_fenced: bool,
    pub silent_since: Option<i64>,
    /// Milliseconds by which its wall clock is ahead of the cluster's.
    pub skew: i64,
}

impl Client {
    pub fn new(instance: &str, identities: [usize; 2]) -> Self {
        Self {
            instance: instance.to_owned(),
            identities,
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
