//! The admin address: metrics for Prometheus, and whether the process has started, is alive and is ready.
//!
//! It reads the status that workers publish and changes nothing. In the order in which a request passes them: `server`
//! (the thread, connections and their limits), `certificate` (TLS), `answer` (paths), `token` (authorisation), `health`
//! (verdicts). `ask` is the client side, for `shoal health`.

mod answer;
mod ask;
mod certificate;
mod health;
mod server;
pub mod settings;
mod token;

pub use answer::{ANSWER_TIME_MAX, BODY_BYTES_MAX};
pub use ask::ask;
pub use health::{LOOP_SILENCE_MAX, RECOVERY_SILENCE_MAX};
pub use server::{
    CONNECTION_TIME_MAX, CONNECTIONS_MAX, HANDSHAKE_TIME_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, HEADERS_MAX,
};
pub use settings::AdminSettings;

use crate::kafka::Failure;
use crate::worker::WorkerStatus;
use answer::AdminState;
use prometheus::Registry;
use server::{Server, listen};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A setting that cannot be used: its dotted key and a message.
type InvalidSetting = (&'static str, String);

/// What the admin address shows of its process.
pub struct ProcessView {
    /// The status of each worker.
    pub statuses: Vec<Arc<WorkerStatus>>,
    /// The metrics, gathered for each request.
    pub registry: Registry,
    /// Set when the process is to stop.
    pub stop: Arc<AtomicBool>,
}

/// The admin address while it is open. Dropping it answers the requests in progress and closes it.
pub struct AdminServer {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminServer {
    /// Opens the admin address on its own thread; `None` if the settings have none.
    ///
    /// # Errors
    /// If the address cannot be opened or a file cannot be used.
    pub fn start(settings: &AdminSettings, view: ProcessView) -> Result<Option<Self>, Failure> {
        if !settings.is_on() {
            return Ok(None);
        }
        if let Some((key, message)) = settings.validate().into_iter().next() {
            return Err(Failure::Stop(format!("`{key}`: {message}")));
        }
        let certificate =
            settings.certificate().map_err(|(key, message)| Failure::Stop(format!("`{key}`: {message}")))?;
        if let Some(certificate) = &certificate {
            certificate.warn_if_expired();
        }
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let listener = settings.socket().and_then(listen).map_err(Failure::Stop)?;
        let address = listener.local_addr().map_err(|error| Failure::Stop(error.to_string()))?;
        let tokens = settings.tokens();
        let has_tokens = !tokens.are_none();
        let state = AdminState::new(view, tokens).map_err(|error| Failure::Stop(format!("metrics: {error}")))?;
        let server = Server { listener, certificate, state: Arc::new(state) };
        let (end, ended) = oneshot::channel();
        let serve = move || {
            if let Err(error) = server.run(ended) {
                tracing::error!(%error, "the admin address is closed: its thread cannot run; restart the process");
            }
        };
        let thread = std::thread::Builder::new()
            .name("admin".into())
            .spawn(serve)
            .map_err(|error| Failure::Stop(format!("cannot start the thread of the admin address: {error}")))?;
        let url = format!("{scheme}://{address}");
        tracing::info!(%url, has_tokens, "the admin address is open");
        Ok(Some(Self { address, end: Some(end), thread: Some(thread) }))
    }

    /// The address with the port, also if the settings left the port to the system.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Its errors were logged.
            let _ = thread.join();
        }
    }
}
