//! What librdkafka logs and reports, at the level of who must act on it.
//!
//! A client retries almost everything by itself, so most of it is `info` or below. Each of a client's connections
//! reports its own errors; equal ones are written once a second, with the number left out.

use crate::repeats::Repeats;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

static ERRORS: Repeats = Repeats::new();
static LOGS: Repeats = Repeats::new();

/// The context of a client that needs nothing but logging. Other contexts forward to it.
#[derive(Clone, Copy, Default)]
pub struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                // Nobody must act: what is logged there is retried, or is reported as an error too.
                LOGS.log(facility, |left_out| tracing::info!(target: "kafka", left_out, "{facility} {message}"));
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "kafka", "{facility} {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        ERRORS.log(&format!("{code:?}"), |left_out| log_error(code, reason, left_out));
    }
}

fn log_error(code: Option<RDKafkaErrorCode>, reason: &str, left_out: Option<u64>) {
    use RDKafkaErrorCode::{AllBrokersDown, Authentication, Fatal, SSL, SaslAuthenticationFailed};
    match code {
        Some(Authentication | SaslAuthenticationFailed | SSL) => tracing::warn!(
            target: "kafka",
            left_out,
            error = reason,
            "the broker connection is refused; retrying, and will fail until [kafka.client] or the broker is corrected"
        ),
        Some(AllBrokersDown) => {
            tracing::warn!(target: "kafka", left_out, error = reason, "no broker can be reached; retrying");
        }
        Some(Fatal) => tracing::error!(target: "kafka", left_out, error = reason, "the Kafka client failed"),
        Some(_) | None => tracing::info!(target: "kafka", left_out, error = reason, "a Kafka client error; retrying"),
    }
}

impl ConsumerContext for Logging {}

impl ProducerContext for Logging {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
