//! The only function that makes Kafka clients, so that each has its token and no error shows a secret.

use super::token;
use crate::kafka::error_class::{self, not_allowed};
use crate::kafka::raw::admin::set_token;
use crate::kafka::{Failure, KafkaSettings};
use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Makes a client. `what` names it in the error.
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
        token::keep_renewed(PathBuf::from(&settings.oauth_token_file), move |token| {
            let client = weak.upgrade()?;
            Some(set_token(client.client_of(), &token.text, token.expires_at, &token.subject))
        })?;
    }
    Ok(client)
}

/// Why a client cannot be made. The library's message contains the value of a setting that it refuses, which may be a
/// secret.
fn unusable(what: &str, error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, message, key, value) => {
            let message = if value.is_empty() { message.clone() } else { message.replace(value.as_str(), "…") };
            format!("{what} cannot be made: `{key}` of [kafka.client]: {message}")
        }
        error => format!("{what} cannot be made: {error}; see [kafka.client]"),
    }
}

/// Registers a producer for transactions. Every earlier producer of the same identity can no longer write.
pub fn init_transactions<C: ProducerContext>(
    producer: &BaseProducer<C>,
    transactional_id: &str,
    wait: Duration,
) -> Result<(), Failure> {
    producer.init_transactions(wait).map_err(|error| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            Failure::Stop(not_allowed("Write", "transactional id", transactional_id))
        }
        code => {
            let message = format!("transactions of {transactional_id} cannot be initialised within {wait:?}: {error}");
            error_class::classify_transaction(code.unwrap_or(RDKafkaErrorCode::Unknown), message)
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
