//! Requests by hand, over plain connections and TLS, so that they can also be wrong, slow and too large.

use shoal::http::{AdminServer, AdminSettings, ProcessView};
use shoal::worker::WorkerStatus;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(30);

/// An admin address on a free port, with the status that it reports.
pub struct Admin {
    pub server: AdminServer,
    pub status: Arc<WorkerStatus>,
    pub registry: prometheus::Registry,
    pub stop: Arc<AtomicBool>,
}

impl Admin {
    /// The status of its only worker.
    pub fn start(change: impl FnOnce(&mut AdminSettings)) -> Self {
        let mut settings = AdminSettings { address: "127.0.0.1:0".into(), ..AdminSettings::default() };
        change(&mut settings);
        let (status, registry, stop) = (Arc::<WorkerStatus>::default(), prometheus::Registry::new(), Arc::default());
        let view =
            ProcessView { statuses: vec![Arc::clone(&status)], registry: registry.clone(), stop: Arc::clone(&stop) };
        let server = AdminServer::start(&settings, view).expect("it starts").expect("there is an address");
        Self { server, status, registry, stop }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.server.address())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    pub fn ask(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        exchange(self.connect(), request(method, path, token).as_bytes())
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the address is open");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client that trusts this authority.
pub fn trusting(authority: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub fn over_tls(config: &Arc<ClientConfig>, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), connect(address))
}

pub fn request(method: &str, path: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nHost: admin\r\n{authorization}\r\n")
}

/// The response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 0 if the connection was closed without an answer.
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value; names are compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Sends and reads until the connection is closed.
pub fn exchange(mut stream: impl Read + Write, request: &[u8]) -> Answer {
    // The request may be refused before all of it was sent.
    let _ = stream.write_all(request).and_then(|()| stream.flush());
    read_answer(stream)
}

pub fn read_answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {}
        Err(error) => panic!("neither an answer nor an end: {error}"),
    }
    let text = String::from_utf8(bytes).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).map_or(0, |status| status.parse().expect("a status"));
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
