//! The state of the consumer group: members with names that outlive them, generations, and shards.

use super::requests::MemberTag;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Group {
    pub generation: u32,
    pub members: BTreeMap<String, Member>,
    /// The protocol of KIP-848, see `incremental`.
    pub is_incremental: bool,
    pub is_rebalancing: bool,
    members_made: u64,
}

pub(super) struct Member {
    pub number: u64,
    pub client: usize,
    pub has_joined: bool,
    pub shards: Vec<u32>,
    /// Under the protocol of KIP-848 the shards that it should have, and the generation that it has reached.
    pub target: Vec<u32>,
    pub epoch: u32,
}

impl Group {
    /// Whether offsets may be committed as this member.
    pub fn check(&self, tag: &MemberTag) -> Result<(), String> {
        let MemberTag { instance, member, generation } = tag;
        match self.members.get(instance) {
            None => Err(format!("`{instance}` is not a member")),
            Some(known) if known.number != *member => Err(format!("`{instance}` has been replaced")),
            Some(known) if self.is_incremental && *generation == known.epoch => Ok(()),
            Some(_) if self.is_incremental || *generation != self.generation => {
                Err(format!("generation {generation} has ended, the current one is {}", self.generation))
            }
            Some(_) => Ok(()),
        }
    }

    pub fn number_for(&mut self) -> u64 {
        self.members_made += 1;
        self.members_made
    }
}
