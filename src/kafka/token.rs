//! OAUTHBEARER with a token from a file: whoever renews tokens writes the file, and each client reads it anew in time.
//!
//! librdkafka asks for a new token by an event of its main queue. Some of our clients poll that queue seldom or never, and
//! none does during a blocking call; so one thread of the process looks after all of them.

use super::Failure;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long after a failure the file is read again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The file is read again after so much of the life of a token, but not more often than this.
const RENEW_AT: f64 = 0.8;
const RENEW_MIN: Duration = Duration::from_secs(1);
/// Even a token without a near end is read again so often.
const IDLE: Duration = Duration::from_secs(3_600);

/// What a broker is shown. Only its name and its end are ever printed.
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
            format!("the token file {name} does not hold a token that can be used; expected a JSON web token with the claim `exp`")
        })?;
        if token.expires_at <= now {
            let end = jiff::Timestamp::from_millisecond(token.expires_at)
                .map_or_else(|_| "long ago".into(), |end| end.to_string());
            return Err(format!("the token in {name} expired at {end}; write a new one there"));
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
        let claims: Claims = serde_json::from_slice(&from_base64(text.split('.').nth(1)?)?).ok()?;
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        printable.then(|| Self { text: text.to_owned(), subject: claims.sub, expires_at: (claims.exp * 1000.0) as i64 })
    }
}

/// Base64 for URLs, as tokens have it.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let digit = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

/// Gives a client a token; `None` if the client is gone.
type Give = Box<dyn Fn(&Token) -> Option<Result<(), String>> + Send>;

/// A client, and when it needs its next token.
struct Kept {
    file: PathBuf,
    give: Give,
    renew_at: Instant,
}

/// All clients of this process that have tokens. They are handed about and closed in many places, and none of those should
/// have to think of tokens.
static CLIENTS: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
static ADDED: Condvar = Condvar::new();
static THREAD: Once = Once::new();

/// Gives a client its first token now, and each next one before the last expires, as long as there is the client.
pub fn keep(
    file: PathBuf,
    give: impl Fn(&Token) -> Option<Result<(), String>> + Send + 'static,
) -> Result<(), Failure> {
    let mut kept = Kept { file, give: Box::new(give), renew_at: Instant::now() };
    kept.renew().map_err(Failure::Stop)?;
    lock().push(kept);
    ADDED.notify_one();
    THREAD.call_once(|| {
        let thread = std::thread::Builder::new().name("kafka-token".into()).spawn(keep_all);
        thread.expect("a thread for tokens");
    });
    Ok(())
}

fn lock() -> MutexGuard<'static, Vec<Kept>> {
    CLIENTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn keep_all() {
    let mut clients = lock();
    loop {
        let now = Instant::now();
        clients.retain_mut(|kept| kept.renew_at > now || kept.renew_or_try_again());
        let next = clients.iter().map(|kept| kept.renew_at).min();
        let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()));
        clients = ADDED.wait_timeout(clients, wait.min(IDLE)).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
    }
}

impl Kept {
    /// Whether the client is still there.
    fn renew_or_try_again(&mut self) -> bool {
        self.renew().unwrap_or_else(|words| {
            tracing::error!(target: "kafka", "no new token, trying again in {TRY_AGAIN:?}: {words}");
            self.renew_at = Instant::now() + TRY_AGAIN;
            true
        })
    }

    /// Reads the file and gives the token; false if the client is gone.
    fn renew(&mut self) -> Result<bool, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let token = Token::read(&self.file, now)?;
        let life = Duration::from_millis((token.expires_at - now) as u64);
        self.renew_at = Instant::now() + life.min(IDLE).mul_f64(RENEW_AT).max(RENEW_MIN);
        (self.give)(&token).map_or(Ok(false), |given| given.map(|()| true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"alg":"none"}.{"sub":"shoal","exp":1700000000}.`
    const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaG9hbCIsImV4cCI6MTcwMDAwMDAwMH0.";

    #[test]
    fn a_token_is_valid_until_its_claim_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        let token = Token::read(&file, 1_699_999_999_999).unwrap();
        assert_eq!((token.text.as_str(), token.subject.as_str()), (TOKEN, "shoal"));
        let words = Token::read(&file, 1_700_000_000_000).err().unwrap();
        assert!(words.contains("expired at 2023-11-14T22:13:20Z") && !words.contains("eyJ"), "{words}");
    }

    #[test]
    fn what_is_no_token_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for text in ["", "hunter2", "a.hunter2.c", "a.aHVudGVyMg.c", "a.\u{e9}.c"] {
            std::fs::write(&file, text).unwrap();
            let words = Token::read(&file, 0).err().unwrap();
            assert!(words.contains("claim `exp`") && !words.contains("hunter2"), "{words}");
        }
        assert!(Token::read(Path::new("/nowhere"), 0).err().unwrap().contains("oauth_token_file"));
    }

    #[test]
    fn a_client_gets_each_token_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + 1.5;
        let claims = format!(r#"{{"exp":{soon}}}"#);
        let packed = to_base64(claims.as_bytes());
        std::fs::write(&file, format!("a.{packed}.c")).unwrap();
        let (sender, given) = std::sync::mpsc::channel();
        let give = move |token: &Token| Some(sender.send(token.text.clone()).map_err(|error| error.to_string()));
        keep(file.clone(), give).unwrap();
        assert_eq!(given.try_recv().unwrap(), format!("a.{packed}.c"), "the first is there at once");
        std::fs::write(&file, format!("b.{}.c", to_base64(br#"{"exp":9999999999}"#))).unwrap();
        let next = given.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(next.starts_with("b."), "{next}");
    }

    fn to_base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let group =
            |chunk: &[u8]| chunk.iter().chain([&0; 2]).take(3).fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let digits = |chunk: &[u8]| {
            let (group, count) = (group(chunk), chunk.len());
            (0..=count).map(move |digit| DIGITS[(group >> (18 - 6 * digit) & 63) as usize] as char).collect::<Vec<_>>()
        };
        bytes.chunks(3).flat_map(digits).collect()
    }
}
