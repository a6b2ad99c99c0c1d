//! The log on Kafka with plain bytes: live records, transactions, re-reading, topics.

use super::bare::{PATIENCE, at, contents, joined, position, produced, settings, take, take_all, to, until};
use crate::support::{self, Produced};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shoal::kafka::{
    Batch, Failure, Header, KafkaBatch, Log, OutRecord, Own, Position, ReadAgain, Reader, StartAt, Topic, Transaction,
    create_or_check_topics, input_partitions, producer_ids,
};
use std::time::{Duration, Instant};

const CONTROL: Topic = Topic::Own(Own::Control);

#[test]
fn each_partition_is_fetched_alone_from_the_position_of_the_worker() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-take", &["a", "b"]);
    broker.produce(&settings.inputs[0], ["a0", "a1", "a2"].map(|value| produced(0, value)));
    broker.produce(&settings.inputs[1], ["b0"].map(|value| produced(1, value)));
    let mut log = joined(&settings);
    assert_eq!(take(&mut log, Topic::Input(0), 0), [], "nothing is fetched before the start");
    log.start(&[position(0, 0, 1), position(0, 1, 0), position(1, 1, 0)]).unwrap();

    let (a, b) = (Topic::Input(0), Topic::Input(1));
    assert_eq!(take_all(&mut log, &[(a, 0), (a, 1)]), [(a, 0, 1, "a1".into()), (a, 0, 2, "a2".into())]);
    assert_eq!(take_all(&mut log, &[(b, 1)]), [(b, 1, 0, "b0".into())], "was left alone meanwhile");
    assert!(!log.partition_status(b, 0).is_at_end, "was not started");

    broker.produce(&settings.topics.control, [produced(0, "rules")]);
    broker.produce(&settings.inputs[0], [produced(1, "a3")]);
    log.start(&[Position { topic: CONTROL, partition: 0, offset: 0 }]).unwrap();
    log.start(&[position(1, 0, 0), position(0, 0, 0)]).unwrap();
    assert_eq!(take_all(&mut log, &[(CONTROL, 0)]), [(CONTROL, 0, 0, "rules".into())]);
    let again = take_all(&mut log, &[(a, 0), (b, 0)]);
    assert_eq!(again.iter().map(|seen| seen.2).collect::<Vec<_>>(), [0, 1, 2], "goes on from its new position");
    let new = until("a record that came after the end", || take(&mut log, a, 1).pop());
    assert_eq!(new, (a, 1, 0, "a3".into()));
    log.stop(&[(a, 1), (b, 1)]);
    broker.produce(&settings.inputs[0], [produced(1, "a4"), produced(0, "a5")]);
    until("the record of the partition that is still fetched", || take(&mut log, a, 0).pop());
    assert_eq!(take(&mut log, a, 1), []);
}

#[test]
fn a_batch_keeps_the_order_and_a_poll_ends_at_the_first_record() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-batch", &["in"]);
    let input = Topic::Input(0);
    let mut log = joined(&settings);
    log.start(&[position(0, 0, 0)]).unwrap();
    take_all(&mut log, &[(input, 0)]);
    let values: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let mut batch = KafkaBatch::default();
    let waits = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| broker.produce(&settings.inputs[0], values.iter().map(|value| produced(0, value))));
        until("the first record", || {
            log.poll(PATIENCE).unwrap();
            (log.read(input, 0, 3, &mut batch).unwrap() > 0).then_some(())
        });
    });
    assert!(waits.elapsed() < PATIENCE, "records end a poll");
    until("seven records", || {
        let left = 7 - batch.len();
        log.read(input, 0, left, &mut batch).unwrap();
        (batch.len() == 7).then_some(())
    });
    batch.discard(5);
    assert_eq!(contents(&batch), [(5, "5".into()), (6, "6".into())]);
    assert!(!log.partition_status(input, 0).is_at_end);
    until("the rest", || {
        log.read(input, 0, 100, &mut batch).unwrap();
        log.partition_status(input, 0).is_at_end.then_some(())
    });
    assert_eq!(contents(&batch).iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    batch.clear();
    assert!(batch.is_empty());
}

#[test]
fn the_end_of_a_partition_is_past_markers_and_aborted_records() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-markers", &["in"]);
    let producer: BaseProducer = broker.client().set("transactional.id", "log-markers-other").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for commits in [true, false] {
        producer.begin_transaction().unwrap();
        let record = BaseRecord::<str, str>::to(&settings.inputs[0]).partition(0).payload("x");
        producer.send(record).map_err(|e| e.0).unwrap();
        producer.flush(PATIENCE).unwrap();
        if commits { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }.unwrap();
    }
    let mut log = joined(&settings);
    log.start(&[position(0, 0, 0)]).unwrap();
    assert_eq!(take_all(&mut log, &[(Topic::Input(0), 0)]).len(), 1);
}

#[test]
fn a_transaction_is_seen_whole_with_headers_tombstones_and_offsets() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-transaction", &["in"]);
    let mut log = joined(&settings);
    assert_eq!(log.committed(&[0, 1]).unwrap(), []);
    let mut transaction = Transaction { offsets: vec![at(0, 0, 5), at(0, 1, 0)], ..Transaction::default() };
    transaction.headers.push(Header { name: "shoal_out", value: b"0/1/1" });
    transaction.records.push(OutRecord { headers: 0..1, ..to(Own::Changes, 1, "change") });
    transaction.records.push(OutRecord { value: None, ..to(Own::Membership, 0, "") });
    transaction.records.push(to(Own::Journal, 1, "journal"));
    log.publish(&transaction).unwrap();

    let changes = broker.read_committed(&settings.topics.changes);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].partition, changes[0].value.as_deref()), (1, Some(b"change".as_slice())));
    assert_eq!(changes[0].header("shoal_out"), Some(b"0/1/1".as_slice()));
    assert_eq!(broker.read_committed(&settings.topics.membership)[0].value, None);
    assert_eq!(log.committed(&[0, 1]).unwrap(), [at(0, 0, 5), at(0, 1, 0)]);
}

#[test]
fn a_later_worker_fences_the_earlier_one() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-fence", &["in"]);
    let mut log = joined(&settings);
    let offsets = vec![at(0, 0, 0), at(0, 1, 0)];
    let transaction =
        |value| Transaction { records: vec![to(Own::Changes, 0, value)], offsets: offsets.clone(), headers: vec![] };
    log.publish(&transaction("first")).unwrap();
    for id in producer_ids(log.transactional_id()) {
        let usurper: BaseProducer = broker.client().set("transactional.id", id).create().unwrap();
        usurper.init_transactions(PATIENCE).unwrap();
    }

    let before = Instant::now();
    assert!(matches!(log.publish(&transaction("fenced")), Err(Failure::Rebuild(_))));
    assert!(before.elapsed() < Duration::from_secs(3), "a fenced producer fails immediately: {:?}", before.elapsed());
    log.fence().unwrap();
    log.publish(&transaction("third")).unwrap();

    let values: Vec<_> =
        broker.read_committed(&settings.topics.changes).into_iter().map(|r| r.value.unwrap()).collect();
    assert_eq!(values, [b"first", b"third"]);
}

#[test]
fn a_reader_stops_at_its_end_and_waits_for_open_transactions() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-reader", &["in"]);
    let input = &settings.inputs[0];
    broker.produce(input, (0..10).map(|_| produced(0, "x")));
    let mut log = joined(&settings);
    let mut batch = KafkaBatch::default();

    let mut reader = log.reader(Topic::Input(0), 0, 3).unwrap();
    assert_eq!((reader.first(), reader.end()), (0, 10));
    let mut offsets = Vec::new();
    for end in [5, 6, 9] {
        while reader.position() < end {
            batch.clear();
            reader.read(end, 100, &mut batch).unwrap();
            offsets.extend((0..batch.len()).map(|index| (end, batch.record(index).offset)));
        }
    }
    assert_eq!(offsets, [(5, 3), (5, 4), (6, 5), (9, 6), (9, 7), (9, 8)]);
    reader.seek(1).unwrap();
    assert_eq!(reader.position(), 1);
    batch.clear();
    while batch.is_empty() {
        reader.read(3, 1, &mut batch).unwrap();
    }
    assert_eq!((contents(&batch), reader.position()), (vec![(1, "x".into())], 2));

    // The partition ends with aborted records and markers: the position reaches the end without a record.
    let producer: BaseProducer = broker.client().set("transactional.id", "log-reader-other").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(input).partition(1).payload("aborted")).map_err(|e| e.0).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut reader = log.reader(Topic::Input(0), 1, 0).unwrap();
    assert_eq!(reader.end(), 1, "the open transaction counts");
    let aborting = std::thread::spawn(move || producer.abort_transaction(PATIENCE).unwrap());
    batch.clear();
    until("the end of the transaction", || {
        reader.read(1, 100, &mut batch).unwrap();
        (reader.position() >= 1).then_some(())
    });
    aborting.join().unwrap();
    assert!(batch.is_empty());
}

#[test]
fn topics_are_created_once_and_checked_afterwards() {
    let Some(broker) = support::broker() else { return };
    let mut settings = settings(broker, "log-topics", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();

    let message = create_or_check_topics(&settings, 3).unwrap_err().to_string();
    assert!(message.contains("log-topics.shoal.journal: has 2 partitions; expected 3"), "{message}");
    broker.create_topic("log-topics-short", 2, &[("retention.ms", "1000")]);
    settings.topics.journal = "log-topics-short".into();
    let message = create_or_check_topics(&settings, 2).unwrap_err().to_string();
    assert!(message.contains("log-topics-short: has retention.ms = 1000; expected -1"), "{message}");

    broker.create_topic("log-topics-three", 3, &[]);
    settings.inputs.push("log-topics-three".into());
    let message = input_partitions(&settings, ReadAgain::FromSnapshots).unwrap_err().to_string();
    assert!(message.contains("log-topics-in has 2, log-topics-three has 3"), "{message}");
    settings.inputs[1] = "log-topics-none".into();
    let message = input_partitions(&settings, ReadAgain::FromSnapshots).unwrap_err().to_string();
    assert!(message.contains("log-topics-none: does not exist"), "{message}");
}

#[test]
fn a_shard_with_an_empty_journal_starts_as_configured() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-start", &["in"]);
    let record = |timestamp| Produced { timestamp: Some(timestamp), ..produced(0, "x") };
    broker.produce(&settings.inputs[0], [record(1_000), record(2_000), record(3_000)]);
    let mut log = joined(&settings);
    let mut first = |partition, start| log.first_offset(Topic::Input(0), partition, start).unwrap();
    assert_eq!(first(0, StartAt::Earliest), 0);
    assert_eq!(first(0, StartAt::Latest), 3);
    assert_eq!(first(0, StartAt::Time(1_500)), 1);
    assert_eq!(first(0, StartAt::Time(9_000)), 3);
    assert_eq!(first(1, StartAt::Time(9_000)), 0);
}
