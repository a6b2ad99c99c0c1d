//! The cluster by itself: what Kafka promises of transactions and groups, request by request.

use super::client::Phase;
use super::partition::{Stored, Writer};
use super::requests::{MemberTag, Part, Refusal, Request, TopicPartition};
use super::shared::{SESSION_TIMEOUT_MS, Shared, State};
use super::*;
use crate::kafka::{Batch, InputOffset, Log, OutRecord, Own, PartitionStatus, Position, Reader, Transaction};
use std::collections::BTreeSet;
use std::time::Duration;

const CHANGES: TopicPartition = (Topic::Own(Own::Changes), 0);
const JOURNAL: TopicPartition = (Topic::Own(Own::Journal), 0);
const BEGIN: i64 = 1_000_000;
const TRANSACTION_TIMEOUT_MS: i64 = 2_000;

/// A cluster with a clock of its own in which nothing goes wrong that a test does not make go wrong.
fn cluster() -> Cluster {
    let mut faults = Faults::of_seed(1);
    faults.stop();
    faults.transaction_timeout_ms = TRANSACTION_TIMEOUT_MS;
    Cluster::with_faults(2, faults, BEGIN)
}

/// Makes a writer of the identity, fencing earlier ones.
fn open(shared: &mut Shared, id: &str) -> Writer {
    let identity = shared.identity(id);
    let epoch = shared.execute(&Request::Init { identity }, false).expect("no transaction is ending");
    Writer { identity, epoch }
}

fn begin(
    shared: &mut Shared,
    writer: Writer,
    transaction: u64,
    topic_partitions: &[TopicPartition],
) -> Result<u32, Refusal> {
    shared.execute(&Request::Partitions { writer, transaction, topic_partitions: topic_partitions.to_vec() }, false)
}

fn write(
    shared: &mut Shared,
    writer: Writer,
    topic_partition: TopicPartition,
    sequence: u32,
    value: &str,
) -> Result<u32, Refusal> {
    let records = vec![Stored { value: Some(value.into()), ..Stored::default() }];
    shared.execute(&Request::Produce { writer, topic_partition, sequence, records }, false)
}

fn end(shared: &mut Shared, writer: Writer, transaction: u64) -> Result<u32, Refusal> {
    shared.execute(&Request::End { writer, transaction }, false)
}

fn values(cluster: &Cluster, topic_partition: TopicPartition) -> Vec<String> {
    let text = |stored: &Arc<Stored>| String::from_utf8(stored.value.clone().expect("a value")).expect("text");
    cluster.records(topic_partition.0, topic_partition.1).iter().map(text).collect()
}

#[test]
fn what_is_not_committed_is_not_seen_and_holds_back_what_comes_after_it() {
    let cluster = cluster();
    let mut shared = cluster.lock();
    let (first, second) = (open(&mut shared, "a"), open(&mut shared, "b"));
    begin(&mut shared, first, 1, &[CHANGES]).unwrap();
    begin(&mut shared, second, 1, &[CHANGES]).unwrap();
    write(&mut shared, first, CHANGES, 0, "open").unwrap();
    write(&mut shared, second, CHANGES, 0, "committed").unwrap();
    end(&mut shared, second, 1).unwrap();
    assert_eq!((shared.stable_end(CHANGES), shared.end(CHANGES)), (0, 3), "the marker takes an offset");
    let mut seen = Vec::new();
    assert_eq!(shared.partitions[&CHANGES].read(0, 99, 99, |stored| seen.push(stored.offset)), 0);
    end(&mut shared, first, 1).unwrap();
    assert_eq!(shared.partitions[&CHANGES].read(0, 99, 99, |stored| seen.push(stored.offset)), 4);
    assert_eq!(seen, [0, 1]);
}

#[test]
fn markers_land_one_by_one_and_the_next_transaction_waits_for_the_last() {
    let mut faults = Faults::of_seed(1);
    faults.stop();
    faults.marker_late = 1_000;
    let cluster = Cluster::with_faults(2, faults, BEGIN);
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "a");
    begin(&mut shared, writer, 1, &[CHANGES, JOURNAL]).unwrap();
    write(&mut shared, writer, CHANGES, 0, "change").unwrap();
    write(&mut shared, writer, JOURNAL, 0, "journal").unwrap();
    end(&mut shared, writer, 1).unwrap();
    let first = shared.next_event().unwrap();
    shared.advance(first);
    let ends = [CHANGES, JOURNAL].map(|topic_partition| shared.stable_end(topic_partition));
    assert!(ends == [2, 0] || ends == [0, 2], "one marker has landed: {ends:?}");
    assert_eq!(begin(&mut shared, writer, 2, &[CHANGES]), Err(Refusal::Busy));
    shared.advance(first + 1_000);
    assert_eq!([CHANGES, JOURNAL].map(|topic_partition| shared.stable_end(topic_partition)), [2, 2]);
    assert_eq!(begin(&mut shared, writer, 2, &[CHANGES]), Ok(0));
}

#[test]
fn a_new_holder_of_an_identity_ends_what_the_old_one_left_and_fences_it() {
    let cluster = cluster();
    let mut shared = cluster.lock();
    let old = open(&mut shared, "a");
    begin(&mut shared, old, 1, &[CHANGES]).unwrap();
    write(&mut shared, old, CHANGES, 0, "left").unwrap();
    let new = open(&mut shared, "a");
    assert!(new.epoch > old.epoch);
    assert!(matches!(write(&mut shared, old, CHANGES, 1, "late"), Err(Refusal::Fenced(_))));
    assert!(matches!(write(&mut shared, old, JOURNAL, 0, "late"), Err(Refusal::Fenced(_))));
    assert!(matches!(end(&mut shared, old, 1), Err(Refusal::Fenced(_))));
    drop(shared);
    assert!(values(&cluster, CHANGES).is_empty());
}

#[test]
fn a_repeated_request_is_not_written_twice() {
    let cluster = cluster();
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "a");
    begin(&mut shared, writer, 1, &[CHANGES]).unwrap();
    write(&mut shared, writer, CHANGES, 0, "one").unwrap();
    write(&mut shared, writer, CHANGES, 0, "one").unwrap();
    write(&mut shared, writer, CHANGES, 1, "two").unwrap();
    assert!(matches!(write(&mut shared, writer, CHANGES, 3, "a gap"), Err(Refusal::Invalid(_))));
    end(&mut shared, writer, 1).unwrap();
    end(&mut shared, writer, 1).unwrap();
    drop(shared);
    assert_eq!(values(&cluster, CHANGES), ["one", "two"]);
}

/// An end that arrives again commits what there is of the next transaction; what comes after it is refused, since the
/// coordinator knows of no transaction that it belongs to.
fn torn(first: TopicPartition, second: TopicPartition) -> Cluster {
    let cluster = cluster();
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "a");
    begin(&mut shared, writer, 1, &[CHANGES]).unwrap();
    write(&mut shared, writer, CHANGES, 0, "before").unwrap();
    end(&mut shared, writer, 1).unwrap();
    begin(&mut shared, writer, 2, &[CHANGES, JOURNAL]).unwrap();
    let sequence = |topic_partition: TopicPartition| u32::from(topic_partition == CHANGES);
    write(&mut shared, writer, first, sequence(first), "in time").unwrap();
    end(&mut shared, writer, 1).unwrap();
    assert!(matches!(write(&mut shared, writer, second, sequence(second), "too late"), Err(Refusal::Invalid(_))));
    assert_eq!(shared.faults.counts()[&Fault::EndedEarly], 1);
    open(&mut shared, "a");
    drop(shared);
    cluster
}

#[test]
fn a_transaction_is_torn_in_both_ways() {
    let cluster = torn(CHANGES, JOURNAL);
    assert_eq!(
        (values(&cluster, CHANGES).len(), values(&cluster, JOURNAL).len()),
        (2, 0),
        "an output, no journal record"
    );
    let cluster = torn(JOURNAL, CHANGES);
    assert_eq!(
        (values(&cluster, CHANGES).len(), values(&cluster, JOURNAL).len()),
        (1, 1),
        "a journal record, no output"
    );
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_writer_fenced() {
    let cluster = cluster();
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "a");
    begin(&mut shared, writer, 1, &[CHANGES]).unwrap();
    write(&mut shared, writer, CHANGES, 0, "slow").unwrap();
    shared.advance(BEGIN + TRANSACTION_TIMEOUT_MS - 1);
    assert_eq!(shared.stable_end(CHANGES), 0);
    shared.advance(BEGIN + TRANSACTION_TIMEOUT_MS);
    assert_eq!((shared.stable_end(CHANGES), shared.end(CHANGES)), (2, 2));
    assert!(matches!(end(&mut shared, writer, 1), Err(Refusal::Fenced(_))));
    drop(shared);
    assert!(values(&cluster, CHANGES).is_empty());
}

/// Lets time go on until a client has its shards.
fn wait_for(cluster: &Cluster, client: usize) -> MemberTag {
    for _ in 0..100 {
        cluster.advance(cluster.clock() + 100);
        let mut shared = cluster.lock();
        let given_up: Vec<u32> = match shared.clients[client].events.pop_front() {
            Some((GroupEvent::Assigned(_), tag)) => return tag.expect("membership"),
            Some((GroupEvent::Revoked { shards, .. }, _)) => shards,
            _ => Vec::new(),
        };
        shared.released(client, &given_up);
    }
    panic!("client {client} gets no shards");
}

fn offset(shared: &Shared, input: (u16, u32)) -> Option<i64> {
    shared.committed.get(&input).map(|known| known.offset)
}

fn commit_offset(shared: &mut Shared, writer: Writer, tag: &MemberTag) -> Result<u32, Refusal> {
    commit_offset_of(shared, writer, tag, 7)
}

fn commit_offset_of(shared: &mut Shared, writer: Writer, tag: &MemberTag, offset: i64) -> Result<u32, Refusal> {
    let offsets = vec![((0, 0), offset)];
    shared.execute(&Request::Offsets { writer, transaction: 1, member: Some(tag.clone()), offsets }, false)
}

#[test]
fn of_two_transactions_the_offset_written_later_counts_whichever_marker_comes_first() {
    let cluster = cluster();
    let first = cluster.connect("w0", 0);
    let tag = wait_for(&cluster, first);
    let mut shared = cluster.lock();
    let [earlier, later] = producer_ids("w0").map(|id| open(&mut shared, &id));
    commit_offset_of(&mut shared, earlier, &tag, 7).unwrap();
    // The coordinator has decided, and its marker is on its way.
    shared.producers[earlier.identity].state = State::Ending { is_commit: true, left: BTreeSet::from([Part::Group]) };
    commit_offset_of(&mut shared, later, &tag, 8).unwrap();
    end(&mut shared, later, 1).unwrap();
    assert_eq!(offset(&shared, (0, 0)), Some(8));
    assert!(shared.has_pending(&[0]), "a recovery waits for the earlier marker");
    shared.land_marker(earlier, Part::Group);
    assert_eq!(offset(&shared, (0, 0)), Some(8));
    assert!(!shared.has_pending(&[0]));
}

#[test]
fn offsets_count_with_the_marker_and_only_of_members_of_the_generation() {
    let cluster = cluster();
    let first = cluster.connect("w0", 0);
    let tag = wait_for(&cluster, first);
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "w0");
    commit_offset(&mut shared, writer, &tag).unwrap();
    assert!(shared.has_pending(&[0]) && !shared.has_pending(&[1]));
    assert_eq!(offset(&shared, (0, 0)), None);
    end(&mut shared, writer, 1).unwrap();
    assert_eq!(offset(&shared, (0, 0)), Some(7));
    drop(shared);
    // It stands still, and is no member any more.
    cluster.set_stopped(first, true);
    cluster.advance(cluster.clock() + SESSION_TIMEOUT_MS);
    let mut shared = cluster.lock();
    assert!(matches!(commit_offset(&mut shared, writer, &tag), Err(Refusal::Fenced(_))));
    drop(shared);
    cluster.set_stopped(first, false);
    cluster.advance(cluster.clock() + 1_000);
    assert_eq!(cluster.lock().clients[first].events[0].0, GroupEvent::Revoked { shards: vec![0, 1], lost: true });
    let again = wait_for(&cluster, first);
    assert!(again.generation > tag.generation && again.member != tag.member);
}

#[test]
fn a_second_member_gets_its_share_once_the_first_has_let_go() {
    let cluster = cluster();
    let first = cluster.connect("w0", 0);
    let tag = wait_for(&cluster, first);
    let second = cluster.connect("w1", 0);
    cluster.advance(cluster.clock() + 1_000);
    assert_eq!(cluster.lock().clients[second].phase, Phase::Joining);
    assert_eq!(
        cluster.lock().clients[first].events.pop_front(),
        Some((GroupEvent::Revoked { shards: vec![0, 1], lost: false }, None))
    );
    // Until it has, its offsets count.
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "w0");
    commit_offset(&mut shared, writer, &tag).unwrap();
    end(&mut shared, writer, 1).unwrap();
    shared.released(first, &[0, 1]);
    drop(shared);
    let (first, second) = (wait_for(&cluster, first), wait_for(&cluster, second));
    assert_eq!((first.generation, second.generation), (tag.generation + 1, tag.generation + 1));
    let mut shared = cluster.lock();
    assert!(matches!(commit_offset(&mut shared, writer, &tag), Err(Refusal::Fenced(_))));
}

#[test]
fn who_comes_back_in_time_moves_nothing_and_fences_who_was_there() {
    let cluster = cluster();
    let first = cluster.connect("w0", 0);
    let tag = wait_for(&cluster, first);
    cluster.kill(first);
    let second = cluster.connect("w0", 0);
    let again = wait_for(&cluster, second);
    assert_eq!(again.generation, tag.generation);
    let third = cluster.connect("w0", 0);
    wait_for(&cluster, third);
    cluster.advance(cluster.clock() + 1_000);
    assert!(cluster.is_fenced(second) && !cluster.is_fenced(third));
}

#[test]
fn an_answer_that_is_lost_leaves_the_worker_in_the_dark() {
    let cluster = Cluster::new(1);
    let mut log = cluster.worker("w", vec![0]);
    log.fence().unwrap();
    let record = OutRecord { topic: Own::Journal, partition: 0, key: None, value: Some(b"done"), headers: 0..0 };
    let offsets = vec![InputOffset { topic: 0, partition: 0, offset: 1 }];
    let transaction = Transaction { records: vec![record], headers: Vec::new(), offsets };
    for (how, there) in [(Break::Lost, 0), (Break::AnswerLost, 1)] {
        cluster.break_publish("w", how);
        assert!(log.publish(&transaction).is_err(), "{how:?}");
        assert!(log.publish(&transaction).is_err(), "there is no producer before it is made again");
        log.fence().unwrap();
        assert_eq!(values(&cluster, JOURNAL).len(), there, "{how:?}");
    }
}

#[test]
fn a_leader_that_is_away_shows_no_end() {
    let cluster = Cluster::new(1);
    cluster.set_away(0, 0, true);
    cluster.append(0, 0, Some(1), None, Some(b"record"));
    let mut log = cluster.worker("w", vec![0]);
    log.start(&[Position { topic: Topic::Input(0), partition: 0, offset: 0 }]).unwrap();
    let mut batch = MemoryBatch::default();
    let input = Topic::Input(0);
    let is_at_end = |log: &MemoryLog| log.partition_status(input, 0).is_at_end;
    let is_answered = |log: &MemoryLog| log.partition_status(input, 0).last_answer.is_some();
    log.poll(Duration::ZERO).unwrap();
    assert_eq!(log.read(input, 0, 9, &mut batch), Ok(0));
    assert_eq!(log.partition_status(input, 0), PartitionStatus::default());
    cluster.set_away(0, 0, false);
    assert_eq!(log.read(input, 0, 9, &mut batch), Ok(1));
    assert!(is_answered(&log) && is_at_end(&log));
    cluster.set_away(0, 0, true);
    cluster.append(0, 0, Some(1), None, Some(b"another"));
    assert_eq!(log.read(input, 0, 9, &mut batch), Ok(0));
    assert!(!is_at_end(&log), "what a fetch has shown counts until one fails");
    cluster.set_away(0, 0, false);
    assert_eq!(log.read(input, 0, 9, &mut batch), Ok(1));
    assert!(is_at_end(&log));
}

#[test]
fn a_reader_passes_over_markers_and_what_was_aborted() {
    let cluster = cluster();
    let mut shared = cluster.lock();
    let writer = open(&mut shared, "a");
    for (number, text) in [(1, "aborted"), (2, "committed")] {
        begin(&mut shared, writer, number, &[JOURNAL]).unwrap();
        write(&mut shared, writer, JOURNAL, number as u32 - 1, text).unwrap();
        if number == 1 {
            shared.begin_end(writer.identity, false);
        } else {
            end(&mut shared, writer, number).unwrap();
        }
    }
    drop(shared);
    let mut reader = cluster.worker("r", Vec::new()).reader(JOURNAL.0, 0, 0).unwrap();
    let mut batch = MemoryBatch::default();
    reader.read(reader.end(), 9, &mut batch).unwrap();
    assert_eq!((batch.len(), batch.record(0).offset, reader.position()), (1, 2, 4));
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let draw = |seed| {
        let mut faults = Faults::of_seed(seed);
        (0..200).map(|_| (faults.marker_delay(), faults.fetch_delay())).collect::<Vec<_>>()
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}
