//! `shoal run`: checks the topics, starts the workers, and stops them together.
//!
//! A service waits for brokers that do not answer, however long that takes, and says what it waits for.

use crate::kafka::{Failure, KafkaLog, create_or_check_topics, input_retention, wait_for_contact, wait_until_free};
use crate::repeats::Repeats;
use crate::store::SnapshotStoreThread;
use crate::worker::alerts::webhook::{Webhook, WebhookQueue};
use crate::worker::config::{WorkerConfig, worker_config};
use crate::worker::event_loop::Worker;
use crate::worker::observe::spans::Spans;
use crate::worker::observe::status::WorkerStatus;
use crate::worker::ownership::check_group;
use crate::worker::settings::RunSettings;
use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// From a check that no broker answered to the next.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

static UNANSWERED: Repeats = Repeats::new();

/// A flag that the first SIGTERM, SIGINT or SIGHUP sets; the second ends the process at once. A SIGHUP that whoever
/// started the process has set to be ignored, as `nohup` does, stays ignored.
pub fn stop_on_signal() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    for signal in [SIGTERM, SIGINT].into_iter().chain(hang_up) {
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Whether the process was started with this signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Repeats what is done before the workers run until a broker answers; `None` if the process is to stop meanwhile.
fn until_answered<T>(
    statuses: &[Arc<WorkerStatus>],
    stop: &AtomicBool,
    mut attempt: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    while !stop.load(Ordering::Relaxed) {
        let error = match attempt() {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let Some(Failure::Rebuild(message)) = error.downcast_ref() else { return Err(error) };
        UNANSWERED.log(message, |left_out| {
            tracing::warn!(
                left_out,
                error = message,
                "a check before the start needs an answer of Kafka, and the request failed; it is tried again every second. If \
                 this lasts, look whether the brokers run and the topics have leaders"
            );
        });
        statuses.iter().for_each(|status| status.set_waits_for(Some(message.clone())));
        thread::park_timeout(CHECK_INTERVAL);
    }
    Ok(None)
}

/// Runs the service until `stop`. Each worker reports to the status of its number, if there is one, and commits its
/// open transaction at the end.
pub fn run(settings: &RunSettings, statuses: &[Arc<WorkerStatus>], stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let kafka = &settings.kafka;
    let tell = |reason: &str| statuses.iter().for_each(|status| status.set_waits_for(Some(reason.to_owned())));
    wait_for_contact(kafka, stop, tell)?;
    let prepared = until_answered(statuses, stop, || {
        let config = worker_config(settings)?;
        create_or_check_topics(kafka, config.partitions)?;
        check_group(kafka)?;
        let retention_ms = if statuses.is_empty() { Vec::new() } else { input_retention(kafka)? };
        if !settings.take_over {
            wait_until_free(kafka, stop)?;
        }
        Ok((config, retention_ms))
    })?;
    let Some((config, retention_ms)) = prepared.filter(|_| !stop.load(Ordering::Relaxed)) else { return Ok(()) };
    let retention_ms = retention_ms.as_slice();
    let workers = settings.worker.workers.max(1) as usize;
    let webhook = Webhook::start(&settings.alerts)?;
    if !settings.snapshots.are_on() {
        tracing::info!(
            "snapshots are off, because `url` of [snapshots] is empty: each start replays the whole journal from the inputs, \
             and a record that kills the process is not found. Configure a location for snapshots in production"
        );
    }
    if !config.output.membership {
        tracing::info!(
            "memberships are not published, because `membership` of [output] is false: the topic only gets tombstones, and \
             `shoal rebuild` is not possible"
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
    let statuses = status.as_slice();
    let joined = until_answered(statuses, stop, || Ok(KafkaLog::join(&settings.kafka, number)?));
    let compressed = |log: KafkaLog| log.with_compression(settings.output.compression);
    let log = match joined {
        Ok(Some(log)) => compressed(log),
        Ok(None) => return Ok(()),
        Err(error) => return Err(error.downcast().unwrap_or_else(|error| Failure::Stop(error.to_string()))),
    };
    let mut worker = Worker::new(log, config).until(Arc::clone(stop));
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
