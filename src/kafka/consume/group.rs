//! The member of the group. It learns which shards the worker owns and proves it for transactions; it fetches nothing.
//!
//! A control thread polls the group's consumer. The worker never waits for that thread.
//!
//! *The proof of membership.* A transaction carries the member's id and its generation (classic protocol) or epoch
//! (consumer protocol), and the broker refuses the transaction's offsets if they are not the current ones. The proof is
//! requested from the client for each transaction: under the consumer protocol an epoch changes whenever any member
//! joins or leaves, and a member that keeps its shards is not notified. A worker that has lost its shards must not use
//! the proof of a later membership for them. So there is no proof from the moment a loss is reported until the worker
//! has released its shards. Losses are reported before the client joins again: if nothing was lost by the time the
//! proof has been made, it belongs to an unbroken membership. A process that was stopped uses an old proof, which the
//! broker refuses.

use super::membership::{GroupConsumer, GroupContext, Membership};
use crate::kafka::client::{Logging, Process, consumer_config, make, member_rack, members_seen, stop};
use crate::kafka::error_class;
use crate::kafka::inbox::Inbox;
use crate::kafka::raw::admin::has_generation;
use crate::kafka::{Failure, GroupEvent, GroupProtocol, KafkaSettings};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CONTROL_POLL: Duration = Duration::from_millis(100);
/// Under the protocol `consumer` a static member that did not leave the group (kill -9) keeps its name until its
/// session expires. The broker may be configured for up to a minute (group.consumer.max.session.timeout.ms).
const NAME_WAIT: Duration = Duration::from_secs(75);
/// From a member's first epoch until the assignment that came with it has been reported.
const ASSIGNMENT_WAIT: Duration = Duration::from_secs(1);
const JOIN_INTERVAL: Duration = Duration::from_secs(1);
/// How long the group is asked who has taken one's own name: it does not say while it changes.
const OTHER_WAIT: Duration = Duration::from_secs(10);
const OTHER_REQUEST_WAIT: Duration = Duration::from_secs(3);
const OTHER_INTERVAL: Duration = Duration::from_millis(200);

/// A worker's membership in the group.
pub struct GroupMember {
    membership: Arc<Membership>,
    control: Option<JoinHandle<()>>,
}

impl GroupMember {
    pub fn join(
        settings: &KafkaSettings,
        member: &str,
        client: &Arc<BaseConsumer<Logging>>,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, Failure> {
        let membership = Arc::new(Membership::new(&settings.inputs, inbox));
        let rack = member_rack();
        let control = Control {
            settings: settings.clone(),
            member: member.to_owned(),
            config: member_config(settings, member, &rack),
            rack,
            client: Arc::clone(client),
            membership: Arc::clone(&membership),
        };
        // Joins here the first time, so that wrong settings are reported at once.
        let consumer = control.join()?;
        let thread = std::thread::Builder::new().name("kafka-control".into()).spawn(move || control.run(consumer));
        Ok(Self { membership, control: Some(thread.map_err(stop("the control thread cannot be started"))?) })
    }

    /// Proof of membership for a transaction.
    pub fn proof(&self) -> Result<ConsumerGroupMetadata, Failure> {
        let consumer = self.membership.consumer().clone();
        let proof = consumer.and_then(|consumer| consumer.group_metadata());
        // Checked afterwards: if nothing is lost by now, nothing was when the proof was made.
        if self.membership.state().is_broken {
            return Err(Failure::Rebuild("the group has revoked shards of this worker".into()));
        }
        proof.ok_or_else(|| Failure::Rebuild("this worker is not a member of the group".into()))
    }

    /// Whether the group has accepted this member since it started. Under the protocol `consumer` a member without
    /// shards is not notified; it has an epoch, and after a moment without an assignment it has none.
    pub fn has_joined(&self) -> bool {
        if self.membership.state().has_joined {
            return true;
        }
        let consumer = self.membership.consumer().clone();
        let incremental =
            consumer.filter(|consumer| matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative));
        let has_epoch = incremental.is_some_and(|consumer| has_generation(consumer.client()));
        let mut state = self.membership.state();
        if has_epoch {
            let since = *state.epoch_since.get_or_insert_with(Instant::now);
            state.has_joined |= since.elapsed() >= ASSIGNMENT_WAIT;
        }
        state.has_joined
    }

    /// The worker has given up these shards.
    pub fn release(&self, shards: &[u32]) {
        self.membership.release(shards);
    }

    /// Why the group has not accepted this member, or not again; `None` if it has, or if that is not known.
    pub fn waits_for(&self) -> Option<String> {
        self.membership.state().waits_for.clone()
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.membership.leave();
        if let Some(control) = self.control.take() {
            control.thread().unpark();
            let _ = control.join();
        }
    }
}

/// The control thread's side.
struct Control {
    settings: KafkaSettings,
    member: String,
    config: ClientConfig,
    /// Of all members that this one has been: a member of this name with another one belongs to another process.
    rack: String,
    /// Asks the group for its members.
    client: Arc<BaseConsumer<Logging>>,
    membership: Arc<Membership>,
}

/// Why the control thread ends a consumer.
enum End {
    Leaving,
    /// The name belongs to a member whose session has not expired.
    NameTaken(String),
    /// The name belongs to a member that joined later.
    Fenced(String),
    /// The client cannot go on; a new one can.
    Broken(String),
    Failed(Failure),
}

impl Control {
    fn join(&self) -> Result<Arc<GroupConsumer>, Failure> {
        let context = GroupContext(Arc::clone(&self.membership));
        let consumer: Arc<GroupConsumer> =
            make(&self.settings, &self.config, context, "the Kafka consumer of the group")?;
        let topics: Vec<&str> = self.settings.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(stop("subscribing to the inputs"))?;
        *self.membership.consumer() = Some(Arc::clone(&consumer));
        Ok(consumer)
    }

    fn run(self, mut consumer: Arc<GroupConsumer>) {
        let mut taken_since: Option<Instant> = None;
        let failure = loop {
            let joined = Instant::now();
            let end = self.serve(&consumer);
            *self.membership.consumer() = None;
            drop(consumer);
            match end {
                End::Leaving => return,
                End::Failed(failure) => break failure,
                End::NameTaken(message) => {
                    if joined.elapsed() > NAME_WAIT {
                        taken_since = None;
                    }
                    if let Some(stop) = self.wait_for_name(&message, &mut taken_since) {
                        break stop;
                    }
                }
                End::Fenced(message) => {
                    if let Some(other) = self.other_process() {
                        break error_class::duplicate_instance(&message, &other);
                    }
                    // After a broker has failed, a request to join may have been received twice: then this member
                    // fenced itself.
                    let shards = self.lose_shards();
                    tracing::warn!(
                        target: "kafka",
                        ?shards,
                        error = message,
                        "this member's name was taken, and no other process has it: its shards are lost, and it joins again"
                    );
                }
                End::Broken(message) => {
                    self.membership.state().waits_for = Some(message.clone());
                    let shards = self.lose_shards();
                    tracing::warn!(
                        target: "kafka",
                        ?shards,
                        error = message,
                        "the member of the group failed: its shards are lost, and it joins again"
                    );
                    std::thread::park_timeout(JOIN_INTERVAL);
                }
            }
            consumer = match self.join() {
                Ok(consumer) => consumer,
                Err(failure) => break failure,
            };
        };
        self.membership.lose_all();
        self.membership.inbox.push(Err(failure));
    }

    /// Polls the consumer until its membership ends.
    fn serve(&self, consumer: &GroupConsumer) -> End {
        while !self.membership.state().is_leaving {
            let Some(Err(error)) = consumer.poll(CONTROL_POLL) else { continue };
            let fatal = consumer.client().fatal_error();
            let is_fatal = fatal.is_some();
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let (code, message) = fatal.unwrap_or_else(|| (code, error.to_string()));
            let message = format!("member {} of the group: {message}", self.member);
            match code {
                RDKafkaErrorCode::UnreleasedInstanceId => return End::NameTaken(message),
                RDKafkaErrorCode::FencedInstanceId => return End::Fenced(message),
                _ => {}
            }
            let has_joined = self.membership.state().has_joined;
            match error_class::classify_group(code, message.clone(), has_joined) {
                Err(failure) => return End::Failed(failure),
                Ok(()) if is_fatal => return End::Broken(message),
                Ok(()) => {}
            }
        }
        End::Leaving
    }

    /// Waits before the next attempt to join under a name that is taken (protocol `consumer`). Returns a failure if the
    /// broker has seen another member under it for so long that no session lasts: it belongs to another process.
    fn wait_for_name(&self, message: &str, since: &mut Option<Instant>) -> Option<Failure> {
        let begun = *since.get_or_insert_with(|| {
            tracing::info!(
                target: "kafka",
                member = self.member,
                seconds_max = NAME_WAIT.as_secs(),
                "an earlier member of this name is still in the group; waiting until its session expires"
            );
            self.membership.state().waits_for =
                Some("an earlier member of this name is in the group until its session expires".into());
            Instant::now()
        });
        if begun.elapsed() > NAME_WAIT {
            return Some(error_class::duplicate_instance(message, &"a member that does not go"));
        }
        std::thread::park_timeout(JOIN_INTERVAL);
        None
    }

    /// The other process whose member has this member's name; `None` if there is none, or if the group does not say.
    fn other_process(&self) -> Option<String> {
        let deadline = Instant::now() + OTHER_WAIT;
        while Instant::now() < deadline && !self.membership.state().is_leaving {
            if let Ok(seen) = members_seen(&self.client, &self.settings.group, OTHER_REQUEST_WAIT) {
                let holder = seen.into_iter().find(|member| member.name == self.member)?;
                if let Some(rack) = holder.rack {
                    let other = Process::of(&rack).filter(|_| rack != self.rack);
                    return other.map(|process| process.to_string());
                }
            }
            std::thread::park_timeout(OTHER_INTERVAL);
        }
        None
    }

    /// There is no member any more: reports the shards that it had as lost.
    fn lose_shards(&self) -> Vec<u32> {
        let shards = self.membership.lose_all();
        if !shards.is_empty() {
            self.membership.inbox.push(Ok(GroupEvent::Revoked { shards: shards.clone(), lost: true }));
        }
        shards
    }
}

fn member_config(settings: &KafkaSettings, member: &str, rack: &str) -> ClientConfig {
    let mut config = consumer_config(settings);
    config.set("group.id", &settings.group).set("group.instance.id", member);
    match settings.group_protocol {
        // `range` assigns equal partition numbers of all inputs to one member. A member learns of a rebalance with its
        // next heartbeat, so a takeover waits for that too.
        GroupProtocol::Classic => config
            .set("partition.assignment.strategy", "range")
            .set("client.rack", rack)
            .set("session.timeout.ms", settings.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (settings.session_timeout_ms / 10).min(1_000).to_string()),
        // Session time-out and heartbeats are the broker's, and librdkafka refuses them here.
        GroupProtocol::Consumer => config.set("group.protocol", "consumer").set("group.remote.assignor", "range"),
    };
    config
}
