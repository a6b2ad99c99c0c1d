//! The one door to all Kafka clients: their settings, tokens where they authenticate with one, and what librdkafka logs.

use super::fate;
use super::inspect::not_allowed;
use super::{Failure, KafkaSettings, raw_admin, token};
use crate::repeats::Repeats;
use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::fmt::Display;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long we wait for an answer before a request counts as failed.
pub const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// Between two questions to a broker that has not answered well.
pub const ASK_AGAIN: Duration = Duration::from_millis(20);

static ASKING: Repeats = Repeats::new();

/// Asks again while there is no answer, for as long as one request may take.
pub fn insist<T>(ask: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let deadline = Instant::now() + REQUEST_WAIT;
    loop {
        match ask() {
            Err(Failure::Rebuild(words)) if Instant::now() < deadline => {
                ASKING.say(&words, |left_out| tracing::info!(target: "kafka", left_out, "{words}; asking again"));
                std::thread::sleep(ASK_AGAIN);
            }
            done => return done,
        }
    }
}

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

/// Makes a client; `what` it is stands in the error.
pub fn make<T: HasClient>(
    settings: &KafkaSettings,
    config: &ClientConfig,
    context: T::Context,
    what: &str,
) -> Result<Arc<T>, Failure> {
    let client = T::from_config_and_context(config, context).map_err(|error| Failure::Stop(unusable(what, &error)))?;
    let client = Arc::new(client);
    if !settings.oauth_token_file.is_empty() {
        let weak = Arc::downgrade(&client);
        token::keep(PathBuf::from(&settings.oauth_token_file), move |token| {
            let client = weak.upgrade()?;
            Some(raw_admin::set_token(client.client_of(), &token.text, token.expires_at, &token.subject))
        })?;
    }
    Ok(client)
}

/// Why a client cannot be made. The library shows the value of a setting it refuses, which may be a secret.
fn unusable(what: &str, error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, words, key, value) => {
            let words = if value.is_empty() { words.clone() } else { words.replace(value.as_str(), "…") };
            format!("{what} cannot be made: `{key}` of [kafka.client]: {words}")
        }
        error => format!("{what} cannot be made: {error}; see [kafka.client]"),
    }
}

/// Opens a producer's door to transactions: every earlier producer of the same identity can write no more.
pub fn begin_transactions<C: ProducerContext>(
    producer: &BaseProducer<C>,
    transactional_id: &str,
    wait: Duration,
) -> Result<(), Failure> {
    producer.init_transactions(wait).map_err(|error| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            Failure::Stop(not_allowed("Write", "transactional id", transactional_id))
        }
        code => {
            let words = format!("no transactions for {transactional_id} within {wait:?}: {error}");
            fate::of_transaction(code.unwrap_or(RDKafkaErrorCode::Unknown), words)
        }
    })
}

/// The kinds of clients that we use, each with the common one inside.
pub trait HasClient: FromClientConfigAndContext<Self::Context> + Send + Sync + 'static {
    type Context: ClientContext;
    fn client_of(&self) -> &Client<Self::Context>;
}

impl<C: ClientContext + 'static> HasClient for AdminClient<C> {
    type Context = C;
    fn client_of(&self) -> &Client<C> {
        self.inner()
    }
}

impl<C: ConsumerContext + 'static> HasClient for BaseConsumer<C> {
    type Context = C;
    fn client_of(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ProducerContext + 'static> HasClient for BaseProducer<C> {
    type Context = C;
    fn client_of(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ProducerContext + 'static> HasClient for ThreadedProducer<C> {
    type Context = C;
    fn client_of(&self) -> &Client<C> {
        self.client()
    }
}

/// Logs, and nothing else.
#[derive(Clone, Copy, Default)]
pub struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        fate::tell_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        fate::tell_error(&error, reason);
    }
}

impl ConsumerContext for Logging {}

impl ProducerContext for Logging {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// A failure that no repetition helps against.
pub fn stop<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Stop(format!("{what}: {error}"))
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
