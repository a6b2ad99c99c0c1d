//! Section `[admin]` of `shoal.toml`: the admin address, TLS and tokens.
//!
//! An address beyond the loopback needs TLS and tokens, unless `insecure` says that something in front of Shoal
//! provides both.

use super::InvalidSetting;
use super::certificate::Certificate;
use super::token::Tokens;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// Address and port, such as `127.0.0.1:9464`; port 0 is any free port. Empty: no admin address.
    pub address: String,
    /// The certificate and its intermediate certificates, PEM. Empty: no TLS.
    pub certificate_file: String,
    /// The certificate's private key, PEM.
    pub key_file: String,
    /// Tokens for the metrics, one per line. Empty: none.
    pub metrics_token_file: String,
    /// Tokens for all paths, one per line. Empty: none.
    pub admin_token_file: String,
    /// Something in front of Shoal provides encryption and authentication.
    pub insecure: bool,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:9464".to_owned(),
            certificate_file: String::new(),
            key_file: String::new(),
            metrics_token_file: String::new(),
            admin_token_file: String::new(),
            insecure: false,
        }
    }
}

impl AdminSettings {
    /// Whether there is an admin address.
    pub fn is_on(&self) -> bool {
        !self.address.is_empty()
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// If it is not an address with a port.
    pub fn socket(&self) -> Result<SocketAddr, String> {
        self.address.parse().map_err(|_| {
            format!("expected an address with a port such as \"127.0.0.1:9464\", or \"\", found {:?}", self.address)
        })
    }

    /// Settings that have the right type and cannot be used. The files are read, so that a wrong one is reported before
    /// anything starts.
    pub fn validate(&self) -> Vec<InvalidSetting> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut invalid = Vec::new();
        match self.socket() {
            Ok(socket) if !socket.ip().is_loopback() && !self.insecure && !self.is_guarded() => {
                invalid.push(("admin.address", self.unguarded()));
            }
            Ok(_) => {}
            Err(message) => invalid.push(("admin.address", message)),
        }
        match (self.certificate_file.is_empty(), self.key_file.is_empty()) {
            (false, true) => invalid.push(("admin.certificate_file", "expected `key_file` beside it".into())),
            (true, false) => invalid.push(("admin.key_file", "expected `certificate_file` beside it".into())),
            (false, false) => invalid.extend(self.certificate().err()),
            (true, true) => {}
        }
        invalid.extend(self.tokens().check());
        invalid
    }

    /// The certificate of the address, if it has one.
    ///
    /// # Errors
    /// If the certificate or its key cannot be used.
    pub(super) fn certificate(&self) -> Result<Option<Certificate>, InvalidSetting> {
        let files = (Path::new(&self.certificate_file), Path::new(&self.key_file));
        (!self.certificate_file.is_empty()).then(|| Certificate::open(files.0, files.1)).transpose()
    }

    pub(super) fn tokens(&self) -> Tokens {
        Tokens::new(&self.metrics_token_file, &self.admin_token_file)
    }

    fn is_guarded(&self) -> bool {
        let has_token = !self.metrics_token_file.is_empty() || !self.admin_token_file.is_empty();
        has_token && !self.certificate_file.is_empty() && !self.key_file.is_empty()
    }

    fn unguarded(&self) -> String {
        format!(
            "expected a loopback address such as \"127.0.0.1:9464\", or `certificate_file`, `key_file` and a token file beside it; \
             found {:?} without them. If a service mesh provides both, set `insecure = true`",
            self.address
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(address: &str, change: impl FnOnce(&mut AdminSettings)) -> Vec<&'static str> {
        let mut settings = AdminSettings { address: address.into(), ..AdminSettings::default() };
        change(&mut settings);
        settings.validate().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn an_address_beyond_the_loopback_needs_tls_and_tokens_or_insecure() {
        for loopback in ["127.0.0.1:9464", "127.3.2.1:0", "[::1]:9464", ""] {
            assert!(invalid(loopback, |_| {}).is_empty(), "{loopback}");
        }
        for open in ["0.0.0.0:9464", "[::]:9464", "10.0.0.7:9464", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(invalid(open, |_| {}), ["admin.address"], "{open}");
            assert!(invalid(open, |settings| settings.insecure = true).is_empty(), "{open}");
        }
        for wrong in ["localhost:9464", "127.0.0.1", "9464", ":9464"] {
            assert_eq!(invalid(wrong, |settings| settings.insecure = true), ["admin.address"], "{wrong}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let only = |change: fn(&mut AdminSettings)| invalid("127.0.0.1:0", change);
        assert_eq!(only(|settings| settings.certificate_file = "c.pem".into()), ["admin.certificate_file"]);
        assert_eq!(only(|settings| settings.key_file = "c.key".into()), ["admin.key_file"]);
    }
}
