//! The consumer group under the classic protocol.
//!
//! The protocol is eager: at a rebalance every member gives up all its shards and joins again. When the last one has,
//! the generation increases and each member gets a range of shards. A member that is restarted within its session takes
//! over name and shards of the one before, without a rebalance.

use super::client::Phase;
use super::faults::Fault;
use super::members::Member;
use super::requests::MemberTag;
use super::shared::{Event, SESSION_TIMEOUT_MS, Shared};
use crate::kafka::GroupEvent;

/// Maximum time to the next heartbeat.
const HEARTBEAT_MS_MAX: u64 = 300;
/// Maximum time until a member that comes back learns of its loss. Until then it goes on.
const RETURN_MS_MAX: u64 = 1_000;

impl Shared {
    /// A client of the group contacts its coordinator, and acts on the answer.
    pub(super) fn contact(&mut self, client: usize) {
        if !self.clients[client].responds() || self.clients[client].is_fenced {
            return;
        }
        if self.group.is_incremental {
            return self.heartbeat(client);
        }
        let own = self.clients[client].member;
        let known = self.group.members.get(&self.clients[client].instance).map(|member| member.number);
        let phase = self.clients[client].phase;
        match (own, known) {
            (Some(own), Some(known)) if own != known => self.fence_instance(client),
            (Some(_), None) if phase == Phase::Out => self.join(client),
            (Some(_), None) => self.learn_loss(client),
            _ => match phase {
                Phase::Out => self.join(client),
                Phase::Joining if !self.group.is_rebalancing => self.sync(client),
                Phase::Member if self.group.is_rebalancing => self.revoke(client),
                _ => {}
            },
        }
    }

    pub(super) fn contact_soon(&mut self, client: usize) {
        let delay = self.faults.below(HEARTBEAT_MS_MAX) as i64;
        self.later(delay, Event::Contact(client));
    }

    fn fence_instance(&mut self, client: usize) {
        self.note(|| format!("   client {client} is fenced: another client has its name"));
        self.count(Fault::InstanceFenced);
        self.clients[client].is_fenced = true;
        self.version += 1;
    }

    /// The client learns that it is no longer a member.
    pub(super) fn learn_loss(&mut self, client: usize) {
        self.note(|| format!("   client {client} learns that it is no longer a member"));
        self.count(Fault::MemberReturned);
        self.version += 1;
        let this = &mut self.clients[client];
        this.member = None;
        this.tag = None;
        if this.shards.is_empty() {
            this.phase = Phase::Out;
            self.contact_soon(client);
            return;
        }
        let is_reported = matches!(this.phase, Phase::Revoking | Phase::Lost);
        this.phase = Phase::Lost;
        if !is_reported {
            let shards = this.shards.clone();
            this.events.push_back((GroupEvent::Revoked { shards, lost: true }, None));
        } else if let Some((GroupEvent::Revoked { lost, .. }, _)) = this.events.back_mut() {
            *lost = true;
        }
    }

    fn revoke(&mut self, client: usize) {
        let this = &mut self.clients[client];
        this.phase = Phase::Revoking;
        let shards = this.shards.clone();
        self.note(|| format!("   client {client} has to release {shards:?}"));
        if shards.is_empty() {
            self.clients[client].phase = Phase::Out;
            return self.join(client);
        }
        self.clients[client].events.push_back((GroupEvent::Revoked { shards, lost: false }, None));
        self.version += 1;
    }

    /// A worker has released shards.
    pub(super) fn released(&mut self, client: usize, shards: &[u32]) {
        let this = &mut self.clients[client];
        this.shards.retain(|shard| !shards.contains(shard));
        let is_done = matches!(this.phase, Phase::Lost | Phase::Revoking) && this.shards.is_empty();
        if is_done || self.group.is_incremental && this.phase == Phase::Revoking {
            this.phase = if this.member.is_some() && self.group.is_incremental { Phase::Member } else { Phase::Out };
            let delay = self.faults.below(20) as i64;
            self.later(delay, Event::Contact(client));
        }
    }

    fn join(&mut self, client: usize) {
        let instance = self.clients[client].instance.clone();
        self.clients[client].phase = Phase::Joining;
        let number = self.group.number_for();
        let Some(member) = self.group.members.get_mut(&instance) else {
            let member = Member { number, client, has_joined: true, shards: Vec::new(), target: Vec::new(), epoch: 0 };
            self.group.members.insert(instance, member);
            self.clients[client].member = Some(number);
            self.note(|| format!("   client {client} joins"));
            return self.rebalance();
        };
        member.has_joined = true;
        if self.clients[client].member != Some(member.number) {
            member.number = number;
            let replaced = std::mem::replace(&mut member.client, client);
            self.clients[client].member = Some(number);
            self.note(|| format!("   client {client} replaces client {replaced}"));
            // If the replaced client still runs, it learns of that with its next heartbeat.
            self.contact_soon(replaced);
            if !self.group.is_rebalancing {
                self.count(Fault::MemberReplaced);
                return self.sync(client);
            }
        }
        self.complete_rebalance();
    }

    fn rebalance(&mut self) {
        if !self.group.is_rebalancing {
            self.group.is_rebalancing = true;
            self.count(Fault::Rebalance);
            let clients: Vec<usize> = self.group.members.values().map(|member| member.client).collect();
            for member in self.group.members.values_mut() {
                // Who is waiting for its assignment has joined already.
                member.has_joined = self.clients[member.client].phase == Phase::Joining;
            }
            clients.into_iter().for_each(|client| self.contact_soon(client));
        }
        self.complete_rebalance();
    }

    /// When all members have joined: the next generation, with a range of shards for each.
    fn complete_rebalance(&mut self) {
        if !self.group.is_rebalancing || !self.group.members.values().all(|member| member.has_joined) {
            return;
        }
        self.group.is_rebalancing = false;
        self.group.generation += 1;
        let (count, shards) = (self.group.members.len() as u32, self.shards);
        for (index, member) in (0..).zip(self.group.members.values_mut()) {
            member.shards = (shards * index / count..shards * (index + 1) / count).collect();
        }
        let generation = self.group.generation;
        self.note(|| format!("   generation {generation}, {count} members"));
        let clients: Vec<usize> = self.group.members.values().map(|member| member.client).collect();
        clients.into_iter().for_each(|client| self.contact_soon(client));
    }

    /// A member receives its assignment.
    fn sync(&mut self, client: usize) {
        let this = &mut self.clients[client];
        let Some(member) = self.group.members.get(&this.instance) else { return };
        this.phase = Phase::Member;
        this.shards = member.shards.clone();
        let tag =
            MemberTag { instance: this.instance.clone(), member: member.number, generation: self.group.generation };
        this.events.push_back((GroupEvent::Assigned(member.shards.clone()), Some(tag)));
        let shards = member.shards.clone();
        self.note(|| format!("   client {client} is assigned {shards:?}"));
        self.version += 1;
    }

    /// A client sends no more heartbeats.
    pub(super) fn begin_silence(&mut self, client: usize) {
        let since = self.clock();
        self.clients[client].silent_since = Some(since);
        self.later(SESSION_TIMEOUT_MS, Event::Silence { client, since });
    }

    /// A client sends heartbeats again.
    pub(super) fn end_silence(&mut self, client: usize) {
        if self.clients[client].responds() {
            self.clients[client].silent_since = None;
            let delay = self.faults.below(RETURN_MS_MAX) as i64;
            self.later(delay, Event::Contact(client));
        }
    }

    pub(super) fn lose_if_silent(&mut self, client: usize, since: i64) {
        if self.clients[client].silent_since != Some(since) {
            return;
        }
        let instance = &self.clients[client].instance;
        if self.group.members.get(instance).is_some_and(|member| member.client == client) {
            self.group.members.remove(instance);
            self.note(|| format!("   client {client} is no longer a member"));
            self.count(Fault::MemberLost);
            self.close_connections(self.clients[client].identities);
            if self.group.members.is_empty() {
                self.group.is_rebalancing = false;
            } else if self.group.is_incremental {
                self.set_targets();
            } else {
                self.rebalance();
            }
        }
    }
}
