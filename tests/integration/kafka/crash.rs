//! A record that ends the process, with the real program: it is found and skipped, and all other records are processed.

use super::pipeline::{produce, settings, views, wait_until_done};
use super::service::Service;
use crate::support::events::{Line, OPENING, RULES, shop};
use crate::support::{self, memory};
use shoal::worker::journal::{JournalRecord, Operation};

const PARTITIONS: u32 = 2;
const POISON: &str = "c-poison";
/// The first death, one in a group of records, two alone; then the record is skipped.
const DEATHS: usize = 5;

#[test]
fn a_record_that_kills_is_rejected_and_its_neighbours_have_their_effects() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "crash", PARTITIONS as i32);
    settings.snapshots.url = folder.path().join("snapshots").to_str().unwrap().to_owned();
    let good = shop(61, 40, 900);
    let value = format!(r#"{{"customer_id":"{POISON}","type":"view","time":{}}}"#, OPENING + 1);
    let poison = Line { time: good[600].time, key: Some(POISON.into()), value: Some(value.into_bytes()) };
    let mut lines = good.clone();
    lines.insert(600, poison);
    produce(broker, &settings.kafka.inputs[0], &lines, PARTITIONS);

    let mut deaths = 0;
    while Service::start_with(folder.path(), &settings, "crash", 0, &[("SHOAL_CRASH_AT", &format!("apply/{POISON}"))])
        .dies_before(|| {
            broker.committed(&settings.kafka.group, &settings.kafka.inputs[0], 2).iter().sum::<i64>() == 901
        })
    {
        deaths += 1;
        assert!(deaths <= DEATHS, "it still dies");
    }
    assert!((3..=DEATHS).contains(&deaths), "{deaths} deaths");

    // A start from a snapshot and a replay of the whole journal arrive at the same digest; otherwise the start is
    // refused.
    std::fs::remove_dir_all(folder.path().join("snapshots")).unwrap();
    let again = Service::start(folder.path(), &settings, "crash", 0);
    again.wait_until_logged("shard recovered");
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    again.stop();

    let found = views(broker, &settings.kafka);
    let rejected = &found.rejected[POISON.as_bytes()];
    assert!(rejected.len() == 1 && rejected[0].contains(r#""reason":"crash""#), "{rejected:?}");
    let expected = memory::expected(&good, &settings.kafka.inputs[0], PARTITIONS, RULES);
    let keys = |views: &support::views::Views| {
        views.changes.iter().map(|(key, all)| (key.clone(), all.len())).collect::<Vec<_>>()
    };
    assert_eq!(keys(&found), keys(&expected));
    let journal = broker.read_committed(&settings.kafka.topics.journal);
    let operations =
        journal.iter().flat_map(|record| JournalRecord::read(record.value.as_deref().unwrap()).unwrap().operations);
    let skips = operations.filter(|operation| matches!(operation, Operation::Skip { .. })).count();
    assert_eq!(skips, 1);
}
