//! `shoal run`: checks the topics, starts the workers, and stops them together.

use crate::kafka::{Failure, KafkaLog, create_or_check_topics, input_retention};
use crate::store::SnapshotStoreThread;
use crate::worker::alerts::webhook::{Webhook, WebhookQueue};
use crate::worker::config::{WorkerConfig, worker_config};
use crate::worker::event_loop::Worker;
use crate::worker::observe::spans::Spans;
use crate::worker::observe::status::WorkerStatus;
use crate::worker::ownership::check_group;
use crate::worker::settings::RunSettings;
use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A flag that the first SIGTERM or SIGINT sets; the second ends the process at once.
pub fn stop_on_signal() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Runs the service until `stop`. Each worker reports to the status of its number, if there is one, and commits its
/// open transaction at the end.
pub fn run(settings: &RunSettings, statuses: &[Arc<WorkerStatus>], stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let config = worker_config(settings)?;
    create_or_check_topics(&settings.kafka, config.partitions)?;
    check_group(&settings.kafka)?;
    let retention_ms = if statuses.is_empty() { Vec::new() } else { input_retention(&settings.kafka)? };
    let retention_ms = retention_ms.as_slice();
    let workers = settings.worker.workers.max(1) as usize;
    let webhook = Webhook::start(&settings.alerts)?;
    if !settings.snapshots.are_on() {
        tracing::info!(
            "snapshots are off, because `url` of [snapshots] is empty: each start replays the whole journal from the inputs, \
             and a record that kills the process is not found. Configure a location for snapshots in production"
        );
    }
    let spans = Spans::start(&settings.traces, &settings.kafka.instance).map_err(Failure::Stop)?;
    tracing::info!(workers, shards = config.partitions, rules = config.rules.version, "running");
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|number| {
                let (config, stop) = (config.clone(), Arc::clone(stop));
                let (status, spans) = (statuses.get(number).map(Arc::clone), spans.clone());
                let queue = webhook.as_ref().map(Webhook::queue);
                let worker = move || {
                    let done = work(settings, config, (number, status, spans, queue), retention_ms, &stop);
                    // All workers stop together.
                    stop.store(true, Ordering::Relaxed);
                    done
                };
                thread::Builder::new().name(format!("worker-{number}")).spawn_scoped(scope, worker)
            })
            .collect();
        let mut outcome = Ok(());
        for handle in handles {
            let done = match handle.context("a worker thread cannot be started")?.join() {
                Ok(done) => done.map_err(anyhow::Error::from),
                Err(panic) => std::panic::resume_unwind(panic),
            };
            outcome = outcome.and(done);
        }
        if let Some(spans) = &spans {
            spans.end();
        }
        outcome
    })
}

fn work(
    settings: &RunSettings,
    config: WorkerConfig,
    (number, status, spans, webhook): (usize, Option<Arc<WorkerStatus>>, Option<Spans>, Option<WebhookQueue>),
    retention_ms: &[Option<u64>],
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let mut worker = Worker::new(KafkaLog::join(&settings.kafka, number)?, config).until(Arc::clone(stop));
    worker = worker.with_spans(spans);
    if let Some(status) = status {
        worker = worker.with_status(status, retention_ms);
    }
    if let Some(webhook) = webhook {
        worker = worker.with_webhook(webhook);
    }
    if settings.snapshots.are_on() {
        let store =
            SnapshotStoreThread::start(&settings.snapshots, &format!("snapshots-{number}")).map_err(Failure::Stop)?;
        worker = worker.with_snapshots(Box::new(store), settings.snapshots.interval.0);
    }
    worker.run()?;
    tracing::info!(number, "worker stopped");
    Ok(())
}
