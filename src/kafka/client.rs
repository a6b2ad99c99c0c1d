//! Settings and contexts that all Kafka clients share: what librdkafka logs goes to `tracing`.

use super::{Failure, KafkaSettings};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// How long we wait for an answer before a request counts as failed.
pub const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// What every client is told.
pub fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", format!("shoal-{}", settings.instance))
        .set("socket.timeout.ms", "10000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &settings.client {
        config.set(name, value);
    }
    config
}

/// What every consumer is told.
pub fn consumer_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = config(settings);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", settings.fetch_wait_ms.to_string())
        // The default of 1000 costs a factor of ten.
        .set("fetch.queue.backoff.ms", "5")
        .set("check.crcs", "false");
    config
}

/// Logs, and nothing else.
#[derive(Clone, Copy, Default)]
pub struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "kafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Logging {}

pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(target: "kafka", "{facility} {message}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", "{facility} {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "kafka", "{facility} {message}"),
        RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", "{facility} {message}"),
    }
}

/// A failure that no repetition helps against.
pub fn stop<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Stop(format!("{what}: {error}"))
}

/// A failure that may pass: recovery is tried again, a bounded number of times.
pub fn again<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Rebuild(format!("{what}: {error}"))
}

/// Waits for one future on this thread: the admin client has no other door.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
