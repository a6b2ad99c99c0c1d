//! `shoal rebuild` on Kafka: what must hold before it begins, and the order of its steps.

use super::{Rebuild, ShardPlan};
use crate::kafka::{Failure, KafkaLog, create_or_check_topics, wait_until_alone};
use crate::store::{SnapshotWriter, StoredObjects};
use crate::worker::config::worker_config;
use crate::worker::ownership::check_group;
use crate::worker::settings::RunSettings;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Rebuilds the state of all shards after `agreed` has accepted the plan; the number of rebuilt shards.
pub fn rebuild(
    settings: &RunSettings,
    stop: &Arc<AtomicBool>,
    agreed: impl FnOnce(&[ShardPlan]) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let snapshots = &settings.snapshots;
    if !snapshots.are_on() {
        let message = "`url` of [snapshots] is empty: a rebuilt state is stored as a snapshot. Configure a location for snapshots";
        return Err(Failure::Stop(message.into()).into());
    }
    let config = worker_config(settings)?;
    create_or_check_topics(&settings.kafka, config.partitions)?;
    check_group(&settings.kafka)?;
    let blobs = StoredObjects::open(snapshots).map_err(Failure::Stop)?;
    let mut store = SnapshotWriter::new(blobs, snapshots.keep as usize, RandomState::new().hash_one("rebuild"));
    wait_until_alone(&settings.kafka, stop)?;
    let mut log = KafkaLog::join(&settings.kafka, 0)?.with_compression(settings.output.compression);
    let mut rebuild = Rebuild::new(&mut log, &mut store, &config, stop);
    let plans = rebuild.plan()?;
    agreed(&plans)?;
    rebuild.carry_out(&plans)?;
    Ok(plans.iter().filter(|plan| !plan.is_done).count())
}
