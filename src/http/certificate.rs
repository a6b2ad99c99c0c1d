//! The certificate that the admin address shows, and its private key, from two PEM files.
//!
//! They are looked at for each connection, since whoever issues certificates renews them while we run. New files that cannot be
//! used are told of, and what was there before goes on.

mod validity;

use super::InvalidSetting;
use crate::repeats::Repeats;
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

static UNUSABLE: Repeats = Repeats::new();

/// Two files and what is made of them.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    held: Mutex<Held>,
}

struct Held {
    /// Of both files' bytes.
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
        let held = Held { digest: files.digest(), config: files.config(certificate, key)? };
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), held: Mutex::new(held) })
    }

    /// What a new connection is shown: the files as they are now, or as they were when they could last be used.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let renewed = Files::read(&self.certificate, &self.key).and_then(|files| match files.digest() {
            digest if digest == held.digest => Ok(None),
            digest => Ok(Some(Held { digest, config: files.config(&self.certificate, &self.key)? })),
        });
        match renewed {
            Ok(None) => {}
            Ok(Some(renewed)) => {
                *held = renewed;
                tracing::info!("admin address: a new certificate is shown from now on");
            }
            Err((key, words)) => {
                UNUSABLE.say(key, |left_out| {
                    tracing::error!(left_out, "admin address: `{key}`: {words}; the one before is shown on");
                });
            }
        }
        Arc::clone(&held.config)
    }

    /// When the certificate ends, in seconds since 1970, if it says so in a way that is understood.
    pub fn ends_at(&self) -> Option<i64> {
        let bytes = std::fs::read(&self.certificate).ok()?;
        validity::ends_at(CertificateDer::from_pem_slice(&bytes).ok()?.as_ref())
    }

    /// Says if the certificate has ended: whoever comes will not trust it.
    pub fn tell_end(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        if let Some(end) = self.ends_at().filter(|end| *end <= now) {
            let (file, end) = (self.certificate.display(), jiff::Timestamp::from_second(end).unwrap_or_default());
            tracing::warn!("admin address: the certificate in {file} ended at {end}: renew it there, it is read again");
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
        let wrong = |setting: &'static str, file: &Path, expected: &str, error: &dyn std::fmt::Display| {
            (setting, format!("{}: expected {expected}: {error}", file.display()))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| wrong(CERTIFICATE, certificate, "certificates in PEM", &words_of(&error)))?;
        if chain.is_empty() {
            return Err(wrong(CERTIFICATE, certificate, "certificates in PEM", &"found none"));
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| wrong(KEY, key, "a private key in PEM, without a password", &words_of(&error)))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => wrong(KEY, key, "the key of the certificate", &"it is another's"),
                error => wrong(CERTIFICATE, certificate, "a certificate and its key", &error),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// What is wrong with a PEM file, without a byte of it.
fn words_of(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "found none",
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section begins wrongly",
        pem::Error::Base64Decode(_) => "what stands in a section is not base64",
        _ => "it cannot be read",
    }
}
