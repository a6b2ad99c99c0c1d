//! The certificate of the admin address and its private key, from two PEM files.
//!
//! The files are read for each connection, since certificates are renewed while the process runs. If new files cannot
//! be used, an error is logged and the previous certificate stays in use.

use super::InvalidSetting;
use crate::repeats::Repeats;
use openssl::asn1::Asn1Time;
use openssl::x509::X509;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

const CERTIFICATE: &str = "admin.certificate_file";
const KEY: &str = "admin.key_file";
const DAY_SECONDS: i64 = 86_400;

static UNUSABLE: Repeats = Repeats::new();

/// The two files and the TLS configuration made from them.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Loaded>,
}

struct Loaded {
    /// Digest of the bytes of both files.
    digest: [u8; 32],
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// The setting whose file cannot be used, and why.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, InvalidSetting> {
        let files = Files::read(certificate, key)?;
        let loaded = Loaded { digest: files.digest(), config: files.config(certificate, key)? };
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current: Mutex::new(loaded) })
    }

    /// The configuration for a new connection: from the files as they are now, or as they were when they could last be
    /// used.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let renewed = Files::read(&self.certificate, &self.key).and_then(|files| match files.digest() {
            digest if digest == current.digest => Ok(None),
            digest => Ok(Some(Loaded { digest, config: files.config(&self.certificate, &self.key)? })),
        });
        match renewed {
            Ok(None) => {}
            Ok(Some(renewed)) => {
                *current = renewed;
                tracing::info!("admin address: new connections use the renewed certificate");
            }
            Err((setting, error)) => {
                UNUSABLE.log(setting, |left_out| {
                    tracing::error!(
                        left_out,
                        setting,
                        error,
                        "admin address: the new certificate cannot be used; the previous one stays in use"
                    );
                });
            }
        }
        Arc::clone(&current.config)
    }

    /// When the certificate expires, in seconds since 1970; `None` if the file has no readable certificate.
    fn expires_at(&self) -> Option<i64> {
        let certificate = X509::from_pem(&std::fs::read(&self.certificate).ok()?).ok()?;
        let since_1970 = Asn1Time::from_unix(0).ok()?.diff(certificate.not_after()).ok()?;
        Some(i64::from(since_1970.days) * DAY_SECONDS + i64::from(since_1970.secs))
    }

    /// Logs a warning if the certificate has expired: clients refuse it.
    pub fn warn_if_expired(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        if let Some(expired) = self.expires_at().filter(|end| *end <= now) {
            let (file, expired) =
                (self.certificate.display(), jiff::Timestamp::from_second(expired).unwrap_or_default());
            tracing::warn!(
                %file,
                %expired,
                "admin address: the certificate has expired and clients refuse it; renew the file, it is read again"
            );
        }
    }
}

/// The bytes of both files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, InvalidSetting> {
        let read = |setting: &'static str, file: &Path| {
            std::fs::read(file).map_err(|error| (setting, format!("{} cannot be read: {error}", file.display())))
        };
        Ok(Self { certificate: read(CERTIFICATE, certificate)?, key: read(KEY, key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let lengths = (self.certificate.len() as u64).to_le_bytes();
        Sha256::new().chain_update(lengths).chain_update(&self.certificate).chain_update(&self.key).finalize().into()
    }

    fn config(&self, certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, InvalidSetting> {
        let invalid = |setting: &'static str, file: &Path, expected: &str, found: &dyn std::fmt::Display| {
            (setting, format!("{}: expected {expected}, found {found}", file.display()))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| invalid(CERTIFICATE, certificate, "certificates in PEM", &description(&error)))?;
        if chain.is_empty() {
            return Err(invalid(CERTIFICATE, certificate, "certificates in PEM", &"none"));
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| invalid(KEY, key, "a private key in PEM without a password", &description(&error)))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    invalid(KEY, key, "the key of the certificate", &"the key of another certificate")
                }
                error => invalid(CERTIFICATE, certificate, "a certificate and its key", &error),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// What is wrong with a PEM file, without a byte of its content.
fn description(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "none",
        pem::Error::MissingSectionEnd { .. } => "a section without an end",
        pem::Error::IllegalSectionStart { .. } => "a malformed start of a section",
        pem::Error::Base64Decode(_) => "a section that is not base64",
        _ => "a file that cannot be parsed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_expiry_is_read_from_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (certificate, key) = (file("certificate.pem"), file("key.pem"));
        let arguments = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 10";
        let made = Command::new("openssl")
            .args(arguments.split(' '))
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            return println!("SKIPPED: there is no openssl to make a certificate with");
        }
        let in_ten_days = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let in_ten_days = in_ten_days + 10 * DAY_SECONDS;
        let open = Certificate::open(&certificate, &key).unwrap();
        let expires_at = open.expires_at().unwrap();
        assert!((in_ten_days - 600..=in_ten_days).contains(&expires_at), "{expires_at}, expected about {in_ten_days}");
        std::fs::write(&certificate, "nothing").unwrap();
        assert_eq!(open.expires_at(), None);
    }
}
