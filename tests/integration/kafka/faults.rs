//! Faults of the log: a broker that hangs; topics that are silent, get more partitions or are deleted; records that are
//! missing or too large.

use super::bare::{at, joined, position, produced, settings, take, take_all, to, until};
use crate::support::wait::wait_for;
use crate::support::{self, Broker, BrokerOptions, Produced};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use shoal::document::duration::DurationSetting;
use shoal::kafka::{Failure, KafkaLog, KafkaSettings, Log, Own, Topic, Transaction};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const INPUT: Topic = Topic::Input(0);

/// Milliseconds since the broker last answered a fetch of the partition.
fn unanswered(log: &mut KafkaLog, partition: u32) -> Option<u64> {
    log.poll(Duration::from_millis(20)).unwrap();
    take(log, INPUT, partition);
    let answered = log.partition_status(INPUT, partition).last_answer?;
    Some(log.now().monotonic - answered)
}

/// The error in which polling or reading ends.
fn failure(log: &mut KafkaLog) -> Failure {
    // That a topic is gone is known after half a minute.
    wait_for("a failure", Duration::from_secs(120), || {
        let polled = log.poll(Duration::from_millis(20)).err();
        polled.or_else(|| log.read(INPUT, 0, 10, &mut Default::default()).err())
    })
}

fn assert_stops(failure: Failure, words_expected: &str) {
    let Failure::Stop(message) = &failure else { panic!("not a reason to stop: {failure:?}") };
    assert!(message.contains(words_expected), "{message}");
}

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    broker.client().create().unwrap()
}

#[test]
fn a_partition_of_a_hanging_broker_has_not_answered() {
    let Some(broker) = support::start(&BrokerOptions::default()) else { return };
    let settings = settings(&broker, "answered", &["in"]);
    let mut log = joined(&settings);
    assert_eq!(log.partition_status(INPUT, 0).last_answer, None, "not started");
    log.start(&[position(0, 0, 0), position(0, 1, 0)]).unwrap();
    take_all(&mut log, &[(INPUT, 0), (INPUT, 1)]);
    for partition in 0..2 {
        until("an answer", || unanswered(&mut log, partition).filter(|&age| age < 1_500));
    }
    for _ in 0..2 {
        broker.signal("STOP");
        let stopped = log.now().monotonic;
        until("no answer for three seconds", || unanswered(&mut log, 0).filter(|&age| age > 3_000));
        assert!(
            log.partition_status(INPUT, 0).last_answer.is_some_and(|answered| answered <= stopped),
            "nothing was answered after {stopped}"
        );
        assert!(!log.partition_status(INPUT, 0).is_at_end, "a fetch without an answer has failed");
        broker.signal("CONT");
        until("an answer", || unanswered(&mut log, 0).filter(|&age| age < 1_500));
        until("the end, shown anew", || {
            take(&mut log, INPUT, 0);
            log.partition_status(INPUT, 0).is_at_end.then_some(())
        });
    }
    broker.produce(&settings.inputs[0], [produced(0, "after")]);
    until("a record", || take(&mut log, INPUT, 0).pop());
}

/// The leader of one topic is killed: what was known of its end no longer counts, so that no record of the other topic,
/// which goes on, is taken for the next one (T7).
#[test]
fn the_end_of_a_topic_is_unknown_from_the_death_of_its_broker_to_the_first_answer_after_it() {
    let Some(mut cluster) = support::start_cluster(2, &BrokerOptions { heap: "192m", ..BrokerOptions::default() })
    else {
        return;
    };
    let (a, b) = (Topic::Input(0), Topic::Input(1));
    let mut settings = settings(cluster.any(), "overtaken", &[]);
    for (name, broker) in [("overtaken-a", 2), ("overtaken-b", 1)] {
        cluster.any().create_topic_on(name, broker);
        settings.inputs.push(name.into());
    }
    let mut log = KafkaLog::join(&settings, 0).unwrap();
    log.start(&[position(0, 0, 0), position(1, 0, 0)]).unwrap();
    let turn = |log: &mut KafkaLog| {
        let _ = log.poll(Duration::from_millis(20));
        let read: Vec<_> = [a, b].into_iter().flat_map(|topic| take(log, topic, 0)).map(|seen| seen.3).collect();
        (read, log.partition_status(a, 0).is_at_end, log.partition_status(b, 0).is_at_end)
    };
    until("the ends of both", || Some(turn(&mut log)).filter(|(_, a, b)| *a && *b));
    for round in 0..2 {
        cluster.brokers[1].crash().unwrap();
        let died = log.now().monotonic;
        until("the client knows that the connection has broken", || Some(turn(&mut log)).filter(|(_, a, _)| !a));
        let known = log.now().monotonic - died;
        assert!(known < 2_000, "round {round}: after {known} ms");
        // A record of topic `a` may have been there before it, for all that can be known.
        cluster.any().produce("overtaken-b", [produced(0, "of b")]);
        until("the record of b", || {
            let (read, a_at_end, _) = turn(&mut log);
            assert!(!a_at_end, "round {round}");
            read.first().cloned()
        });
        until("the end of b alone", || Some(turn(&mut log)).filter(|(_, a, b)| !a && *b));
        cluster.brokers[1].restart().unwrap();
        cluster.any().produce("overtaken-a", [produced(0, "of a")]);
        until("the record of a, before its end is known", || {
            let (read, a_at_end, _) = turn(&mut log);
            assert!(!read.is_empty() || !a_at_end, "round {round}");
            read.first().cloned()
        });
        until("the ends of both", || Some(turn(&mut log)).filter(|(_, a, b)| *a && *b));
    }
}

#[test]
fn a_full_queue_counts_as_an_answer() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "full", &["in"]);
    broker.produce(&settings.inputs[0], (0..60_000).map(|_| produced(0, "a record among many")));
    let mut log = joined(&settings);
    log.start(&[position(0, 0, 0)]).unwrap();
    let mut taken = until("the first record", || Some(take(&mut log, INPUT, 0).len()).filter(|&taken| taken > 0));
    assert!(log.partition_status(INPUT, 0).last_answer.is_some());
    assert!(!log.partition_status(INPUT, 0).is_at_end);
    until("all records", || {
        taken += take(&mut log, INPUT, 0).len();
        log.partition_status(INPUT, 0).is_at_end.then_some(())
    });
    assert_eq!(taken, 60_000);
}

#[test]
fn a_topic_is_silent_until_it_has_a_record_and_after_its_time() {
    let Some(broker) = support::broker() else { return };
    let mut settings = settings(broker, "silent", &["shop", "other"]);
    settings.hold_time_when_silent.insert(settings.inputs[0].clone(), DurationSetting(4_000));
    let mut log = joined(&settings);
    assert!(log.partition_status(Topic::Input(0), 0).is_silent, "until something else is known");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    broker.produce(&settings.inputs[0], [Produced { timestamp: Some(now()), ..produced(1, "x") }]);
    until("a record that breaks the silence", || (!log.partition_status(Topic::Input(0), 0).is_silent).then_some(()));
    let answered = now();
    until("silence", || {
        log.poll(Duration::from_millis(20)).unwrap();
        log.partition_status(Topic::Input(0), 0).is_silent.then_some(())
    });
    assert!(now() - answered < 7_000, "{} ms", now() - answered);
    assert!(!log.partition_status(Topic::Input(1), 0).is_silent, "has no such setting");
}

#[test]
fn an_input_that_grows_stops_the_worker() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "grows", &["in"]);
    let mut log = joined(&settings);
    log.start(&[position(0, 0, 0)]).unwrap();
    let grow = NewPartitions::new(&settings.inputs[0], 3);
    let answers = support::block_on(admin(broker).create_partitions([&grow], &AdminOptions::new())).unwrap();
    answers.into_iter().for_each(|answer| assert!(answer.is_ok(), "{answer:?}"));
    assert_stops(failure(&mut log), "had 2 partitions at the start and has 3 now");
}

#[test]
fn an_input_that_is_deleted_stops_the_worker() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "deleted", &["in"]);
    let mut log = joined(&settings);
    log.start(&[position(0, 0, 0)]).unwrap();
    take_all(&mut log, &[(INPUT, 0)]);
    support::block_on(admin(broker).delete_topics(&[&settings.inputs[0]], &AdminOptions::new())).unwrap();
    assert_stops(failure(&mut log), "does not exist any more");
}

#[test]
fn a_position_that_is_not_in_the_topic_stops_the_worker() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "beyond", &["in"]);
    let mut log = joined(&settings);
    log.start(&[position(0, 0, 7)]).unwrap();
    assert_stops(failure(&mut log), "beyond-in[0]");
}

#[test]
fn a_record_that_every_topic_refuses_stops_the_worker() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "large", &["in"]);
    let mut log = joined(&settings);
    let value = "x".repeat(2_000_000);
    let transaction =
        Transaction { records: vec![to(Own::Changes, 0, &value)], offsets: vec![at(0, 0, 0)], headers: vec![] };
    assert_stops(log.publish(&transaction).unwrap_err(), "max.message.bytes");
}

#[test]
fn starting_and_pausing_quickly_changes_nothing() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "quick", &["in"]);
    broker.produce(&settings.inputs[0], ["0", "1", "2", "3"].map(|value| produced(0, value)));
    let mut log = joined(&settings);
    for round in 0..20 {
        log.start(&[position(0, 0, round % 4)]).unwrap();
        if round % 3 == 0 {
            log.stop(&[(INPUT, 0)]);
            assert_eq!(take(&mut log, INPUT, 0), []);
        }
    }
    log.start(&[position(0, 0, 2)]).unwrap();
    let taken = take_all(&mut log, &[(INPUT, 0)]);
    assert_eq!(taken.iter().map(|seen| seen.2).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn unknown_client_settings_are_reported_at_the_start() {
    let Some(broker) = support::broker() else { return };
    let mut settings: KafkaSettings = settings(broker, "unknown", &["in"]);
    settings.client.insert("fetch.wait.max.hours".into(), "1".into());
    let Err(failure) = KafkaLog::join(&settings, 0) else { panic!("there is no such setting") };
    assert_stops(failure, "fetch.wait.max.hours");
}
