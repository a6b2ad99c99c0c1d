//! A service that began from a seed, which was lost: the seed is restored, and the state is rebuilt from it.

use crate::support::events::{DAY, Line, OPENING, RULES, shop};
use crate::support::memory::{self, ID, run_to_end};
use crate::support::views::Views;
use shoal::engine::decode::Partitioner;
use shoal::engine::shard::Bootstrap;
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::kafka::{Failure, Own};
use shoal::offline::seed::Seed;
use shoal::store::SnapshotWriter;
use shoal::store::objects::MemoryObjects;
use shoal::worker::{Rebuild, Worker, WorkerConfig, control};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const SHARDS: u32 = 2;
/// The seed contains the events before this time.
const UNTIL: i64 = OPENING + 200 * DAY;
const MANIFEST: &str = "/manifest-";

/// Changes by new rules do not wait for a dwell, and a rebuild applies the rules in force as new ones.
fn rules() -> String {
    RULES.replace("min_dwell = \"7d\"\n", "")
}

fn config() -> WorkerConfig {
    memory::config("events", SHARDS, &rules())
}

/// A service in memory: its topics and its snapshots.
struct Shop {
    cluster: Cluster,
    objects: MemoryObjects,
}

impl Shop {
    /// A service with a seed from a file, and these records in its input.
    fn seeded(file: &Path, lines: &[Line]) -> Self {
        let shop = Self { cluster: memory::cluster_of(lines, SHARDS), objects: MemoryObjects::default() };
        shop.seed(file, UNTIL).expect("an empty location");
        shop
    }

    fn seed(&self, file: &Path, until: i64) -> Result<String, String> {
        let files = [PathBuf::from(file)];
        let seed = Seed {
            rules: control::read_rules(rules().as_bytes()).expect("rules"),
            files: &files,
            partitions: SHARDS,
            partitioner: Partitioner::Murmur2,
            until,
            publish_from: until,
            bootstrap: Bootstrap::Changes,
            rejected: None,
        };
        let seeded = seed.run(&mut SnapshotWriter::new(self.objects.clone(), 2, 5));
        seeded.map(|seeded| seeded.to_string()).map_err(|error| format!("{error:#}"))
    }

    fn worker(&self) -> Worker<MemoryLog> {
        let writer = SnapshotWriter::new(self.objects.clone(), 2, 7);
        memory::worker(&self.cluster, 4_096, config()).with_snapshots(Box::new(writer), 60_000)
    }

    /// Runs until everything is read, and stops in an orderly way.
    fn run(&self) {
        let mut worker = self.worker();
        run_to_end(&mut worker).expect("nothing fails");
        worker.finish().expect("nothing fails");
    }

    fn refusal(&self) -> String {
        match run_to_end(&mut self.worker()) {
            Err(Failure::Stop(message)) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn rebuild(&self) -> Result<(), Failure> {
        let (config, stop) = (config(), AtomicBool::new(false));
        let mut log = self.cluster.worker(ID, (0..SHARDS).collect());
        let mut writer = SnapshotWriter::new(self.objects.clone(), 2, 9);
        let mut rebuild = Rebuild::new(&mut log, &mut writer, &config, &stop);
        let plans = rebuild.plan()?;
        assert!(
            plans[1].to_string().contains("the state is made from its seed, then events offsets 0 to"),
            "{}",
            plans[1]
        );
        rebuild.carry_out(&plans)
    }

    /// Removes all snapshots, as retention and losses do; the note of the seed remains.
    fn lose_snapshots(&self) {
        self.objects.edit(|objects| objects.retain(|name, _| !name.contains(MANIFEST)));
    }

    fn snapshots(&self) -> usize {
        self.objects.edit(|objects| objects.keys().filter(|name| name.contains(MANIFEST)).count())
    }

    fn views(&self) -> Views {
        memory::views(&self.cluster, SHARDS)
    }
}

/// The lines before the time of the seed as a file, and the other lines.
fn split(folder: &Path, lines: Vec<Line>) -> (PathBuf, Vec<Line>) {
    let (before, after): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.time < UNTIL);
    let text: Vec<u8> =
        before.into_iter().flat_map(|line| [line.value.expect("an event"), b"\n".to_vec()].concat()).collect();
    let file = folder.join("history.jsonl");
    std::fs::write(&file, text).unwrap();
    (file, after)
}

#[test]
fn a_seed_that_has_gone_is_put_back_and_the_state_is_made_anew_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, after) = split(folder.path(), shop(81, 150, 3_000));
    let (first, rest) = after.split_at(after.len() / 2);
    let shop = Shop::seeded(&file, first);
    assert!(shop.seed(&file, UNTIL).unwrap_err().contains("there is a complete seed already"));
    shop.run();

    shop.lose_snapshots();
    let message = shop.refusal();
    assert!(message.contains("began from a seed") && message.contains("`shoal seed`"), "{message}");
    let message = shop.rebuild().unwrap_err().to_string();
    assert!(message.contains("not in the snapshot store any more") && message.contains("`shoal seed`"), "{message}");
    let message = shop.seed(&file, UNTIL - DAY).unwrap_err();
    assert!(message.contains("--until 2025-07-20T00:00:00Z") && message.contains("needs the same one"), "{message}");
    let other = folder.path().join("other.jsonl");
    std::fs::write(&other, &std::fs::read(&file).unwrap()[..2_000]).unwrap();
    let message = shop.seed(&other, UNTIL).unwrap_err();
    assert!(message.contains("the files differ") && shop.snapshots() == 0, "{message}");

    let output = shop.seed(&file, UNTIL).unwrap();
    assert!(output.starts_with("the previous seed is restored"), "{output}");
    let before = shop.views();
    shop.rebuild().expect("all is there again");
    shop.run();
    shop.views().assert_same(&before, "nothing differs from what was published");

    // The service continues like one that never lost anything.
    let expected = Shop::seeded(&file, &after);
    rest.iter().for_each(|line| memory::append(&shop.cluster, line, SHARDS));
    shop.run();
    expected.run();
    shop.views().assert_same(&expected.views(), "as if nothing had been lost");
}

#[test]
fn with_the_seed_put_back_the_journal_can_be_followed_again() {
    let folder = tempfile::tempdir().unwrap();
    let (file, after) = split(folder.path(), shop(82, 60, 900));
    let shop = Shop::seeded(&file, &after);
    shop.run();
    let before = shop.views();
    // The snapshot of one shard is damaged.
    shop.lose_snapshots();
    shop.seed(&file, UNTIL).unwrap();
    shop.objects.edit(|objects| {
        let damaged = objects.keys().find(|name| name.starts_with("shard-00001/manifest-")).cloned().unwrap();
        objects.insert(damaged, bytes::Bytes::from_static(b"not a manifest"));
    });
    assert!(shop.refusal().contains("shard 1, transaction 1: the shard began from a seed"));
    shop.seed(&file, UNTIL).unwrap();
    shop.run();
    shop.views().assert_same(&before, "the same, done again");
}

#[test]
fn a_state_is_not_made_anew_from_another_seed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, after) = split(folder.path(), shop(83, 60, 900));
    let shop = Shop::seeded(&file, &after);
    shop.run();
    let changes = memory::all(&shop.cluster, Own::Changes, SHARDS).len();
    // Another seed is stored at an empty location, and the service is configured to use it.
    shop.objects.edit(|objects| objects.clear());
    let other = folder.path().join("other.jsonl");
    std::fs::write(&other, "").unwrap();
    shop.seed(&other, UNTIL).unwrap();
    let message = shop.rebuild().unwrap_err().to_string();
    assert!(
        message.contains("began from a seed with digest") && message.contains("the one in the snapshot store has"),
        "{message}"
    );
    assert_eq!(memory::all(&shop.cluster, Own::Changes, SHARDS).len(), changes);
}
