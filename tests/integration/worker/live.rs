//! The real worker on the log in memory, in live time: several input topics are merged (T7), and ticks are held back
//! (T3).

use crate::support::events::{DAY, Line, OPENING, RULES, shop};
use crate::support::memory::{self, ID, run_to_end};
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::kafka::{Own, Topic};
use shoal::random::Random;
use shoal::worker::journal::{JournalRecord, Operation};
use shoal::worker::{Worker, WorkerConfig};

const SHARDS: u32 = 2;
const TOPICS: u16 = 3;
const MINUTE: i64 = 60_000;

fn wall_rules() -> String {
    RULES.replace("clock = \"events\"", "clock = \"wall\"")
}

fn config(topics: u16) -> WorkerConfig {
    let inputs = ["orders", "browsing", "profiles"].iter().take(usize::from(topics)).map(|&name| name.into()).collect();
    WorkerConfig { inputs, ..memory::config("events", SHARDS, &wall_rules()) }
}

fn cluster() -> Cluster {
    let cluster = Cluster::new(SHARDS);
    cluster.set_clock(OPENING);
    cluster
}

fn worker(cluster: &Cluster, topics: u16, batch_max: usize) -> Worker<MemoryLog> {
    Worker::new(cluster.worker(ID, (0..SHARDS).collect()).with_batch_max(batch_max), config(topics))
}

/// A record with the topic it is in and the moment at which it arrives, which is later than its time if it is late.
struct Arriving {
    topic: u16,
    arrival: i64,
    line: Line,
}

/// A shop whose events come through several topics. For a quarter of the year the last topic is silent.
fn arriving(seed: u64) -> Vec<Arriving> {
    let mut random = Random(seed);
    let mut arrival = OPENING;
    let lines = shop(seed, 12, 2_500).into_iter();
    lines
        .map(|line| {
            // No two events at the same time: their order would follow from their topics.
            arrival = (arrival + 1).max(line.time);
            let topic = random.below(u64::from(TOPICS)) as u16;
            let is_quiet = (100..190).contains(&((arrival - OPENING) / DAY));
            Arriving { topic: if is_quiet { topic % 2 } else { topic }, arrival, line }
        })
        .collect()
}

fn append(cluster: &Cluster, arriving: &Arriving) {
    let Line { key, value, .. } = &arriving.line;
    let partition = arriving.line.partition(SHARDS);
    cluster.append(arriving.topic, partition, Some(arriving.arrival), key.as_deref(), value.as_deref());
}

fn end_of(all: &[Arriving]) -> i64 {
    all.last().expect("a shop").arrival + 200 * DAY
}

/// The result when the worker runs while the events arrive.
fn live(all: &[Arriving]) -> Cluster {
    let cluster = cluster();
    let mut working = worker(&cluster, TOPICS, 4_096);
    for arriving in all {
        cluster.set_clock(arriving.arrival);
        run_to_end(&mut working).unwrap();
        append(&cluster, arriving);
        run_to_end(&mut working).unwrap();
    }
    cluster.set_clock(end_of(all));
    run_to_end(&mut working).unwrap();
    cluster
}

#[test]
fn a_backlog_of_several_topics_gives_what_running_live_gave() {
    for seed in 0..3 {
        let all = arriving(seed);
        let expected = memory::views(&live(&all), SHARDS);
        let late = expected.changes.values().flatten().filter(|change| change.contains("\"cause\":\"late\"")).count();
        assert!(late > 5, "seed {seed}: events that came after a change by time must be there, {late} are");
        for batch_max in [1, 50, 4_096] {
            let cluster = cluster();
            all.iter().for_each(|arriving| append(&cluster, arriving));
            cluster.set_clock(end_of(&all));
            run_to_end(&mut worker(&cluster, TOPICS, batch_max)).unwrap();
            memory::views(&cluster, SHARDS).assert_same(&expected, &format!("seed {seed}, batches of {batch_max}"));
        }
    }
}

#[test]
fn a_topic_that_is_months_behind_is_waited_for_and_crashes_do_not_matter() {
    let all = arriving(7);
    let expected = memory::views(&live(&all), SHARDS);
    let mut random = Random(7);
    let cluster = cluster();
    all.iter().for_each(|arriving| append(&cluster, arriving));
    cluster.set_clock(end_of(&all));
    // Fetches of the first topic are not answered at first: records of the others have arrived and must wait.
    (0..SHARDS).for_each(|shard| cluster.set_away(0, shard, true));
    let mut working = worker(&cluster, TOPICS, 100);
    (0..20).for_each(|_| working.turn().unwrap());
    assert_eq!(working.counts().records, 0, "nothing can be known to be next");
    (0..SHARDS).for_each(|shard| cluster.set_away(0, shard, false));
    for _ in 0..10 {
        (0..random.below(6)).for_each(|_| working.turn().unwrap());
        working = worker(&cluster, TOPICS, 1 + random.below(100) as usize);
    }
    run_to_end(&mut working).unwrap();
    memory::views(&cluster, SHARDS).assert_same(&expected, "crashes on the way");
    let has_merged = |record: &Vec<u8>| {
        let operations = JournalRecord::read(record).unwrap().operations;
        operations.iter().any(|operation| matches!(operation, Operation::Step { parts, .. } if parts.len() == 3))
    };
    let journal = memory::all(&cluster, Own::Journal, SHARDS);
    assert!(journal.iter().any(|record| has_merged(record.value.as_ref().unwrap())), "steps over all three topics");
}

/// What was known of a topic's end no longer counts when its leader is away: a record of another topic does not
/// overtake those that come to light later (T7).
#[test]
fn no_record_overtakes_those_of_a_topic_whose_leader_went_away_at_its_end() {
    let partition = |line: &Line| line.partition(SHARDS);
    let cluster = cluster();
    let ann = |n: i64| Line {
        time: OPENING + n * MINUTE,
        key: Some(b"ann".to_vec()),
        value: Some(format!(r#"{{"type":"view","time":{}}}"#, OPENING + n * MINUTE).into_bytes()),
    };
    let arrive =
        |topic: u16, n: i64| append(&cluster, &Arriving { topic, arrival: OPENING + n * MINUTE, line: ann(n) });
    arrive(0, 0);
    let mut working = worker(&cluster, 2, 4_096);
    cluster.set_clock(OPENING + 1);
    run_to_end(&mut working).unwrap();
    for round in 0..3 {
        let applied = working.counts().records;
        cluster.set_away(0, partition(&ann(0)), true);
        cluster.set_clock(OPENING + (10 * round + 3) * MINUTE);
        arrive(0, 10 * round + 1);
        arrive(1, 10 * round + 2);
        (0..20).for_each(|_| working.turn().unwrap());
        assert_eq!(working.counts().records, applied, "round {round}: the record of the second topic must wait");
        cluster.set_away(0, partition(&ann(0)), false);
        run_to_end(&mut working).unwrap();
        assert_eq!((working.counts().records, working.counts().late), (applied + 2, 0), "round {round}: in order");
    }
}

/// One customer who browsed three times in topic 0; the audience `browsing` ends a week later.
fn browsed() -> (Cluster, Worker<MemoryLog>) {
    let cluster = cluster();
    let key = b"ann".as_slice();
    for n in 0..3 {
        let event = format!(r#"{{"type":"view","time":{}}}"#, OPENING + n);
        let partition = shoal::engine::decode::partition_of(shoal::engine::decode::Partitioner::Murmur2, key, SHARDS);
        cluster.append(0, partition, Some(OPENING + n), Some(key), Some(event.as_bytes()));
    }
    let mut working = worker(&cluster, 2, 4_096);
    cluster.set_clock(OPENING + MINUTE);
    run_to_end(&mut working).unwrap();
    (cluster, working)
}

fn changes_by_time(cluster: &Cluster) -> usize {
    let changes = memory::all(cluster, Own::Changes, SHARDS);
    let is_by_time = |value: &[u8]| String::from_utf8_lossy(value).contains("\"cause\":\"time\"");
    changes.iter().filter(|change| is_by_time(change.value.as_deref().unwrap())).count()
}

#[test]
fn an_idle_topic_holds_nothing_back_and_time_passes_without_events() {
    let (cluster, mut working) = browsed();
    cluster.set_clock(OPENING + 8 * DAY);
    run_to_end(&mut working).unwrap();
    assert_eq!(changes_by_time(&cluster), 1, "the views have left the window");
    assert!(cluster.records(Topic::Input(1), 0).is_empty(), "the second topic never had a record");
}

#[test]
fn a_silent_source_holds_time_back() {
    let (cluster, mut working) = browsed();
    cluster.set_silent(1, true);
    cluster.set_clock(OPENING + 8 * DAY);
    (0..50).for_each(|_| working.turn().unwrap());
    assert_eq!(changes_by_time(&cluster), 0, "who is silent may have lost its connection");
    cluster.set_silent(1, false);
    run_to_end(&mut working).unwrap();
    assert_eq!(changes_by_time(&cluster), 1);
}
