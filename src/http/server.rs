//! The thread of the admin address: it accepts a bounded number of connections and answers one request on each.
//!
//! It has a runtime of its own, so that no request can delay a worker. A connection is closed after its answer: clients
//! send a request every few seconds, and a closed connection cannot be held open. Every wait has a time-out.

use super::answer::{AdminState, router};
use super::certificate::Certificate;
use crate::repeats::Repeats;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Maximum number of open connections; further ones wait in the listener's queue.
pub const CONNECTIONS_MAX: usize = 64;
/// Maximum size of the request line and the headers.
pub const HEADER_BYTES_MAX: usize = 8_192;
pub const HEADERS_MAX: usize = 64;
/// Maximum time from the start of a connection to the end of the TLS handshake, and from there to the end of the
/// headers.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// Maximum time of a connection, including a client that reads the answer slowly.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
/// Maximum time for the requests in progress when the process stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);
/// Pause after the system could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static ACCEPTING: Repeats = Repeats::new();

/// What the thread needs.
pub struct Server {
    pub listener: std::net::TcpListener,
    pub certificate: Option<Certificate>,
    pub state: Arc<AdminState>,
}

impl Server {
    /// Answers requests until `end` is dropped, then finishes those in progress.
    ///
    /// # Errors
    /// If the runtime cannot be started or the listener cannot be used.
    pub fn run(self, end: oneshot::Receiver<()>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(end))
    }

    async fn serve(self, mut end: oneshot::Receiver<()>) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(self.listener)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let router = router(self.state);
        loop {
            let (slot, stream) = tokio::select! {
                _ = &mut end => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            // The certificate is read here and not in the task, so that handshakes do not wait for each other's files.
            let tls = self.certificate.as_ref().map(|certificate| TlsAcceptor::from(certificate.current()));
            tokio::spawn(connection(slot, stream, tls, router.clone()));
        }
        drop(listener);
        let _ = timeout(STOP_TIME_MAX, slots.acquire_many(CONNECTIONS_MAX as u32)).await;
        Ok(())
    }
}

/// Accepts the next connection as soon as there is a free slot.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (slot, stream),
            Err(error) => {
                ACCEPTING.log(&error.kind().to_string(), |left_out| {
                    tracing::warn!(left_out, %error, "admin address: a connection could not be accepted; it is tried again");
                });
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. Errors concern only its client and are logged at debug.
async fn connection(slot: OwnedSemaphorePermit, stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let _ = timeout(CONNECTION_TIME_MAX, async {
        match tls {
            None => answer(stream, router).await,
            Some(tls) => match timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => answer(stream, router).await,
                Ok(Err(error)) => tracing::debug!(%error, "admin address: a TLS handshake failed"),
                Err(_) => tracing::debug!(limit = ?HANDSHAKE_TIME_MAX, "admin address: a TLS handshake took too long"),
            },
        }
    })
    .await;
    drop(slot);
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let service = service_fn(move |request| router.clone().oneshot(request));
    let answered = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(2 * HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = answered {
        tracing::debug!(%error, "admin address: a request was not answered");
    }
}

/// Listens on the address.
///
/// # Errors
/// If the address is in use, or is not an address of this machine.
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener, String> {
    std::net::TcpListener::bind(address).map_err(|error| {
        format!(
            "cannot listen on the admin address {address}: {error}. Each process on a machine needs its own address: set \
             `address` of [admin], or \"\" for none"
        )
    })
}
