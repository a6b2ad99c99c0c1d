//! Requests to programs on the loopback: HTTP/1.0, so that an answer is what comes until the end.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body of an answer.
pub fn ask(address: &str, path: &str) -> Result<(u16, String), String> {
    let words = |error: std::io::Error| format!("{address}{path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(words)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(words)?;
    // At once: who answers after the first line may have closed before the second.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).map_err(words)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(words)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address}{path}: no answer"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("{address}{path}: no status: {head}"))?;
    Ok((status, body.to_owned()))
}

/// The body of an answer with status 200; otherwise what went wrong.
pub fn get(address: &str, path: &str) -> Result<String, String> {
    match ask(address, path)? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("{address}{path}: {status}: {body}")),
    }
}

/// The same for JSON.
pub fn json(address: &str, path: &str) -> Result<Value, String> {
    let body = get(address, path)?;
    serde_json::from_str(&body).map_err(|error| format!("{address}{path}: {error}: {body}"))
}

/// A text as part of a query.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("writing to a text"),
        }
    }
    encoded
}
