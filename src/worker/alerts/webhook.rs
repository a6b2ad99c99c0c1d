//! The webhook: published alerts are also sent as signed requests, by a thread.
//!
//! The stream never waits for it: an alert that finds no room in the queue is dropped and counted; it stays on the
//! topic `alerts`. A failed request is tried again with growing pauses. An alert may be sent more than once: a worker
//! that takes shard 0 over sends its last record again. docs/alerts.md describes how receivers recognise it.

use crate::worker::alerts::record::AlertRecord;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Alerts that wait to be sent.
const QUEUE_MAX: usize = 256;
/// The longest wait for a response.
const RESPONSE_WAIT: Duration = Duration::from_secs(10);
/// The first pause after a failure; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The time after which an alert that cannot be delivered is dropped.
const DELIVERY_TIME_MAX: Duration = Duration::from_secs(3_600);
/// The shortest secret, in bytes.
const SECRET_MIN: usize = 16;

/// Section `[alerts]` of `shoal.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertSettings {
    /// The URL of the webhook; empty: none.
    pub webhook: String,
    /// A file with the secret that requests are signed with. It is read for each request.
    pub webhook_secret_file: PathBuf,
}

impl AlertSettings {
    /// Resolves the secret's file relative to this folder.
    pub fn resolve_paths(&mut self, folder: &Path) {
        if !self.webhook_secret_file.as_os_str().is_empty() {
            self.webhook_secret_file = folder.join(&self.webhook_secret_file);
        }
    }

    /// The first invalid key, with what was expected.
    pub fn validate(&self) -> Option<(&'static str, String)> {
        let is_named = !self.webhook_secret_file.as_os_str().is_empty();
        if self.webhook.is_empty() {
            let message = "expected none without `webhook`".to_owned();
            return is_named.then_some(("alerts.webhook_secret_file", message));
        }
        let url = reqwest::Url::parse(&self.webhook);
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Some(("alerts.webhook", "expected an address that begins with https:// or http://".to_owned()));
        }
        let message = "expected the file of a secret: receivers must be able to verify the sender".to_owned();
        (!is_named).then_some(("alerts.webhook_secret_file", message))
    }
}

/// Requests by their result.
#[derive(Debug, Default)]
struct WebhookCounts {
    /// Accepted by the receiver.
    delivered: AtomicU64,
    /// Refused for good, or not delivered within an hour.
    failed: AtomicU64,
    /// Dropped, because too many were waiting.
    dropped: AtomicU64,
}

/// The queue of alerts to be sent. Only the worker with shard 0 puts alerts into it.
#[derive(Clone)]
pub struct WebhookQueue {
    sender: SyncSender<AlertRecord>,
    counts: Arc<WebhookCounts>,
}

impl WebhookQueue {
    /// Requests that were delivered, failed for good, and dropped.
    pub fn counts(&self) -> [u64; 3] {
        let WebhookCounts { delivered, failed, dropped } = &*self.counts;
        [delivered, failed, dropped].map(|count| count.load(Ordering::Relaxed))
    }

    /// Queues an alert, or drops it if there is no room.
    pub fn send(&self, record: AlertRecord) {
        if let Err(error) = self.sender.try_send(record) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                queue_max = QUEUE_MAX,
                %error,
                "an alert is not sent to the webhook, because the queue is full; it is on the topic of alerts"
            );
        }
    }
}

/// The thread that sends. When this is dropped, the thread ends after the request in progress.
pub struct Webhook {
    queue: WebhookQueue,
    /// The thread notices that this was dropped.
    _end: Sender<()>,
}

impl Webhook {
    /// Starts the thread, if a webhook is configured.
    ///
    /// # Errors
    /// If the secret cannot be read or is too short, or the client cannot be made.
    pub fn start(settings: &AlertSettings) -> anyhow::Result<Option<Self>> {
        if settings.webhook.is_empty() {
            return Ok(None);
        }
        secret(&settings.webhook_secret_file)?;
        let client = reqwest::blocking::Client::builder()
            .timeout(RESPONSE_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("shoal/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let (sender, records) = sync_channel(QUEUE_MAX);
        let (end, ended) = channel();
        let counts = Arc::new(WebhookCounts::default());
        let delivery = Delivery { client, settings: settings.clone(), counts: Arc::clone(&counts), ended };
        std::thread::Builder::new().name("webhook".into()).spawn(move || delivery.run(&records))?;
        Ok(Some(Self { queue: WebhookQueue { sender, counts }, _end: end }))
    }

    pub fn queue(&self) -> WebhookQueue {
        self.queue.clone()
    }
}

/// The result of a request.
enum SendResult {
    Delivered,
    /// A retry may help.
    Failed(String),
    /// A retry does not help.
    Refused(String),
}

struct Delivery {
    client: reqwest::blocking::Client,
    settings: AlertSettings,
    counts: Arc<WebhookCounts>,
    ended: Receiver<()>,
}

impl Delivery {
    fn run(&self, records: &Receiver<AlertRecord>) {
        loop {
            match records.recv_timeout(FIRST_PAUSE) {
                Ok(record) => self.deliver(&record),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.has_ended(Duration::ZERO) {
                return;
            }
        }
    }

    /// Whether the process ends within this time.
    fn has_ended(&self, wait: Duration) -> bool {
        self.ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    fn deliver(&self, record: &AlertRecord) {
        let body = serde_json::to_vec(record).expect("plain data");
        let deadline = Instant::now() + DELIVERY_TIME_MAX;
        let mut pause = FIRST_PAUSE;
        let message = loop {
            match self.send(record, &body) {
                SendResult::Delivered => {
                    self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                SendResult::Refused(message) => break message,
                SendResult::Failed(message) if Instant::now() + pause > deadline => break message,
                SendResult::Failed(message) => {
                    tracing::warn!(
                        alert = record.alert,
                        retry_ms = pause.as_millis() as u64,
                        error = message,
                        "sending an alert to the webhook failed and is retried"
                    );
                }
            }
            if self.has_ended(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            alert = record.alert,
            at = record.at,
            error = message,
            "an alert could not be delivered to the webhook and is dropped; it is on the topic of alerts"
        );
    }

    fn send(&self, record: &AlertRecord, body: &[u8]) -> SendResult {
        let secret = match secret(&self.settings.webhook_secret_file) {
            Ok(secret) => secret,
            Err(error) => return SendResult::Failed(error.to_string()),
        };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let request = self
            .client
            .post(&self.settings.webhook)
            .header("content-type", "application/json")
            .header("shoal-alert-id", record.id())
            .header("shoal-signature", format!("t={seconds},v1={}", signature(&secret, seconds, body)))
            .body(body.to_vec());
        match request.send() {
            Err(error) => SendResult::Failed(error.without_url().to_string()),
            Ok(response) if response.status().is_success() => SendResult::Delivered,
            Ok(response) => {
                let status = response.status();
                let is_transient = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
                let message = format!("the webhook responds {status}");
                if is_transient { SendResult::Failed(message) } else { SendResult::Refused(message) }
            }
        }
    }
}

/// HMAC-SHA256 of the time, a dot and the body, in hexadecimal.
pub fn signature(secret: &[u8], seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("keys of any length are accepted");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secret in a file, without the end of its line.
fn secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    let text = std::fs::read(file)
        .map_err(|error| anyhow::anyhow!("`webhook_secret_file` of [alerts]: cannot read {name}: {error}"))?;
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    if end < SECRET_MIN {
        anyhow::bail!("`webhook_secret_file` of [alerts]: expected at least {SECRET_MIN} bytes in {name}, found {end}");
    }
    Ok(text[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of `printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn signatures_are_those_of_openssl() {
        let expected = "e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";
        assert_eq!(signature(b"0123456789abcdef", 1_700_000_000, b"{}"), expected);
    }

    #[test]
    fn invalid_settings_are_named() {
        let invalid_key = |webhook: &str, file: &str| {
            let settings = AlertSettings { webhook: webhook.into(), webhook_secret_file: file.into() };
            settings.validate().map(|(key, _)| key)
        };
        assert_eq!(invalid_key("", ""), None);
        assert_eq!(invalid_key("https://a/b", "secret"), None);
        assert_eq!(invalid_key("https://a/b", ""), Some("alerts.webhook_secret_file"));
        assert_eq!(invalid_key("", "secret"), Some("alerts.webhook_secret_file"));
        assert_eq!(invalid_key("ftp://a/b", "secret"), Some("alerts.webhook"));
        assert_eq!(invalid_key("soon", "secret"), Some("alerts.webhook"));
    }
}
