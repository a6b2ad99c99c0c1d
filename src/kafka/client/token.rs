//! OAUTHBEARER with a token from a file. Something beside Shoal writes new tokens there, and the file is read again
//! before the current token expires.
//!
//! librdkafka requests a new token by an event of its main queue. Some of our clients poll that queue seldom or never,
//! and none does during a blocking call. So one thread of the process renews the tokens of all clients.

use crate::kafka::Failure;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD_INDIFFERENT;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// From a failure to the next attempt to read the file.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The file is read again after this share of a token's life.
const RENEW_AT: f64 = 0.8;
/// But not more often than this.
const RENEW_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// And not less often than this, even if a token lives longer.
const RENEW_INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// What the client authenticates with. Only its subject and its expiry are ever printed.
pub struct Token {
    pub text: String,
    /// Claim `sub`.
    pub subject: String,
    /// Claim `exp`, in milliseconds.
    pub expires_at: i64,
}

impl Token {
    /// Reads a token that is valid now.
    pub fn read(file: &Path, now: i64) -> Result<Self, String> {
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| {
            format!("the token file {name} (`oauth_token_file` of [kafka]) cannot be read: {error}")
        })?;
        let token = Self::parse(text.trim()).ok_or_else(|| {
            format!(
                "the token file {name} does not contain a usable token; expected a JSON web token with the claim `exp`"
            )
        })?;
        if token.expires_at <= now {
            let expiry = jiff::Timestamp::from_millisecond(token.expires_at)
                .map_or_else(|_| "an unknown time".into(), |expiry| expiry.to_string());
            return Err(format!("the token in {name} expired at {expiry}; write a new one there"));
        }
        Ok(token)
    }

    fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Claims {
            exp: f64,
            #[serde(default)]
            sub: String,
        }
        let claims: Claims =
            serde_json::from_slice(&URL_SAFE_NO_PAD_INDIFFERENT.decode(text.split('.').nth(1)?).ok()?).ok()?;
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        printable.then(|| Self { text: text.to_owned(), subject: claims.sub, expires_at: (claims.exp * 1000.0) as i64 })
    }
}

/// Sets a client's token; `None` if the client is gone.
type SetToken = Box<dyn Fn(&Token) -> Option<Result<(), String>> + Send>;

/// A client, and when it needs its next token.
struct Renewal {
    file: PathBuf,
    set_token: SetToken,
    renew_at: Instant,
}

/// All clients of this process that have tokens. A global, because clients are made and closed in many places, none of
/// which should have to deal with tokens.
static CLIENTS: Mutex<Vec<Renewal>> = Mutex::new(Vec::new());
static ADDED: Condvar = Condvar::new();
static THREAD: Once = Once::new();

/// Sets a client's first token now, and a new one before each expires, as long as the client exists.
pub fn keep_renewed(
    file: PathBuf,
    set_token: impl Fn(&Token) -> Option<Result<(), String>> + Send + 'static,
) -> Result<(), Failure> {
    let mut renewal = Renewal { file, set_token: Box::new(set_token), renew_at: Instant::now() };
    renewal.renew().map_err(Failure::Stop)?;
    lock().push(renewal);
    ADDED.notify_one();
    THREAD.call_once(|| {
        let thread = std::thread::Builder::new().name("kafka-token".into()).spawn(renew_all);
        thread.expect("a thread for tokens");
    });
    Ok(())
}

fn lock() -> MutexGuard<'static, Vec<Renewal>> {
    CLIENTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn renew_all() {
    let mut clients = lock();
    loop {
        let now = Instant::now();
        clients.retain_mut(|renewal| renewal.renew_at > now || renewal.renew_or_retry());
        let next = clients.iter().map(|renewal| renewal.renew_at).min();
        let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()));
        clients = ADDED
            .wait_timeout(clients, wait.min(RENEW_INTERVAL_MAX))
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .0;
    }
}

impl Renewal {
    /// Renews the token, or plans the next attempt. Returns false if the client is gone.
    fn renew_or_retry(&mut self) -> bool {
        self.renew().unwrap_or_else(|message| {
            tracing::error!(
                target: "kafka",
                retry_seconds = RETRY_INTERVAL.as_secs(),
                error = message,
                "the token cannot be renewed; retrying, and connections fail once the current token has expired"
            );
            self.renew_at = Instant::now() + RETRY_INTERVAL;
            true
        })
    }

    /// Reads the file and sets the token. Returns false if the client is gone.
    fn renew(&mut self) -> Result<bool, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let token = Token::read(&self.file, now)?;
        let life = Duration::from_millis((token.expires_at - now) as u64);
        self.renew_at = Instant::now() + life.min(RENEW_INTERVAL_MAX).mul_f64(RENEW_AT).max(RENEW_INTERVAL_MIN);
        (self.set_token)(&token).map_or(Ok(false), |result| result.map(|()| true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"alg":"none"}.{"sub":"shoal","exp":1700000000}.`
    const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaG9hbCIsImV4cCI6MTcwMDAwMDAwMH0.";

    #[test]
    fn a_token_is_valid_until_its_claim_exp() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        let token = Token::read(&file, 1_699_999_999_999).unwrap();
        assert_eq!((token.text.as_str(), token.subject.as_str()), (TOKEN, "shoal"));
        let message = Token::read(&file, 1_700_000_000_000).err().unwrap();
        assert!(message.contains("expired at 2023-11-14T22:13:20Z") && !message.contains("eyJ"), "{message}");
    }

    #[test]
    fn an_unusable_token_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for text in ["", "hunter2", "a.hunter2.c", "a.aHVudGVyMg.c", "a.\u{e9}.c"] {
            std::fs::write(&file, text).unwrap();
            let message = Token::read(&file, 0).err().unwrap();
            assert!(message.contains("claim `exp`") && !message.contains("hunter2"), "{message}");
        }
        assert!(Token::read(Path::new("/nowhere"), 0).err().unwrap().contains("oauth_token_file"));
    }

    #[test]
    fn a_client_gets_each_token_before_the_last_expires() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + 1.5;
        let claims = format!(r#"{{"exp":{soon}}}"#);
        let packed = URL_SAFE_NO_PAD_INDIFFERENT.encode(claims.as_bytes());
        std::fs::write(&file, format!("a.{packed}.c")).unwrap();
        let (sender, tokens) = std::sync::mpsc::channel();
        let set_token = move |token: &Token| Some(sender.send(token.text.clone()).map_err(|error| error.to_string()));
        keep_renewed(file.clone(), set_token).unwrap();
        assert_eq!(tokens.try_recv().unwrap(), format!("a.{packed}.c"), "the first is set at once");
        std::fs::write(&file, format!("b.{}.c", URL_SAFE_NO_PAD_INDIFFERENT.encode(br#"{"exp":9999999999}"#))).unwrap();
        let next = tokens.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(next.starts_with("b."), "{next}");
    }
}
