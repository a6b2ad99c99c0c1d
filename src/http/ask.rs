//! The client side: a request to the admin address of a process on this machine, as a container's health check sends
//! it.
//!
//! The request has no token. The client uses no certificate authority: it trusts exactly the certificate in the file of
//! the settings.

use super::settings::AdminSettings;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

/// Maximum wait for the connection and for each part of the answer.
const WAIT_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Requests a path without a token. Returns the status and the body.
///
/// # Errors
/// If the settings have no admin address, or it does not answer.
pub fn ask(settings: &AdminSettings, path: &str) -> Result<(u16, String), String> {
    if !settings.is_on() {
        return Err("`address` of [admin] is empty: the process has no admin address".into());
    }
    let address = reachable(settings.socket()?);
    let failed = |error: &dyn std::fmt::Display| format!("the admin address {address} does not answer: {error}");
    let stream = TcpStream::connect_timeout(&address, WAIT_MAX).map_err(|error| failed(&error))?;
    stream.set_read_timeout(Some(WAIT_MAX)).map_err(|error| failed(&error))?;
    stream.set_write_timeout(Some(WAIT_MAX)).map_err(|error| failed(&error))?;
    let text = if settings.certificate_file.is_empty() {
        exchange(stream, path)
    } else {
        let name = ServerName::IpAddress(address.ip().into());
        let config = trusting(Path::new(&settings.certificate_file))?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error))?;
        exchange(StreamOwned::new(connection, stream), path)
    };
    let text = text.map_err(|error| failed(&error))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| failed(&"the answer is not HTTP"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| failed(&"the answer has no status"))?, body.to_owned()))
}

/// A process that listens on all addresses is reached on the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn exchange(mut stream: impl Read + Write, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A client that trusts the certificate in this file, whatever its issuer and names are: it is the file of the process
/// itself.
fn trusting(file: &Path) -> Result<ClientConfig, String> {
    let expected = CertificateDer::from_pem_file(file)
        .map_err(|error| format!("{}: expected certificates in PEM, found: {error}", file.display()))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Pinned { expected, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Trusts one certificate.
#[derive(Debug)]
struct Pinned {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if presented.as_ref() == self.expected.as_ref() {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
