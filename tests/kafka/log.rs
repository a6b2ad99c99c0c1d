//! The log on Kafka with plain bytes: assignment, batches, transactions, re-reading.

use crate::support::{self, Broker, Produced};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shoal::kafka::{
    Batch, Failure, Header, InputOffset, KafkaBatch, KafkaLog, KafkaSettings, Log, News, OutRecord, Own, Reader,
    StartAt, Topic, Transaction, create_or_check_topics, input_partitions,
};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Settings with topics of the test's own; the inputs are made with two partitions.
fn settings(broker: &Broker, test: &str, inputs: &[&str]) -> KafkaSettings {
    let mut settings = KafkaSettings {
        brokers: broker.address.clone(),
        group: test.into(),
        instance: "test".into(),
        inputs: inputs.iter().map(|input| format!("{test}-{input}")).collect(),
        ..KafkaSettings::default()
    };
    let topics = &mut settings.topics;
    for name in
        [&mut topics.changes, &mut topics.membership, &mut topics.rejected, &mut topics.journal, &mut topics.control]
    {
        *name = format!("{test}.{name}");
    }
    for input in &settings.inputs {
        broker.create_topic(input, 2, &[("retention.ms", "-1")]);
    }
    settings
}

fn joined(settings: &KafkaSettings) -> KafkaLog {
    let mut log = KafkaLog::join(settings, 0).unwrap();
    assert_eq!(news(&mut log), News::Assigned(vec![0, 1]));
    log.fence().unwrap();
    log
}

/// Polls until there is news.
fn news(log: &mut KafkaLog) -> News {
    let deadline = Instant::now() + PATIENCE;
    let mut batch = KafkaBatch::default();
    while Instant::now() < deadline {
        match log.poll(Duration::from_millis(20), &mut batch).unwrap() {
            News::Nothing => {}
            news => return news,
        }
    }
    panic!("no news within {PATIENCE:?}");
}

/// Polls until everything is read: (topic, partition, offset, value).
fn read_all(log: &mut KafkaLog) -> Vec<(Topic, u32, i64, String)> {
    let deadline = Instant::now() + PATIENCE;
    let mut batch = KafkaBatch::default();
    let mut all = Vec::new();
    while !log.read_to_end() || !batch.is_empty() {
        assert!(Instant::now() < deadline, "not at the end within {PATIENCE:?}; so far {all:?}");
        assert_eq!(log.poll(Duration::from_millis(20), &mut batch).unwrap(), News::Nothing);
        all.extend(contents(&batch));
    }
    all.sort();
    all
}

fn contents(batch: &KafkaBatch) -> Vec<(Topic, u32, i64, String)> {
    let of_run = |run: &shoal::kafka::Run| {
        let (topic, partition) = (run.topic, run.partition);
        let records = run.records.clone().map(|place| batch.record(place));
        records
            .map(|record| {
                let value = String::from_utf8_lossy(record.value.unwrap_or(b"<null>")).into_owned();
                (topic, partition, record.offset, value)
            })
            .collect::<Vec<_>>()
    };
    batch.runs().iter().flat_map(of_run).collect()
}

fn to(topic: Own, partition: u32, value: &str) -> OutRecord<'_> {
    OutRecord { topic, partition, key: Some(b"k"), value: Some(value.as_bytes()), headers: 0..0 }
}

fn at(topic: u16, partition: u32, offset: i64) -> InputOffset {
    InputOffset { topic, partition, offset }
}

fn produced(partition: i32, value: &str) -> Produced<'_> {
    Produced { partition: Some(partition), timestamp: Some(1), key: Some(b"k"), value: Some(value.as_bytes()) }
}

#[test]
fn inputs_come_in_runs_from_where_the_worker_says() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-runs", &["a", "b"]);
    create_or_check_topics(&settings, input_partitions(&settings).unwrap()).unwrap();
    broker.produce(&settings.inputs[0], ["a0", "a1", "a2"].map(|value| produced(0, value)));
    broker.produce(&settings.inputs[1], ["b0"].map(|value| produced(1, value)));
    let mut log = joined(&settings);
    log.start(&[at(0, 0, 1), at(0, 1, 0), at(1, 0, 0), at(1, 1, 0)], 0).unwrap();

    let expected = [
        (Topic::Input(0), 0, 1, "a1".into()),
        (Topic::Input(0), 0, 2, "a2".into()),
        (Topic::Input(1), 1, 0, "b0".into()),
    ];
    assert_eq!(read_all(&mut log), expected);

    broker.produce(&settings.topics.control, [Produced { partition: Some(0), ..produced(0, "rules") }]);
    broker.produce(&settings.inputs[0], [produced(1, "a3")]);
    let mut seen = Vec::new();
    let mut batch = KafkaBatch::default();
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < 2 {
        assert!(Instant::now() < deadline);
        log.poll(Duration::from_millis(20), &mut batch).unwrap();
        seen.extend(contents(&batch));
    }
    seen.sort();
    assert_eq!(seen, [(Topic::Input(0), 1, 0, "a3".into()), (Topic::Own(Own::Control), 0, 0, "rules".into())]);
}

#[test]
fn a_transaction_is_seen_whole_with_headers_tombstones_and_offsets() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-transaction", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();
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
fn a_worker_that_comes_later_fences_the_one_before() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-fence", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();
    let mut log = joined(&settings);
    let offsets = vec![at(0, 0, 0), at(0, 1, 0)];
    let transaction =
        |value| Transaction { records: vec![to(Own::Changes, 0, value)], offsets: offsets.clone(), headers: vec![] };
    log.publish(&transaction("first")).unwrap();
    let usurper: BaseProducer = broker.client().set("transactional.id", log.transactional_id()).create().unwrap();
    usurper.init_transactions(PATIENCE).unwrap();

    assert!(matches!(log.publish(&transaction("fenced")), Err(Failure::Rebuild(_))));
    log.fence().unwrap();
    log.publish(&transaction("third")).unwrap();

    let values: Vec<_> =
        broker.read_committed(&settings.topics.changes).into_iter().map(|r| r.value.unwrap()).collect();
    assert_eq!(values, [b"first", b"third"]);
}

#[test]
fn a_reader_stops_where_told_and_waits_for_open_transactions() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-reader", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();
    let input = &settings.inputs[0];
    broker.produce(input, (0..10).map(|_| produced(0, "x")));
    let mut log = joined(&settings);
    let mut batch = KafkaBatch::default();

    let mut reader = log.reader(Topic::Input(0), 0, 3).unwrap();
    assert_eq!(reader.end(), 10);
    let mut offsets = Vec::new();
    for until in [5, 6, 9] {
        while reader.position() < until {
            reader.read(until, 100, &mut batch).unwrap();
            offsets.extend((0..batch.len()).map(|place| (until, batch.record(place).offset)));
        }
    }
    assert_eq!(offsets, [(5, 3), (5, 4), (6, 5), (9, 6), (9, 7), (9, 8)]);

    // Aborted records and markers to the very end: the position gets there although no record does.
    let producer: BaseProducer = broker.client().set("transactional.id", "log-reader-other").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(input).partition(1).payload("aborted")).map_err(|e| e.0).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut reader = log.reader(Topic::Input(0), 1, 0).unwrap();
    assert_eq!(reader.end(), 1, "the open transaction counts");
    let aborting = std::thread::spawn(move || producer.abort_transaction(PATIENCE).unwrap());
    reader.read(1, 100, &mut batch).unwrap();
    aborting.join().unwrap();
    assert!(batch.is_empty());
    assert!(reader.position() >= 1);
}

#[test]
fn topics_are_made_once_and_checked_afterwards() {
    let Some(broker) = support::broker() else { return };
    let mut settings = settings(broker, "log-topics", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();
    create_or_check_topics(&settings, 2).unwrap();

    let words = create_or_check_topics(&settings, 3).unwrap_err().to_string();
    assert!(words.contains("log-topics.shoal.journal has 2 partitions; expected 3"), "{words}");
    broker.create_topic("log-topics-short", 2, &[("retention.ms", "1000")]);
    settings.topics.journal = "log-topics-short".into();
    let words = create_or_check_topics(&settings, 2).unwrap_err().to_string();
    assert!(words.contains("log-topics-short has retention.ms = 1000; expected -1"), "{words}");

    broker.create_topic("log-topics-three", 3, &[]);
    settings.inputs.push("log-topics-three".into());
    let words = input_partitions(&settings).unwrap_err().to_string();
    assert!(words.contains("log-topics-in 2, log-topics-three 3"), "{words}");
    settings.inputs[1] = "log-topics-none".into();
    let words = input_partitions(&settings).unwrap_err().to_string();
    assert!(words.contains("do not exist: [\"log-topics-none\"]"), "{words}");
}

#[test]
fn a_second_worker_takes_over_half_and_nothing_is_lost_meanwhile() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-two", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();
    let mut first = joined(&settings);
    first.start(&[at(0, 0, 0), at(0, 1, 0)], 0).unwrap();
    let joining = {
        let settings = settings.clone();
        std::thread::spawn(move || {
            let mut second = KafkaLog::join(&settings, 1).unwrap();
            let assigned = news(&mut second);
            (second, assigned)
        })
    };
    assert_eq!(news(&mut first), News::Revoked { lost: false });
    // Still ours until released: the last transaction goes through.
    let last = Transaction { records: vec![to(Own::Changes, 0, "last")], offsets: vec![at(0, 0, 7)], headers: vec![] };
    first.publish(&last).unwrap();
    first.release();
    assert_eq!(news(&mut first), News::Assigned(vec![0]));
    let (mut second, assigned) = joining.join().unwrap();
    assert_eq!(assigned, News::Assigned(vec![1]));
    assert_eq!(second.committed(&[0]).unwrap(), [at(0, 0, 7)]);
    second.fence().unwrap();
    second.start(&[at(0, 1, 0)], 0).unwrap();
    broker.produce(&settings.inputs[0], [produced(1, "for the second")]);
    let mut batch = KafkaBatch::default();
    let deadline = Instant::now() + PATIENCE;
    while batch.is_empty() {
        assert!(Instant::now() < deadline);
        second.poll(Duration::from_millis(20), &mut batch).unwrap();
    }
    assert_eq!(contents(&batch), [(Topic::Input(0), 1, 0, "for the second".into())]);
}

#[test]
fn a_shard_with_an_empty_journal_begins_where_told() {
    let Some(broker) = support::broker() else { return };
    let settings = settings(broker, "log-start", &["in"]);
    create_or_check_topics(&settings, 2).unwrap();
    let record = |timestamp| Produced { timestamp: Some(timestamp), ..produced(0, "x") };
    broker.produce(&settings.inputs[0], [record(1_000), record(2_000), record(3_000)]);
    let mut log = joined(&settings);
    let mut first = |partition, start| log.first_offset(0, partition, start).unwrap();
    assert_eq!(first(0, StartAt::Earliest), 0);
    assert_eq!(first(0, StartAt::Latest), 3);
    assert_eq!(first(0, StartAt::Time(1_500)), 1);
    assert_eq!(first(0, StartAt::Time(9_000)), 3);
    assert_eq!(first(1, StartAt::Time(9_000)), 0);
}
