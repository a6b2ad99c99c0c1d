//! `shoal run`: checks the topics, starts the workers, and ends them together.

use super::board::Board;
use super::control::read_rules;
use super::settings::RunSettings;
use super::spans::Spans;
use super::webhook::{Webhook, WebhookQueue};
use super::work::{Job, Worker};
use crate::engine::decode::{Partitioner, Source};
use crate::engine::shard::{Bootstrap, Settings};
use crate::kafka::{Failure, KafkaLog, StartAt, create_or_check_topics, input_partitions, input_retention};
use crate::store::SnapshotStoreThread;
use anyhow::{Context, bail};
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

/// Runs the service until `stop`. Every worker finishes its open transaction, and tells of itself on the board of its
/// number, if there is one.
pub fn run(settings: &RunSettings, boards: &[Arc<Board>], stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let job = job(settings)?;
    create_or_check_topics(&settings.kafka, job.partitions)?;
    let retention_ms = if boards.is_empty() { Vec::new() } else { input_retention(&settings.kafka)? };
    let retention_ms = retention_ms.as_slice();
    let workers = settings.worker.workers.max(1) as usize;
    let webhook = Webhook::start(&settings.alerts)?;
    if !settings.snapshots.are_on() {
        tracing::info!(
            "`url` of [snapshots] is empty: each start reads the inputs from the beginning of the journal, and a record that \
             kills the process is not found"
        );
    }
    let spans = Spans::start(&settings.traces, &settings.kafka.instance).map_err(Failure::Stop)?;
    tracing::info!(workers, shards = job.partitions, rules = job.rules.version, "running");
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|number| {
                let (job, stop) = (job.clone(), Arc::clone(stop));
                let (board, spans) = (boards.get(number).map(Arc::clone), spans.clone());
                let queue = webhook.as_ref().map(Webhook::queue);
                let worker = move || {
                    let done = work(settings, job, (number, board, spans, queue), retention_ms, &stop);
                    // All end together.
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
    job: Job,
    (number, board, spans, webhook): (usize, Option<Arc<Board>>, Option<Spans>, Option<WebhookQueue>),
    retention_ms: &[Option<u64>],
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let mut worker = Worker::new(KafkaLog::join(&settings.kafka, number)?, job).until(Arc::clone(stop));
    worker = worker.with_spans(spans);
    if let Some(board) = board {
        worker = worker.on_board(board, retention_ms);
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

/// What the workers of this process are to do, from its settings, its rules file and the inputs as they are.
pub fn job(settings: &RunSettings) -> anyhow::Result<Job> {
    let file = settings.rules.display();
    let bytes = std::fs::read(&settings.rules).with_context(|| format!("the rules file {file} cannot be read"))?;
    let rules = read_rules(&bytes).map_err(|words| anyhow::anyhow!("{file}: {words}"))?;
    let kafka = &settings.kafka;
    if kafka.inputs.is_empty() || kafka.inputs.len() > super::journal::TOPICS_MAX {
        bail!("`inputs` of [kafka]: expected 1 to {} topics, found {}", super::journal::TOPICS_MAX, kafka.inputs.len());
    }
    let partitions = input_partitions(kafka)?;
    let source = Source::Kafka { partitioner: partitioner(&kafka.partitioner)?, partitions };
    Ok(Job {
        inputs: kafka.inputs.clone(),
        partitions,
        shard: Settings { source, publish_from: None, bootstrap: Bootstrap::Nothing },
        source: format!("/shoal/{}", kafka.group),
        start: StartAt::from(&kafka.start),
        rules,
        force_rules: settings.force_rules,
        commit_interval_ms: settings.worker.commit_interval_ms,
        max_changes_per_minute: settings.worker.max_changes_per_minute,
    })
}

fn partitioner(name: &str) -> anyhow::Result<Partitioner> {
    Ok(match name {
        "murmur2" => Partitioner::Murmur2,
        "crc32" => Partitioner::Crc32,
        "any" => Partitioner::Any,
        other => bail!("`partitioner` of [kafka]: expected murmur2, crc32 or any, found {other:?}"),
    })
}
