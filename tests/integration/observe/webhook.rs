//! The receiver of notifications of Alertmanager and Shoal: it accepts and keeps each of them.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Notifications so far, each with its path. The thread behind it ends with the process.
#[derive(Clone)]
pub struct Webhook {
    received: Arc<Mutex<Vec<(String, Value)>>>,
    pub address: String,
}

impl Webhook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let webhook = Self { received: Arc::default(), address };
        let receiver = webhook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if let Ok(received) = stream.map_err(|error| error.to_string()).and_then(receive) {
                    receiver.received.lock().expect("no receiver panics").push(received);
                }
            }
        });
        webhook
    }

    /// Notifications to a path, in order.
    pub fn bodies(&self, path: &str) -> Vec<Value> {
        let received = self.received.lock().expect("no receiver panics");
        received.iter().filter(|(on, _)| on == path).map(|(_, body)| body.clone()).collect()
    }

    /// Alerts of all notifications of Alertmanager to a path, in order.
    pub fn alerts(&self, path: &str) -> Vec<Value> {
        let alerts = |body: Value| body["alerts"].as_array().cloned().unwrap_or_default();
        self.bodies(path).into_iter().flat_map(alerts).collect()
    }
}

/// Reads one request and answers 200.
fn receive(stream: TcpStream) -> Result<(String, Value), String> {
    let context = |error: std::io::Error| error.to_string();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(context)?;
    let path = line.split(' ').nth(1).ok_or("no path")?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).map_err(context)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| "a length")?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(context)?;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).map_err(context)?;
    Ok((path, serde_json::from_slice(&body).map_err(|error| error.to_string())?))
}
