//! Shows that the checker finds faults: it reads topics and snapshots made by hand, first correct ones, then the same
//! with one fault each.

mod snapshots;

use crate::run::{READ, run_checker};
use crate::support::{Broker, Produced, send};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use snapshots::Wrong;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

const PATIENCE: Duration = Duration::from_secs(60);

/// A fault in the topics, and the text that the checker must print for it; empty for correct topics.
pub struct Case {
    pub name: &'static str,
    spoil: fn(&mut World),
    expects: &'static str,
}

pub const CASES: &[Case] = &[
    Case { name: "nothing_wrong_in_right_topics", spoil: |_| {}, expects: "" },
    Case {
        name: "a_dropped_change",
        spoil: |world| drop(world.outputs.remove(ANN_2)),
        expects: "2 of life 1 is missing",
    },
    Case { name: "a_repeated_change", spoil: |world| world.repeat(ANN_2), expects: "2 of life 1 is repeated" },
    Case { name: "a_change_too_many", spoil: |world| drop(world.expected.pop()), expects: "should not be there" },
    Case { name: "swapped_changes", spoil: |world| world.outputs.swap(ANN_1, ANN_2), expects: "are reordered" },
    Case {
        name: "another_change",
        spoil: |world| world.alter(ANN_2, "\"active\"", "\"dormant\""),
        expects: "changes: of ann is",
    },
    Case {
        name: "a_gap_in_the_sequence",
        spoil: World::skip_a_sequence,
        expects: "change 4 of life 1 follows change 2",
    },
    Case {
        name: "a_moment_that_falls",
        spoil: World::fall_back,
        expects: "changes: of ann, change 3 of life 1 follows change 2",
    },
    Case {
        name: "a_stale_membership",
        spoil: |world| world.alter(ANN_LAST, "true", "false"),
        expects: "membership: of ann",
    },
    Case {
        name: "a_missing_tombstone",
        spoil: |world| drop(world.outputs.remove(BOB_LAST)),
        expects: "membership: of bob",
    },
    Case {
        name: "a_gap_in_the_journal",
        spoil: |world| drop(world.journal.remove(1)),
        expects: "a gap or a repetition",
    },
    Case { name: "a_damaged_journal", spoil: |world| world.journal[1][3] ^= 1, expects: "the checksum is wrong" },
    Case { name: "outputs_not_journalled", spoil: World::forget_outputs, expects: "goes on after output" },
    Case {
        name: "a_number_twice",
        spoil: |world| world.outputs[ANN_2].number = 1,
        expects: "repeats output 1 of shard 0",
    },
    Case { name: "another_copy", spoil: |world| world.copies[1][5] ^= 1, expects: "the copy of the journal record" },
    Case { name: "a_reject_twice", spoil: |world| world.repeat(REJECT), expects: "rejected: in[0] at 7 is repeated" },
    Case {
        name: "a_damaged_snapshot",
        spoil: |world| world.snapshots = Wrong::Damaged,
        expects: "of shard 0 1 are good",
    },
    Case {
        name: "a_stale_snapshot",
        spoil: |world| world.snapshots = Wrong::Stale,
        expects: "the newest of shard 0 is of transaction 2",
    },
    Case {
        name: "a_customer_missing_in_a_snapshot",
        spoil: |world| world.snapshots = Wrong::RowMissing,
        expects: "snapshots: of ann",
    },
    Case {
        name: "a_census_under_another_key",
        spoil: |world| world.outputs[CENSUS].key = "0/2",
        expects: "has the key 0/2, not 0/1",
    },
    Case {
        name: "a_census_of_history",
        spoil: |world| world.alter(CENSUS, "[]", "[{\"minute\":0}]"),
        expects: "counts history",
    },
    Case { name: "a_missing_reject", spoil: World::expect_a_reject, expects: "rejected: in[0] at 8 is missing" },
];

/// Indices of outputs in the correct topics.
const ANN_1: usize = 0;
const ANN_2: usize = 4;
const REJECT: usize = 6;
const ANN_3: usize = 7;
const ANN_LAST: usize = 9;
const BOB_LAST: usize = 10;
const CENSUS: usize = 11;

const CHANGES: usize = 0;
const MEMBERSHIP: usize = 1;
const REJECTED: usize = 2;
const CENSUS_TOPIC: usize = 3;
const JOURNAL: usize = 4;
const REPORT: &str = r#"{"schema":1,"shard":0,"mark":1,"minutes":[],"uncounted":0}"#;

#[derive(Clone)]
struct Output {
    topic: usize,
    key: &'static str,
    value: Option<String>,
    transaction: usize,
    number: u64,
}

/// The topics of one shard after three transactions, and the expected results.
struct World {
    outputs: Vec<Output>,
    journal: Vec<Vec<u8>>,
    /// The copies of journal records that outputs carry.
    copies: Vec<Vec<u8>>,
    expected: Vec<String>,
    rejected: Vec<String>,
    snapshots: Wrong,
}

impl World {
    fn correct() -> Self {
        let ann = [
            change("ann", 1, "stage", "null", "null", "\"new\"", 10, "event"),
            change("ann", 2, "stage", "\"new\"", "10", "\"active\"", 20, "time"),
            change("ann", 3, "vip", "\"out\"", "10", "\"in\"", 30, "event"),
        ];
        let bob = [
            change("bob", 1, "stage", "null", "null", "\"new\"", 10, "event"),
            change("bob", 2, "stage", "\"new\"", "10", "null", 31, "erase"),
        ];
        let reject = r#"{"topic":"in","partition":0,"offset":7,"reason":"decode"}"#.to_owned();
        let out = |topic, key, value: &str, transaction| Output {
            topic,
            key,
            value: (!value.is_empty()).then(|| value.to_owned()),
            transaction,
            number: 0,
        };
        let outside = r#"{"in":false,"since":"1970-01-01T00:00:00.001Z"}"#;
        let inside = &format!(r#"{{"in":true,"since":{}}}"#, moment("30"));
        let mut outputs = vec![
            out(CHANGES, "ann", &ann[0], 0),
            out(CHANGES, "bob", &bob[0], 0),
            out(MEMBERSHIP, "ann", &membership("ann", 1, 10, "new", 10, outside), 0),
            out(MEMBERSHIP, "bob", &membership("bob", 1, 10, "new", 10, outside), 0),
            out(CHANGES, "ann", &ann[1], 1),
            out(MEMBERSHIP, "ann", &membership("ann", 2, 20, "active", 20, outside), 1),
            out(REJECTED, "ann", &reject, 1),
            out(CHANGES, "ann", &ann[2], 2),
            out(CHANGES, "bob", &bob[1], 2),
            out(MEMBERSHIP, "ann", &membership("ann", 3, 30, "active", 20, inside), 2),
            out(MEMBERSHIP, "bob", "", 2),
            out(CENSUS_TOPIC, "0/1", REPORT, 2),
        ];
        (1..).zip(&mut outputs).for_each(|(number, output)| output.number = number);
        let journal = vec![journal(1, 0, 4), journal(2, 4, 3), journal(3, 7, 5)];
        let expected = ann.into_iter().chain(bob).collect();
        Self { outputs, copies: journal.clone(), journal, expected, rejected: vec![reject], snapshots: Wrong::Nothing }
    }

    fn repeat(&mut self, index: usize) {
        let repeated = self.outputs[index].clone();
        self.outputs.insert(index + 1, repeated);
    }

    fn alter(&mut self, index: usize, from: &str, to: &str) {
        let value = self.outputs[index].value.as_mut().expect("no tombstone");
        assert!(value.contains(from), "{from} is not in {value}");
        *value = value.replace(from, to);
    }

    /// Both runs skip a number: only the check of the numbers can find this.
    fn skip_a_sequence(&mut self) {
        self.alter(ANN_3, "\"sequence\":3", "\"sequence\":4");
        self.alter(ANN_LAST, "\"sequence\":3", "\"sequence\":4");
        self.expected[2] = self.outputs[ANN_3].value.clone().expect("a change");
    }

    fn fall_back(&mut self) {
        let (later, earlier) = (moment("30"), moment("15"));
        self.alter(ANN_3, &later, &earlier);
        self.alter(ANN_LAST, &later, &earlier);
        self.expected[2] = self.outputs[ANN_3].value.clone().expect("a change");
    }

    fn forget_outputs(&mut self) {
        self.journal[1] = journal(2, 4, 2);
        self.copies[1] = self.journal[1].clone();
    }

    fn expect_a_reject(&mut self) {
        self.rejected.push(r#"{"topic":"in","partition":0,"offset":8,"reason":"decode"}"#.to_owned());
    }

    fn write(&self, broker: &Broker, topics: &[String; READ.len()]) {
        topics.iter().for_each(|topic| broker.create_topic(topic, 1, &[]));
        let producer = broker.producer();
        let mut written = Vec::new();
        for output in &self.outputs {
            let is_first = !written.contains(&(output.topic, output.transaction));
            written.push((output.topic, output.transaction));
            let copy = is_first.then(|| self.copies[output.transaction].as_slice());
            write(&producer, &topics[output.topic], output, copy);
        }
        for record in &self.journal {
            send(
                &producer,
                &topics[JOURNAL],
                Produced { partition: Some(0), value: Some(record), ..Produced::default() },
            );
        }
        producer.flush(PATIENCE).expect("flush");
    }
}

fn write(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, output: &Output, journal: Option<&[u8]>) {
    let number = format!("0/{}/{}", output.transaction + 1, output.number);
    let mut headers = OwnedHeaders::new().insert(Header { key: "shoal_out", value: Some(&number) });
    if let Some(journal) = journal {
        headers = headers.insert(Header { key: "shoal_journal", value: Some(journal) });
    }
    let mut record = BaseRecord::<str, str>::to(topic).partition(0).key(output.key).headers(headers);
    record.payload = output.value.as_deref();
    producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
}

/// Runs the checker on the topics of a case.
pub fn check(case: &Case, broker: &Broker) -> Result<(), String> {
    let mut world = World::correct();
    (case.spoil)(&mut world);
    let topics = READ.map(|topic| format!("{}.{topic}", case.name));
    world.write(broker, &topics);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (expected, rejected) = (folder.path().join("expected"), folder.path().join("rejected"));
    for (path, lines) in [(&expected, &world.expected), (&rejected, &world.rejected)] {
        std::fs::write(path, lines.join("\n")).map_err(|error| error.to_string())?;
    }
    let kept = folder.path().join("snapshots");
    snapshots::write(&kept, world.snapshots).map_err(|error| format!("snapshots: {error}"))?;
    let (is_good, printed) = run_checker(&broker.address, &topics, &expected, &rejected, &kept)?;
    if is_good == case.expects.is_empty() && printed.contains(case.expects) {
        return Ok(());
    }
    Err(format!("the checker's verdict is {is_good}, and its output does not contain {:?}:\n{printed}", case.expects))
}

/// The RFC 3339 text of a time in seconds, quoted; null stays null.
fn moment(seconds: &str) -> String {
    if seconds == "null" { seconds.to_owned() } else { format!("\"1970-01-01T00:00:{seconds}.000Z\"") }
}

#[expect(clippy::too_many_arguments, reason = "the fields of a change")]
fn change(
    customer: &str,
    sequence: u32,
    segmentation: &str,
    from: &str,
    since: &str,
    to: &str,
    at: u32,
    cause: &str,
) -> String {
    // An audience is out since the beginning of the life.
    let since = if from == "\"out\"" { "\"1970-01-01T00:00:00.001Z\"".to_owned() } else { moment(since) };
    let at = moment(&at.to_string());
    format!(
        r#"{{"schema":1,"customer_id":"{customer}","life":1,"sequence":{sequence},"segmentation":"{segmentation}","from":{from},"from_since":{since},"to":{to},"cause":"{cause}","effective_at":{at},"detected_at":{at},"trigger":null,"because":[],"next":null,"features":{{}},"rules_version":"r","cuts_version":null}}"#
    )
}

fn membership(customer: &str, sequence: u32, at: u32, stage: &str, since: u32, vip: &str) -> String {
    let (at, since) = (moment(&at.to_string()), moment(&since.to_string()));
    format!(
        r#"{{"customer_id":"{customer}","life":1,"sequence":{sequence},"effective_at":{at},"rules_version":"r","cuts_version":null,"segments":{{"stage":{{"value":"{stage}","since":{since}}}}},"audiences":{{"vip":{vip}}},"features":{{}}}}"#
    )
}

/// A record without operations: format 1, semantics 1, shard 0, transaction, identity, outputs before and of it,
/// digest.
fn journal(transaction: u8, outputs_before: u8, outputs: u8) -> Vec<u8> {
    let mut bytes = vec![1, 1, 0, transaction, 2, b'i', b'd', outputs_before, outputs];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[0, 0]);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}
