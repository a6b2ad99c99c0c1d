//! The admin address and who may ask there: section `[admin]` of `shoal.toml`.
//!
//! Beyond the loopback nothing is served that anybody could read on the way or ask for, unless that is said to be taken
//! care of elsewhere.

use super::InvalidSetting;
use super::certificate::Certificate;
use super::token::Tokens;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// Address and port, such as `127.0.0.1:9464`; port 0 is any that is free. Empty: none.
    pub address: String,
    /// The certificate with those between it and its authority, PEM; empty: no TLS.
    pub certificate_file: String,
    /// The certificate's private key, PEM.
    pub key_file: String,
    /// Tokens that open the metrics, one a line; empty: none.
    pub metrics_token_file: String,
    /// Tokens that open everything; empty: none.
    pub admin_token_file: String,
    /// Something around Shoal does what TLS and tokens do here.
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

    /// Where it is.
    ///
    /// # Errors
    /// If it is no address with a port.
    pub fn socket(&self) -> Result<SocketAddr, String> {
        self.address.parse().map_err(|_| {
            format!("expected an address with a port such as \"127.0.0.1:9464\", or \"\", found {:?}", self.address)
        })
    }

    /// What has the right type and still makes no sense. The files are read, so that a wrong one is told of before anything is
    /// started.
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
            Err(words) => invalid.push(("admin.address", words)),
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

    /// The certificate that the address shows, if it has one.
    ///
    /// # Errors
    /// If it or its key cannot be used.
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
             found {:?} without them. Where a mesh does both, set `insecure = true`",
            self.address
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid_keys(address: &str, change: impl FnOnce(&mut AdminSettings)) -> Vec<&'static str> {
        let mut settings = AdminSettings { address: address.into(), ..AdminSettings::default() };
        change(&mut settings);
        settings.validate().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn beyond_the_loopback_it_needs_tls_and_tokens_or_somebody_who_vouches() {
        for loopback in ["127.0.0.1:9464", "127.3.2.1:0", "[::1]:9464", ""] {
            assert!(invalid_keys(loopback, |_| {}).is_empty(), "{loopback}");
        }
        for open in ["0.0.0.0:9464", "[::]:9464", "10.0.0.7:9464", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(invalid_keys(open, |_| {}), ["admin.address"], "{open}");
            assert!(invalid_keys(open, |settings| settings.insecure = true).is_empty(), "{open}");
        }
        for wrong in ["localhost:9464", "127.0.0.1", "9464", ":9464"] {
            assert_eq!(invalid_keys(wrong, |settings| settings.insecure = true), ["admin.address"], "{wrong}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        let only = |change: fn(&mut AdminSettings)| invalid_keys("127.0.0.1:0", change);
        assert_eq!(only(|settings| settings.certificate_file = "c.pem".into()), ["admin.certificate_file"]);
        assert_eq!(only(|settings| settings.key_file = "c.key".into()), ["admin.key_file"]);
    }
}
