//! `shoal rebuild` on Kafka: what must be so before it begins, and the order of its words.

use super::{Rebuild, ShardPlan};
use crate::kafka::{Failure, KafkaLog, create_or_check_topics, wait_until_alone};
use crate::store::{SnapshotWriter, StoredObjects};
use crate::worker::run::job;
use crate::worker::settings::RunSettings;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Makes the state of all shards anew once `agreed` has seen what will be done; how many shards were.
pub fn rebuild(
    settings: &RunSettings,
    stop: &Arc<AtomicBool>,
    agreed: impl FnOnce(&[ShardPlan]) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let snapshots = &settings.snapshots;
    if !snapshots.are_on() {
        let words = "`url` of [snapshots] is empty: the state that is made anew is a snapshot, so it needs a place";
        return Err(Failure::Stop(words.into()).into());
    }
    let job = job(settings)?;
    create_or_check_topics(&settings.kafka, job.partitions)?;
    let objects = StoredObjects::open(snapshots).map_err(Failure::Stop)?;
    let mut writer = SnapshotWriter::new(objects, snapshots.keep as usize, RandomState::new().hash_one("rebuild"));
    wait_until_alone(&settings.kafka, stop)?;
    let mut log = KafkaLog::join(&settings.kafka, 0)?;
    let mut rebuild = Rebuild::new(&mut log, &mut writer, &job, stop);
    let plans = rebuild.plan()?;
    agreed(&plans)?;
    rebuild.carry_out(&plans)?;
    Ok(plans.iter().filter(|plan| !plan.is_done).count())
}
