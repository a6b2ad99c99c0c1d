//! The settings of `[output]` on a real broker: what consumers read, and what is on the broker's disk.

use super::pipeline::{produce, run_while, settings, views, wait_until_done};
use super::service::Service;
use crate::support::events::{RULES, shop};
use crate::support::memory::expected;
use crate::support::{self, Broker, Received};
use shoal::kafka::Compression;
use shoal::worker::{OutputHeaders, OutputSettings, RunSettings};
use std::collections::BTreeMap;

const PARTITIONS: u32 = 4;

/// The record batches of a topic as the broker stores them: their bytes, and how many have each compression.
fn stored(broker: &Broker, topic: &str) -> (u64, BTreeMap<u8, u32>) {
    let (mut bytes, mut codecs) = (0, BTreeMap::new());
    for partition in 0..PARTITIONS {
        let segment = broker.folder().join(format!("data/{topic}-{partition}/00000000000000000000.log"));
        let segment = std::fs::read(&segment).unwrap_or_else(|error| panic!("{}: {error}", segment.display()));
        let mut rest = segment.as_slice();
        // Offset, length of what follows, leader's epoch, version, checksum, attributes.
        while let Some((head, _)) = rest.split_first_chunk::<23>() {
            let length = 12 + u32::from_be_bytes(head[8..12].try_into().unwrap()) as usize;
            let is_control = head[22] & 32 != 0;
            if !is_control {
                *codecs.entry(head[22] & 7).or_default() += 1;
                bytes += length as u64;
            }
            rest = &rest[length..];
        }
    }
    (bytes, codecs)
}

fn header_names(changes: &[Received]) -> Vec<String> {
    let own = ["shoal_out", "shoal_journal"];
    let names = |change: &Received| -> Vec<String> {
        change.headers.iter().map(|(name, _)| name.clone()).filter(|name| !own.contains(&name.as_str())).collect()
    };
    let first = names(&changes[0]);
    for change in changes {
        assert_eq!(names(change)[..first.len().min(5)], first[..first.len().min(5)], "all changes begin alike");
        assert!(change.header("shoal_out").is_some(), "recovery needs it");
    }
    first
}

/// Each setting once: the values of changes are always the same, and what is on the disk depends on the settings.
#[test]
fn outputs_have_the_headers_the_memberships_and_the_compression_that_are_configured() {
    let Some(broker) = support::broker() else { return };
    let lines = shop(31, 200, 3_000);
    let all = OutputSettings { headers: OutputHeaders::All, ..OutputSettings::default() };
    let compressed = |compression| OutputSettings { compression, ..OutputSettings::default() };
    let ways = [
        ("all", all, 3),
        ("default", OutputSettings::default(), 3),
        ("none", OutputSettings { headers: OutputHeaders::None, membership: false, ..OutputSettings::default() }, 3),
        ("plain", compressed(Compression::None), 0),
        ("lz4", compressed(Compression::Lz4), 3),
        ("zstd", compressed(Compression::Zstd), 4),
    ];
    let mut sizes = BTreeMap::new();
    for (name, output, codec) in ways {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(broker, folder.path(), &format!("outputs-{name}"), PARTITIONS as i32);
        let settings = RunSettings { output, ..settings };
        let (input, topics) = (&settings.kafka.inputs[0], &settings.kafka.topics);
        produce(broker, input, &lines, PARTITIONS);
        run_while(&settings, || wait_until_done(broker, &settings.kafka, PARTITIONS));

        let expected = expected(&lines, input, PARTITIONS, RULES);
        let found = views(broker, &settings.kafka);
        let changes = broker.read_committed(&topics.changes);
        let headers = header_names(&changes);
        let required = ["ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"];
        match output.headers {
            OutputHeaders::All => assert!(headers.starts_with(&required.map(str::to_owned)) && headers.len() > 9),
            OutputHeaders::CloudEvents => assert_eq!(headers, required),
            OutputHeaders::None => assert_eq!(headers, [""; 0]),
        }
        if output.membership {
            found.assert_same(&expected, name);
        } else {
            assert_eq!(found.changes, expected.changes, "{name}");
            let memberships = broker.read_committed(&topics.membership);
            assert!(memberships.iter().all(|record| record.value.is_none()), "only tombstones");
        }
        let (bytes, codecs) = stored(broker, &topics.changes);
        let (of_memberships, _) = stored(broker, &topics.membership);
        // The client leaves a batch as it is where compression would make it longer.
        assert!(codecs.contains_key(&codec) && codecs.keys().all(|found| [0, codec].contains(found)), "{codecs:?}");
        let per_change = |bytes: u64| bytes / changes.len() as u64;
        println!(
            "{name}: {} changes in {} batches; {} bytes a change, {} with memberships",
            changes.len(),
            codecs.values().sum::<u32>(),
            per_change(bytes),
            per_change(bytes + of_memberships)
        );
        sizes.insert(name, per_change(bytes + of_memberships));
    }
    assert!(sizes["plain"] > sizes["lz4"] && sizes["lz4"] > sizes["zstd"], "{sizes:?}");
    assert!(sizes["all"] > sizes["default"] && sizes["default"] > sizes["none"], "{sizes:?}");
}

/// Memberships are left out from a restart on: the topic says so to who would continue or need it.
#[test]
fn a_service_with_an_outdated_membership_topic_does_not_publish_to_it_again() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut settings = settings(broker, folder, "outputs-stop", PARTITIONS as i32);
    settings.snapshots.url = folder.join("snapshots").to_str().unwrap().to_owned();
    let lines = shop(32, 100, 2_000);
    let (first, rest) = lines.split_at(1_000);
    let input = settings.kafka.inputs[0].clone();
    let run = |lines, variables: &[(&str, &str)]| {
        produce(broker, &input, lines, PARTITIONS);
        let service = Service::start_with(folder, &settings, "only", 0, variables);
        wait_until_done(broker, &settings.kafka, PARTITIONS);
        service.wait_until_logged("shard recovered");
        let log = service.log();
        service.stop();
        log
    };
    let off = [("SHOAL__OUTPUT__MEMBERSHIP", "false")];
    run(first, &[]);
    let before = broker.read_committed(&settings.kafka.topics.membership).len();
    let log = run(rest, &off);
    assert!(log.contains("memberships are published no more"), "{log}");
    let records = broker.read_committed(&settings.kafka.topics.membership);
    assert!(records[..].len() >= before, "nothing is removed");
    let changed = broker.read_committed(&settings.kafka.topics.changes);
    let expected = expected(&lines, &input, PARTITIONS, RULES);
    assert_eq!(changed.len(), expected.changes.values().map(Vec::len).sum::<usize>());

    let message = Service::start(folder, &settings, "only", 0).refused();
    assert!(message.contains("the topic `membership` is out of date"), "{message}");
    let (done, message) = Service::rebuild(&settings, &off);
    assert!(!done && message.contains("those are out of date"), "{message}");
    let log = run(&[], &off);
    assert!(log.contains("memberships are not published") && !log.contains("published no more"), "{log}");
}
