//! The admin address: metrics for Prometheus, and whether the process has started, lives and is ready.
//!
//! It reads what workers write on their boards and changes nothing. In the order in which a request meets them: `server` (the
//! thread, connections and their bounds), `certificate` (TLS), `answer` (paths), `token` (who may ask), `health` (verdicts).

mod answer;
mod ask;
mod certificate;
mod health;
mod server;
pub mod settings;
mod token;

pub use answer::{ANSWER_TIME_MAX, BODY_BYTES_MAX};
pub use ask::ask;
pub use health::{RECOVERY_SILENCE_MAX, TURN_MAX};
pub use server::{
    CONNECTION_TIME_MAX, CONNECTIONS_MAX, HANDSHAKE_TIME_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, HEADERS_MAX,
};
pub use settings::AdminSettings;

use crate::kafka::Failure;
use crate::worker::Board;
use answer::Desk;
use prometheus::Registry;
use server::{Server, listen};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A setting that cannot be used: its dotted key, and words.
type InvalidSetting = (&'static str, String);

/// What the admin address shows of its process.
pub struct View {
    /// One of each worker.
    pub boards: Vec<Arc<Board>>,
    /// What `/metrics` shows; gathered for each request.
    pub registry: Registry,
    /// The process is to end.
    pub stop: Arc<AtomicBool>,
}

/// The admin address while it is served. Dropped, it answers what it has begun to, and ends.
pub struct AdminServer {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminServer {
    /// Listens and answers, on a thread of its own, until this is dropped; `None` if there is to be no admin address.
    ///
    /// # Errors
    /// If the address cannot be listened on, or a file cannot be used.
    pub fn start(settings: &AdminSettings, view: View) -> Result<Option<Self>, Failure> {
        if !settings.is_on() {
            return Ok(None);
        }
        if let Some((key, words)) = settings.validate().into_iter().next() {
            return Err(Failure::Stop(format!("`{key}`: {words}")));
        }
        let certificate = settings.certificate().map_err(|(key, words)| Failure::Stop(format!("`{key}`: {words}")))?;
        if let Some(certificate) = &certificate {
            certificate.tell_end();
        }
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let listener = settings.socket().and_then(listen).map_err(Failure::Stop)?;
        let address = listener.local_addr().map_err(|error| Failure::Stop(error.to_string()))?;
        let tokens = settings.tokens();
        let has_tokens = !tokens.are_none();
        let desk = Desk::new(view, tokens).map_err(|error| Failure::Stop(format!("metrics: {error}")))?;
        let server = Server { listener, certificate, desk: Arc::new(desk) };
        let (end, ended) = oneshot::channel();
        let serve = move || {
            if let Err(error) = server.run(ended) {
                tracing::error!("the admin address is not served: {error}");
            }
        };
        let thread = std::thread::Builder::new()
            .name("admin".into())
            .spawn(serve)
            .map_err(|error| Failure::Stop(format!("the thread of the admin address cannot be started: {error}")))?;
        tracing::info!(has_tokens, "admin address: {scheme}://{address}");
        Ok(Some(Self { address, end: Some(end), thread: Some(thread) }))
    }

    /// Where it is; the port that was found, if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Whatever it met has been told.
            let _ = thread.join();
        }
    }
}
