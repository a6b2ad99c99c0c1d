//! The consumer group under the protocol of KIP-848: shards move one by one.
//!
//! The coordinator has a target for each member. A member releases the shards that are not in its target and keeps the
//! others; a shard that no member has any more is assigned to the member whose target contains it. A name can be taken
//! over only after its holder has left.

use super::client::Phase;
use super::faults::Fault;
use super::members::Member;
use super::requests::MemberTag;
use super::shared::Shared;
use crate::kafka::GroupEvent;

impl Shared {
    /// A heartbeat reports the member's shards; the answer is what it has to do.
    pub(super) fn heartbeat(&mut self, client: usize) {
        let (own, phase) = (self.clients[client].member, self.clients[client].phase);
        let known = self.group.members.get(&self.clients[client].instance).map(|member| member.number);
        match (own, known) {
            (Some(own), Some(known)) if own == known => self.reconcile(client),
            // Another member of its name is still in the group: it has to wait.
            (_, Some(_)) if phase == Phase::Out => self.contact_soon(client),
            (_, None) if phase == Phase::Out => self.join_incrementally(client),
            _ => self.learn_loss(client),
        }
    }

    fn join_incrementally(&mut self, client: usize) {
        let number = self.group.number_for();
        let instance = self.clients[client].instance.clone();
        let member = Member { number, client, has_joined: true, shards: Vec::new(), target: Vec::new(), epoch: 0 };
        self.group.members.insert(instance, member);
        self.clients[client].member = Some(number);
        self.clients[client].phase = Phase::Member;
        self.note(|| format!("   client {client} joins"));
        self.set_targets();
    }

    /// Sets the targets of all members after a change of membership.
    pub(super) fn set_targets(&mut self) {
        self.count(Fault::Rebalance);
        self.group.generation += 1;
        let (count, shards) = (self.group.members.len() as u32, self.shards);
        for (index, member) in (0..).zip(self.group.members.values_mut()) {
            member.target = (shards * index / count..shards * (index + 1) / count).collect();
        }
        let clients: Vec<usize> = self.group.members.values().map(|member| member.client).collect();
        clients.into_iter().for_each(|client| self.contact_soon(client));
    }

    fn reconcile(&mut self, client: usize) {
        let this = &mut self.clients[client];
        let Some(member) = self.group.members.get_mut(&this.instance) else { return };
        member.shards.clone_from(&this.shards);
        if matches!(this.phase, Phase::Revoking | Phase::Lost) {
            return;
        }
        let target = member.target.clone();
        let given_up: Vec<u32> = this.shards.iter().copied().filter(|shard| !target.contains(shard)).collect();
        if !given_up.is_empty() {
            this.phase = Phase::Revoking;
            this.events.push_back((GroupEvent::Revoked { shards: given_up.clone(), lost: false }, None));
            self.version += 1;
            return self.note(|| format!("   client {client} has to release {given_up:?}"));
        }
        self.assign(client, &target);
    }

    /// Assigns the shards of a member's target that no other member has any more.
    fn assign(&mut self, client: usize, target: &[u32]) {
        let is_taken = |shard: &u32| self.group.members.values().any(|member| member.shards.contains(shard));
        let given: Vec<u32> = target.iter().copied().filter(|shard| !is_taken(shard)).collect();
        let generation = self.group.generation;
        let this = &mut self.clients[client];
        let Some(member) = self.group.members.get_mut(&this.instance) else { return };
        member.epoch = generation;
        this.tag = Some(MemberTag { instance: this.instance.clone(), member: member.number, generation });
        this.shards.extend(&given);
        member.shards.clone_from(&this.shards);
        let is_complete = target.iter().all(|shard| this.shards.contains(shard));
        if !given.is_empty() {
            this.events.push_back((GroupEvent::Assigned(given.clone()), this.tag.clone()));
            self.version += 1;
            self.note(|| format!("   client {client} is assigned {given:?}"));
        }
        if !is_complete {
            self.contact_soon(client);
        }
    }
}
