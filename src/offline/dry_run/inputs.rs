//! A dry run on the real inputs, until it is stopped.
//!
//! Runs the worker of the service, in a temporary group of its own. No topic is created and nothing is written to
//! Kafka.

use crate::engine::shard::Shard;
use crate::kafka::DryRun;
use crate::offline::summary::Summary;
use crate::worker::{OwnedShard, RunSettings, Worker, worker_config};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Runs until `stop` is set; writes the value of each change as a line.
pub fn dry_run(
    settings: &RunSettings,
    stop: &Arc<AtomicBool>,
    mut out: impl Write + 'static,
) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let settings = RunSettings { kafka: DryRun::with_own_group(&settings.kafka), ..settings.clone() };
    let config = worker_config(&settings)?;
    let show = move |change: &[u8]| {
        out.write_all(change)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    let log = DryRun::join(&settings.kafka, Box::new(show))?;
    let mut worker = Worker::new(log, config).until(Arc::clone(stop));
    worker.run()?;
    let shards: Vec<&Shard> = worker.shards().filter_map(OwnedShard::shard).collect();
    Ok(Summary::new("dry run, nothing is published: processed", worker.counts(), &shards, None, began.elapsed()))
}
