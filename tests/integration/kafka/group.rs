//! Members of the group under both protocols: assignments, revocations, and that a member which lost its shards cannot
//! publish.

use super::bare::{at, group_event, joined, position, produced, settings, take, to, until};
use crate::support::{self, Broker};
use rdkafka::consumer::{BaseConsumer, Consumer};
use shoal::kafka::{Failure, GroupEvent, GroupProtocol, KafkaLog, KafkaSettings, Log, Own, Topic, Transaction};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BOTH: [(GroupProtocol, &str); 2] = [(GroupProtocol::Classic, "classic"), (GroupProtocol::Consumer, "consumer")];

fn group_settings(broker: &Broker, test: &str, protocol: (GroupProtocol, &str), inputs: &[&str]) -> KafkaSettings {
    let settings = settings(broker, &format!("{test}-{}", protocol.1), inputs);
    KafkaSettings { group_protocol: protocol.0, session_timeout_ms: 6_000, ..settings }
}

/// A member of the group that only handles group events.
struct Member {
    log: KafkaLog,
    shards: BTreeSet<u32>,
    events: Vec<GroupEvent>,
}

impl Member {
    fn join(settings: &KafkaSettings, worker: usize) -> Self {
        Self { log: KafkaLog::join(settings, worker).unwrap(), shards: BTreeSet::new(), events: Vec::new() }
    }

    fn follow(&mut self) {
        let event = self.log.poll(Duration::from_millis(20)).unwrap();
        match &event {
            GroupEvent::None => return,
            GroupEvent::Assigned(shards) => self.shards.extend(shards),
            GroupEvent::Revoked { shards, .. } => {
                self.shards.retain(|shard| !shards.contains(shard));
                self.log.release(shards);
            }
        }
        self.events.push(event);
    }
}

fn until_shared(members: &mut [Member], shares: &[usize]) {
    until("a balanced group", || {
        members.iter_mut().for_each(Member::follow);
        members.iter().map(|member| member.shards.len()).eq(shares.iter().copied()).then_some(())
    });
}

fn one(value: &str, offset: i64) -> Transaction<'_> {
    Transaction { records: vec![to(Own::Changes, 0, value)], offsets: vec![at(0, 0, offset)], headers: vec![] }
}

fn changes(broker: &Broker, settings: &KafkaSettings) -> Vec<String> {
    let records = broker.read_committed(&settings.topics.changes);
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

#[test]
fn a_member_that_is_fenced_joins_again_and_of_twins_one_stops() {
    let Some(broker) = support::broker() else { return };
    let settings = group_settings(broker, "group-fenced", BOTH[0], &["a"]);
    let mut first = Member::join(&settings, 0);
    until_shared(std::slice::from_mut(&mut first), &[2]);
    // A member of the same process joins under the same name, as after a request to join that was received twice.
    let asks: BaseConsumer = broker.client().create().unwrap();
    let rack = until("a member that says whose it is", || {
        let list = asks.fetch_group_list(Some(&settings.group), Duration::from_secs(30)).ok()?;
        let metadata = String::from_utf8_lossy(list.groups().first()?.members().first()?.metadata()?).into_owned();
        metadata.rfind("shoal-process@").map(|at| metadata[at..].to_owned())
    });
    let mut config = broker.client();
    config.set("group.id", &settings.group).set("group.instance.id", format!("{}-0", settings.instance));
    let visitor: BaseConsumer =
        config.set("client.rack", rack).set("partition.assignment.strategy", "range").create().unwrap();
    visitor.subscribe(&[settings.inputs[0].as_str()]).unwrap();
    until("shards that are lost", || {
        let _ = visitor.poll(Duration::from_millis(20));
        first.follow();
        first.shards.is_empty().then_some(())
    });
    assert!(
        first.events.iter().any(|event| matches!(event, GroupEvent::Revoked { lost: true, .. })),
        "{:?}",
        first.events
    );
    drop(visitor);
    until_shared(std::slice::from_mut(&mut first), &[2]);

    let mut twins = [first.log, KafkaLog::join(&settings, 0).unwrap()];
    let message = until("a twin that stops", || {
        twins.iter_mut().find_map(|twin| match twin.poll(Duration::from_millis(20)) {
            Err(Failure::Stop(message)) => Some(message),
            Ok(GroupEvent::Revoked { shards, .. }) => {
                twin.release(&shards);
                None
            }
            _ => None,
        })
    });
    assert!(message.contains("same `instance`"), "{message}");
}

#[test]
fn a_second_worker_takes_over_half_and_nothing_is_lost_meanwhile() {
    let Some(broker) = support::broker() else { return };
    for protocol in BOTH {
        let settings = group_settings(broker, "group-two", protocol, &["a", "b"]);
        let mut first = joined(&settings);
        first.start(&[position(0, 0, 0), position(0, 1, 0)]).unwrap();
        first.publish(&one("alone", 5)).unwrap();
        let mut second = KafkaLog::join(&settings, 1).unwrap();
        let GroupEvent::Revoked { shards, lost: false } = group_event(&mut first) else { panic!("shards are revoked") };
        assert!(shards.contains(&1), "{shards:?}");
        // The shards are owned until they are released: the last transaction succeeds, and the other member waits.
        assert_eq!(second.poll(Duration::from_millis(100)).unwrap(), GroupEvent::None);
        first.publish(&one("last before release", 7)).unwrap();
        first.release(&shards);
        if shards.contains(&0) {
            assert_eq!(group_event(&mut first), GroupEvent::Assigned(vec![0]));
        }
        assert_eq!(group_event(&mut second), GroupEvent::Assigned(vec![1]));
        assert_eq!(second.committed(&[0]).unwrap(), [at(0, 0, 7)]);
        second.fence().unwrap();
        second.start(&[position(0, 1, 0)]).unwrap();
        broker.produce(&settings.inputs[0], [produced(1, "for the second")]);
        let taken = until("a record", || take(&mut second, Topic::Input(0), 1).pop());
        assert_eq!(taken.3, "for the second");
        first.publish(&one("kept", 8)).unwrap();
        assert_eq!(changes(broker, &settings), ["alone", "last before release", "kept"]);
    }
}

#[test]
fn a_live_member_publishes_while_others_come_and_go() {
    let Some(broker) = support::broker() else { return };
    for protocol in BOTH {
        let settings = group_settings(broker, "group-honest", protocol, &["in"]);
        let mut first = joined(&settings);
        let (mut published, mut is_owner) = (0, true);
        for other in 1..=2 {
            let (has_shards, stop) = (AtomicBool::new(false), AtomicBool::new(false));
            let settings = &settings;
            std::thread::scope(|scope| {
                let _stop = StopAtEnd(&stop);
                scope.spawn(|| {
                    let mut other = Member::join(settings, other);
                    while !stop.load(Ordering::Relaxed) {
                        other.follow();
                        has_shards.fetch_or(!other.shards.is_empty(), Ordering::Relaxed);
                    }
                });
                // The first member joins and dies; after its session has expired, the second one gets its share.
                until("shards of the other member", || {
                    match first.poll(Duration::from_millis(5)).unwrap() {
                        GroupEvent::Revoked { shards, lost: false } => {
                            is_owner &= !shards.contains(&0);
                            first.release(&shards);
                        }
                        GroupEvent::Revoked { .. } => panic!("shards were lost"),
                        GroupEvent::Assigned(shards) => is_owner |= shards.contains(&0),
                        GroupEvent::None => {}
                    }
                    if is_owner {
                        first.publish(&one("x", published)).unwrap();
                        published += 1;
                    }
                    has_shards.load(Ordering::Relaxed).then_some(())
                });
            });
        }
        assert_eq!(changes(broker, &settings).len() as i64, published, "{protocol:?}");
    }
}

/// Ends a thread in any case when the test ends.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_static_member_that_comes_back_moves_nothing() {
    let Some(broker) = support::broker() else { return };
    for protocol in BOTH {
        let settings = group_settings(broker, "group-static", protocol, &["in"]);
        let mut members = vec![Member::join(&settings, 0), Member::join(&settings, 1)];
        until_shared(&mut members, &[1, 1]);
        let (stays, events) = (members[0].shards.clone(), members[0].events.len());
        let moves = members.pop().unwrap().shards;
        members.push(Member::join(&settings, 1));
        until_shared(&mut members, &[1, 1]);
        assert_eq!((&members[0].shards, members[0].events.len()), (&stays, events), "{protocol:?}");
        assert_eq!(members[1].shards, moves, "{protocol:?}");
    }
}

#[test]
fn the_shards_of_a_member_that_is_gone_move_after_the_session_time_out() {
    let Some(broker) = support::broker() else { return };
    for protocol in BOTH {
        let settings = group_settings(broker, "group-gone", protocol, &["in"]);
        let mut members = vec![Member::join(&settings, 0), Member::join(&settings, 1)];
        until_shared(&mut members, &[1, 1]);
        // Static members do not leave the group when they stop.
        members.pop();
        let gone = Instant::now();
        until_shared(&mut members, &[2]);
        let took = gone.elapsed();
        assert!(took < Duration::from_secs(12), "{protocol:?}: {took:?}");
    }
}

#[test]
fn a_second_process_of_the_same_name_is_told_so() {
    let Some(broker) = support::broker() else { return };
    let settings = group_settings(broker, "group-name", BOTH[0], &["in"]);
    let mut first = joined(&settings);
    let _second = KafkaLog::join(&settings, 0).unwrap();
    let message = until("a failure", || first.poll(Duration::from_millis(20)).err());
    assert!(matches!(&message, Failure::Stop(message) if message.contains("`instance`")), "{message:?}");
    assert!(first.publish(&one("not ours any more", 1)).is_err());
    assert_eq!(changes(broker, &settings), [] as [&str; 0]);
}

/// Under the protocol `consumer` a name is released when the member leaves or when its session expires: a process that
/// was killed and is started again must wait for its own name.
#[test]
fn a_name_that_is_taken_for_now_is_waited_for() {
    let Some(broker) = support::broker() else { return };
    let settings = group_settings(broker, "group-wait", BOTH[1], &["in"]);
    let former: BaseConsumer = broker
        .client()
        .set("group.id", &settings.group)
        .set("group.instance.id", "test-0")
        .set("group.protocol", "consumer")
        .create()
        .unwrap();
    former.subscribe(&[&settings.inputs[0]]).unwrap();
    until("the former member", || {
        former.poll(Duration::from_millis(20));
        (former.assignment().unwrap().count() == 2).then_some(())
    });
    let mut log = KafkaLog::join(&settings, 0).unwrap();
    for _ in 0..25 {
        assert_eq!(log.poll(Duration::from_millis(100)).unwrap(), GroupEvent::None);
    }
    drop(former);
    assert_eq!(group_event(&mut log), GroupEvent::Assigned(vec![0, 1]));
    log.fence().unwrap();
    log.publish(&one("by the one who waited", 1)).unwrap();
}

#[test]
fn a_worker_that_does_not_let_go_in_time_publishes_nothing_until_it_has() {
    let Some(broker) = support::broker() else { return };
    for protocol in BOTH {
        let settings = group_settings(broker, "group-slow", protocol, &["in"]);
        let mut first = joined(&settings);
        let mut second = Member::join(&settings, 1);
        let GroupEvent::Revoked { shards, .. } = group_event(&mut first) else { panic!("shards are revoked") };
        until("the other worker's share", || {
            second.follow();
            (!second.shards.is_empty()).then_some(())
        });
        second.log.fence().unwrap();
        second.log.publish(&one("by the new owner", 1)).unwrap();
        let refused = first.publish(&one("by the old owner", 2));
        assert!(matches!(refused, Err(Failure::Rebuild(_))), "{protocol:?}: {refused:?}");
        first.release(&shards);
        first.fence().unwrap();
        first.publish(&one("after letting go", 3)).unwrap();
        assert_eq!(changes(broker, &settings), ["by the new owner", "after letting go"], "{protocol:?}");
    }
}
