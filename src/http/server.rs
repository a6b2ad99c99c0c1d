//! The thread of the admin address: it takes connections, within bounds, and answers one request on each.
//!
//! It has a runtime of its own, so that nothing that comes in there can hold up a worker. A connection is closed after its
//! answer: whoever asks comes once in seconds, and what is closed cannot be held open. Every wait has an end.

use super::answer::{Desk, router};
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

/// Connections at once; more wait to be taken.
pub const CONNECTIONS_MAX: usize = 64;
/// Request line and headers.
pub const HEADER_BYTES_MAX: usize = 8_192;
pub const HEADERS_MAX: usize = 64;
/// From a connection's beginning to TLS, and from there to the end of the request's head.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection from its beginning to its end, with an answer that is read slowly.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);
/// How long requests that are being answered may take when the process ends.
const END_TIME_MAX: Duration = Duration::from_secs(2);
/// After the system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static ACCEPTING: Repeats = Repeats::new();

/// What the thread works with.
pub struct Server {
    pub listener: std::net::TcpListener,
    pub certificate: Option<Certificate>,
    pub desk: Arc<Desk>,
}

impl Server {
    /// Answers until `end`, and what is being answered then.
    ///
    /// # Errors
    /// If there can be no runtime, or the listener is none.
    pub fn run(self, end: oneshot::Receiver<()>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(end))
    }

    async fn serve(self, mut end: oneshot::Receiver<()>) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(self.listener)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let router = router(self.desk);
        loop {
            let (slot, stream) = tokio::select! {
                _ = &mut end => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            // Looked at here, so that one handshake is not held up by another's files.
            let tls = self.certificate.as_ref().map(|certificate| TlsAcceptor::from(certificate.current()));
            tokio::spawn(connection(slot, stream, tls, router.clone()));
        }
        drop(listener);
        let _ = timeout(END_TIME_MAX, slots.acquire_many(CONNECTIONS_MAX as u32)).await;
        Ok(())
    }
}

/// The next connection, when there is room for one.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (slot, stream),
            Err(error) => {
                ACCEPTING.say(&error.kind().to_string(), |left_out| {
                    tracing::warn!(left_out, "admin address: a connection could not be taken: {error}");
                });
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection from its beginning to its end. What goes wrong on it is its client's affair.
async fn connection(slot: OwnedSemaphorePermit, stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let _ = timeout(CONNECTION_TIME_MAX, async {
        match tls {
            None => answer(stream, router).await,
            Some(tls) => match timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => answer(stream, router).await,
                Ok(Err(error)) => tracing::debug!("admin address: no TLS with a client: {error}"),
                Err(_) => tracing::debug!("admin address: no TLS with a client within {HANDSHAKE_TIME_MAX:?}"),
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
        tracing::debug!("admin address: a request was not answered: {error}");
    }
}

/// Listens.
///
/// # Errors
/// If the address is taken, or none of this machine's.
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener, String> {
    std::net::TcpListener::bind(address).map_err(|error| {
        format!(
            "the admin address {address} cannot be listened on: {error}. Each process on a machine needs its own: set `address` of \
             [admin], or \"\" for none"
        )
    })
}
