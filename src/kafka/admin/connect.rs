//! The first contact with the brokers, and why there is none.
//!
//! librdkafka answers each request with a time-out, whatever the cause: a wrong password, an unknown certificate, a
//! host that does not exist. It reports the cause as an event of the client. So requests and events are polled in turn.

use crate::kafka::client::{Logging, config, make};
use crate::kafka::{Failure, KafkaSettings};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataBroker};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long one request waits before the events are polled.
const REQUEST_WAIT: Duration = Duration::from_millis(250);
/// A start that has no contact after this time says why, and again after each interval.
const FIRST_WORD: Duration = Duration::from_secs(2);
const WORD_INTERVAL: Duration = Duration::from_secs(30);
/// How long the other brokers of the list have to answer after one reported a lasting cause.
const OTHER_BROKERS_WAIT: Duration = Duration::from_millis(1_500);

/// A broker as the cluster advertises it.
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

/// Tries until a broker answers, a lasting cause is known, or `patience` is over. Returns the brokers of the cluster.
///
/// # Errors
/// If no broker answers, with the true cause and what to do about it.
pub fn connect(settings: &KafkaSettings, patience: Duration) -> Result<Vec<Broker>, Failure> {
    connect_while(settings, |waited, _| waited <= patience).map_err(|failure| Failure::Stop(failure.to_string()))
}

/// As [`connect`], but without an answer it is a `Rebuild`: a service tries again.
pub fn connect_again(settings: &KafkaSettings, patience: Duration) -> Result<(), Failure> {
    connect_while(settings, |waited, _| waited <= patience).map(drop)
}

/// Tries until a broker answers, for a service: a cluster that is down comes back. Returns `Ok` if `stop` is set.
/// `tell` is given the reason while there is no answer.
///
/// # Errors
/// If the cause is lasting, such as a wrong password.
pub fn wait_for_contact(
    settings: &KafkaSettings,
    stop: &AtomicBool,
    mut tell: impl FnMut(&str),
) -> Result<(), Failure> {
    let mut next = FIRST_WORD;
    let connected = connect_while(settings, |waited, reason| {
        if waited >= next {
            let (brokers, seconds) = (&settings.brokers, waited.as_secs());
            tracing::warn!(target: "kafka", brokers, seconds, reason, "no contact with Kafka yet; retrying");
            tell(reason);
            next = waited + WORD_INTERVAL;
        }
        !stop.load(Ordering::Relaxed)
    });
    if stop.load(Ordering::Relaxed) { Ok(()) } else { connected.map(drop) }
}

/// Tries while `goes_on` says so, given how long it has been tried and why there is no contact.
fn connect_while(
    settings: &KafkaSettings,
    mut goes_on: impl FnMut(Duration, &str) -> bool,
) -> Result<Vec<Broker>, Failure> {
    let client =
        make::<BaseConsumer<CauseContext>>(settings, &config(settings), CauseContext::default(), "the Kafka client")?;
    let begun = Instant::now();
    let mut known_since: Option<Instant> = None;
    loop {
        if let Ok(metadata) = client.fetch_metadata(settings.inputs.first().map(String::as_str), REQUEST_WAIT)
            && !metadata.brokers().is_empty()
        {
            return Ok(brokers(&metadata));
        }
        while client.poll(Duration::ZERO).is_some() {}
        let reported = client.context().lock();
        if reported.cause.as_ref().is_some_and(|cause| cause.is_lasting) {
            known_since.get_or_insert_with(Instant::now);
        }
        let is_known = known_since.is_some_and(|since| since.elapsed() > OTHER_BROKERS_WAIT);
        let message = explain(settings, &reported);
        drop(reported);
        if is_known || !goes_on(begun.elapsed(), &message) {
            let message = format!("no contact with {}: {message}", settings.brokers);
            return Err(if is_known { Failure::Stop(message) } else { Failure::Rebuild(message) });
        }
    }
}

fn brokers(metadata: &Metadata) -> Vec<Broker> {
    let broker = |broker: &MetadataBroker| {
        let (id, host, port) = (broker.id(), broker.host().to_owned(), broker.port() as u16);
        Broker { id, host, port }
    };
    metadata.brokers().iter().map(broker).collect()
}

/// Keeps the best explanation that the client has reported.
#[derive(Default)]
struct CauseContext {
    reported: Mutex<Reported>,
}

impl CauseContext {
    fn lock(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Default)]
struct Reported {
    cause: Option<Cause>,
    /// Connections were closed without a reason.
    has_lost_connections: bool,
}

struct Cause {
    code: RDKafkaErrorCode,
    reason: String,
    /// It will not pass by itself.
    is_lasting: bool,
}

impl ClientContext for CauseContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Errors come as events too, and are reported once, at the end.
        if level as i32 > RDKafkaLogLevel::Error as i32 {
            Logging.log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut reported = self.lock();
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => reported.has_lost_connections = true,
            Some(code) => {
                let is_lasting =
                    matches!(
                        code,
                        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::BadMessage
                    ) || ["SSL alert", "PLAINTEXT broker listener"].iter().any(|sign| reason.contains(sign));
                if is_lasting || reported.cause.as_ref().is_none_or(|cause| !cause.is_lasting) {
                    reported.cause = Some(Cause { code, reason: without_details(reason), is_lasting });
                }
            }
            None => {}
        }
    }
}

impl ConsumerContext for CauseContext {}

/// `ssl://host:1/bootstrap: What (after 3ms in state X)` is `host:1: What`.
fn without_details(reason: &str) -> String {
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    match reason.split_once(": ") {
        Some((address, message)) => {
            let address = address.rsplit("://").next().unwrap_or(address).trim_end_matches("/bootstrap");
            format!("{address}: {message}")
        }
        None => reason.to_owned(),
    }
}

fn explain(settings: &KafkaSettings, reported: &Reported) -> String {
    let protocol = settings.client.get("security.protocol").map_or("plaintext", String::as_str);
    let Some(cause) = &reported.cause else {
        return if reported.has_lost_connections {
            format!(
                "the broker closes connections at once, as a listener does that expects another `security.protocol` than \
                 {protocol}. Set it in [kafka.client] to that of the listener: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
            )
        } else {
            "the broker does not answer. Check that the port is that of a Kafka broker, and that no firewall blocks it"
                .into()
        };
    };
    let reason = cause.reason.as_str();
    let remedy = match cause.code {
        RDKafkaErrorCode::Authentication if reason.contains("supported mechanisms") => {
            "Set `sasl.mechanism` in [kafka.client] to one that the listener supports, and `security.protocol` to its protocol"
        }
        RDKafkaErrorCode::Authentication => match settings.mechanism() {
            Some("OAUTHBEARER") => {
                "Check that the broker accepts the token of `oauth_token_file`: issuer, audience, scope, time"
            }
            _ => "Check `sasl.username`, `sasl.password` and `sasl.mechanism` in [kafka.client]",
        },
        RDKafkaErrorCode::SSL if reason.contains("certificate verify failed") => {
            "The broker's certificate is not signed by the authority in `ssl.ca.location` of [kafka.client], or is not for \
             this host name"
        }
        _ if reason.contains("SSL alert") => {
            "The broker refuses the client certificate, or there is none: see `ssl.certificate.location` and \
             `ssl.key.location` in [kafka.client]"
        }
        _ if reason.contains("PLAINTEXT broker listener") || cause.code == RDKafkaErrorCode::BadMessage => {
            "The listener expects another `security.protocol`, or is not Kafka"
        }
        RDKafkaErrorCode::SSL => "See the `ssl.` settings in [kafka.client]",
        RDKafkaErrorCode::Resolve => "Correct the host in `brokers` of [kafka], or the name service",
        _ => "Check that the broker is running and that this is its address: see `brokers` of [kafka]",
    };
    format!("{reason}. {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::config::ClientConfig;

    /// docs/security.md lists the features that the client is built with.
    #[test]
    fn the_client_has_the_documented_mechanisms() {
        let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
        let has = |feature: &str| features.split(',').any(|known| known == feature);
        for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "zstd", "lz4", "snappy", "gzip"] {
            assert!(has(feature), "{feature} is not in {features}");
        }
        assert!(!has("oidc") && !has("sasl_gssapi"), "documented as missing: {features}");
    }

    #[test]
    fn a_reason_is_reported_without_the_state_of_the_client() {
        let reason =
            "sasl_ssl://kafka:9094/bootstrap: SASL authentication error: no (after 303ms in state AUTH_REQ, 1 more)";
        assert_eq!(without_details(reason), "kafka:9094: SASL authentication error: no");
        assert_eq!(without_details("1/1 brokers are down"), "1/1 brokers are down");
    }

    #[test]
    fn a_lasting_cause_takes_precedence() {
        let context = CauseContext::default();
        let report = |code, reason: &str| context.error(KafkaError::Global(code), reason);
        report(RDKafkaErrorCode::Authentication, "b: wrong");
        report(RDKafkaErrorCode::BrokerTransportFailure, "a: Connection refused");
        report(RDKafkaErrorCode::AllBrokersDown, "2/2 brokers are down");
        assert!(explain(&KafkaSettings::default(), &context.lock()).starts_with("b: wrong. Check `sasl.username`"));
    }
}
