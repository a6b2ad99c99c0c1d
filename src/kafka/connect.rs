//! The first contact with the brokers, and why there is none.
//!
//! librdkafka answers each request with a time-out whatever the matter is: a wrong password, an unknown certificate, a host
//! that does not exist. The cause comes as an event of the client, so a client is asked and listened to in turns.

use super::client::{Logging, config, make};
use super::{Failure, KafkaSettings};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One question waits so long before the events are looked at.
const ASK: Duration = Duration::from_millis(250);
/// After a cause that does not pass by itself other brokers of the list have so long to answer.
const OTHERS: Duration = Duration::from_millis(1_500);

/// Somebody who can be asked, and who told of these brokers.
pub struct Contact {
    /// Identifier, host and port, as the brokers advertise them.
    pub brokers: Vec<(i32, String, u16)>,
}

/// Asks until a broker answers, the cause is clear, or `patience` is over.
///
/// # Errors
/// With the true cause in words and what to do about it.
pub fn reach(settings: &KafkaSettings, patience: Duration) -> Result<Contact, Failure> {
    let client =
        make::<BaseConsumer<Listening>>(settings, &config(settings), Listening::default(), "the Kafka client")?;
    let begun = Instant::now();
    let mut clear_since: Option<Instant> = None;
    loop {
        if let Ok(metadata) = client.fetch_metadata(settings.inputs.first().map(String::as_str), ASK)
            && !metadata.brokers().is_empty()
        {
            return Ok(contact(&metadata));
        }
        while client.poll(Duration::ZERO).is_some() {}
        let heard = client.context().heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if heard.cause.as_ref().is_some_and(|cause| cause.is_lasting) {
            clear_since.get_or_insert_with(Instant::now);
        }
        if begun.elapsed() > patience || clear_since.is_some_and(|since| since.elapsed() > OTHERS) {
            return Err(Failure::Stop(format!("no contact with {}: {}", settings.brokers, in_words(settings, &heard))));
        }
    }
}

fn contact(metadata: &Metadata) -> Contact {
    let of = |broker: &rdkafka::metadata::MetadataBroker| (broker.id(), broker.host().to_owned(), broker.port() as u16);
    Contact { brokers: metadata.brokers().iter().map(of).collect() }
}

/// Keeps the best explanation that the client has given.
#[derive(Default)]
struct Listening {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    cause: Option<Cause>,
    /// Connections ended without a word.
    has_lost_connections: bool,
}

struct Cause {
    code: RDKafkaErrorCode,
    words: String,
    /// It does not pass by itself.
    is_lasting: bool,
}

impl ClientContext for Listening {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Errors come as events too, and are told once, at the end.
        if level as i32 > RDKafkaLogLevel::Error as i32 {
            Logging.log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => heard.has_lost_connections = true,
            Some(code) => {
                let is_lasting =
                    matches!(
                        code,
                        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::BadMessage
                    ) || ["SSL alert", "PLAINTEXT broker listener"].iter().any(|sign| reason.contains(sign));
                if is_lasting || heard.cause.as_ref().is_none_or(|cause| !cause.is_lasting) {
                    heard.cause = Some(Cause { code, words: without_details(reason), is_lasting });
                }
            }
            None => {}
        }
    }
}

impl ConsumerContext for Listening {}

/// `ssl://host:1/bootstrap: What (after 3ms in state X)` is `host:1: What`.
fn without_details(reason: &str) -> String {
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    match reason.split_once(": ") {
        Some((place, words)) => {
            let place = place.rsplit("://").next().unwrap_or(place).trim_end_matches("/bootstrap");
            format!("{place}: {words}")
        }
        None => reason.to_owned(),
    }
}

fn in_words(settings: &KafkaSettings, heard: &Heard) -> String {
    let protocol = settings.client.get("security.protocol").map_or("plaintext", String::as_str);
    let Some(cause) = &heard.cause else {
        return if heard.has_lost_connections {
            format!(
                "connections are made and closed at once, as by a listener that expects another `security.protocol` than \
                 {protocol}. Set it in [kafka.client] to what the listener is: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
            )
        } else {
            "no answer at all. Is the port the one of a Kafka broker, and does a firewall let us through?".into()
        };
    };
    let words = cause.words.as_str();
    let remedy = match cause.code {
        RDKafkaErrorCode::Authentication if words.contains("supported mechanisms") => {
            "Set `sasl.mechanism` in [kafka.client] to one that the listener supports, and `security.protocol` to its protocol"
        }
        RDKafkaErrorCode::Authentication => match settings.mechanism() {
            Some("OAUTHBEARER") => {
                "Does the broker accept this token (issuer, audience, scope, time)? See `oauth_token_file`"
            }
            _ => "Check `sasl.username`, `sasl.password` and `sasl.mechanism` in [kafka.client]",
        },
        RDKafkaErrorCode::SSL if words.contains("certificate verify failed") => {
            "The broker's certificate is not signed by the authority in `ssl.ca.location` of [kafka.client], or is not for \
             this host name"
        }
        _ if words.contains("SSL alert") => {
            "The broker refuses our certificate, or we have none: see `ssl.certificate.location` and `ssl.key.location` in \
             [kafka.client]"
        }
        _ if words.contains("PLAINTEXT broker listener") || cause.code == RDKafkaErrorCode::BadMessage => {
            "The listener expects another `security.protocol`, or is not Kafka"
        }
        RDKafkaErrorCode::SSL => "See the `ssl.` settings in [kafka.client]",
        RDKafkaErrorCode::Resolve => "Correct the host in `brokers` of [kafka], or the name service",
        _ => "Is the broker running, and is this its address? See `brokers` of [kafka]",
    };
    format!("{words}. {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::config::ClientConfig;

    /// docs/security.md says what the client is built with.
    #[test]
    fn the_client_has_the_mechanisms_of_the_page() {
        let features = ClientConfig::new().create_native_config().unwrap().get("builtin.features").unwrap();
        let has = |feature: &str| features.split(',').any(|known| known == feature);
        for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "zstd", "lz4", "snappy", "gzip"] {
            assert!(has(feature), "{feature} is not in {features}");
        }
        assert!(!has("oidc") && !has("sasl_gssapi"), "the page says that these are not there: {features}");
    }

    #[test]
    fn a_reason_is_told_without_the_client_s_state() {
        let reason =
            "sasl_ssl://kafka:9094/bootstrap: SASL authentication error: no (after 303ms in state AUTH_REQ, 1 more)";
        assert_eq!(without_details(reason), "kafka:9094: SASL authentication error: no");
        assert_eq!(without_details("1/1 brokers are down"), "1/1 brokers are down");
    }

    #[test]
    fn what_does_not_pass_is_kept_over_what_does() {
        let listening = Listening::default();
        let hear = |code, reason: &str| listening.error(KafkaError::Global(code), reason);
        hear(RDKafkaErrorCode::Authentication, "b: wrong");
        hear(RDKafkaErrorCode::BrokerTransportFailure, "a: Connection refused");
        hear(RDKafkaErrorCode::AllBrokersDown, "2/2 brokers are down");
        let heard = listening.heard.lock().unwrap();
        assert!(in_words(&KafkaSettings::default(), &heard).starts_with("b: wrong. Check `sasl.username`"));
    }
}
