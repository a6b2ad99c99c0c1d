//! Requests to programs on the loopback: HTTP/1.0, so that a response extends to the end of the connection.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body of an answer.
pub fn ask(address: &str, path: &str) -> Result<(u16, String), String> {
    let context = |error: std::io::Error| format!("{address}{path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(context)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(context)?;
    // In one write: a server that answers after the first line may have closed the connection before a second write.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).map_err(context)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(context)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address}{path}: no answer"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("{address}{path}: no status: {head}"))?;
    Ok((status, body.to_owned()))
}

/// The body of a response with status 200; otherwise an error.
pub fn get(address: &str, path: &str) -> Result<String, String> {
    match ask(address, path)? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("{address}{path}: {status}: {body}")),
    }
}

/// The body as JSON.
pub fn json(address: &str, path: &str) -> Result<Value, String> {
    let body = get(address, path)?;
    serde_json::from_str(&body).map_err(|error| format!("{address}{path}: {error}: {body}"))
}

/// Percent-encodes a text for a query.
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
