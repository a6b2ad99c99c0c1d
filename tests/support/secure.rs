//! A broker with every kind of access control: TLS with and without client certificates, all SASL mechanisms,
//! and an authoriser. Certificates are made by `openssl` each time, so that no key lies in the repository.
//!
//! The plaintext listener is for the tests themselves: its clients may do everything.

use super::certificates::{authority, is_openssl_there, sign};
use super::{Broker, BrokerOptions};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs;
use std::path::{Path, PathBuf};

/// The listener with TLS, without client certificates.
pub const TLS: &str = "TLS";
/// The listener that requires a client certificate.
pub const MUTUAL: &str = "MUTUAL";
/// The listener with TLS and SASL.
pub const SASL: &str = "SASL";

/// Users of the mechanism PLAIN and their passwords, besides those of SCRAM.
pub const PLAIN_USER: (&str, &str) = ("plain-shoal", "plain-password-5f0e");

pub struct Secure {
    pub broker: Broker,
    certificates: tempfile::TempDir,
}

impl Secure {
    /// Starts the broker. `None` where the machine cannot run one.
    pub fn start(scram_users: Vec<(String, String)>) -> Option<Self> {
        if let Err(error) = is_openssl_there() {
            super::must_not_be_on_ci(&error);
            return None;
        }
        let certificates = tempfile::tempdir().expect("temporary folder");
        make_certificates(certificates.path());
        let options = BrokerOptions {
            listeners: vec![(TLS, "SSL"), (MUTUAL, "SSL"), (SASL, "SASL_SSL")],
            scram_users,
            properties: properties(certificates.path()),
            ..BrokerOptions::default()
        };
        Some(Self { broker: super::start(&options)?, certificates })
    }

    /// One of `ca.pem`, `other-ca.pem`, `client.pem`, `client.key`, `stranger.pem`, `stranger.key`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.certificates.path().join(name)
    }
}

fn properties(certificates: &Path) -> Vec<String> {
    let file = |name: &str| certificates.join(name).display().to_string();
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let (user, password) = PLAIN_USER;
    let oauth = "org.apache.kafka.common.security.oauthbearer";
    vec![
        "ssl.keystore.type=PEM".into(),
        format!("ssl.keystore.location={}", file("broker.pem")),
        "ssl.truststore.type=PEM".into(),
        format!("ssl.truststore.location={}", file("ca.pem")),
        "listener.name.mutual.ssl.client.auth=required".into(),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".into(),
        format!(
            "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";"
        ),
        format!("listener.name.sasl.scram-sha-256.sasl.jaas.config={scram}"),
        format!("listener.name.sasl.scram-sha-512.sasl.jaas.config={scram}"),
        format!(
            "listener.name.sasl.oauthbearer.sasl.jaas.config={oauth}.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
        ),
        format!(
            "listener.name.sasl.oauthbearer.sasl.server.callback.handler.class={oauth}.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
        ),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".into(),
        "super.users=User:ANONYMOUS".into(),
    ]
}

/// Creates a certificate authority, another that the broker does not trust, and certificates signed by each.
fn make_certificates(folder: &Path) {
    authority(folder, "ca", "/CN=the test's authority");
    authority(folder, "other-ca", "/CN=another authority");
    sign(folder, "broker", "/CN=localhost", "ca");
    sign(folder, "client", "/CN=shoal", "ca");
    sign(folder, "stranger", "/CN=shoal", "other-ca");
    let [key, certificate] = ["broker.key", "broker.pem"].map(|name| fs::read_to_string(folder.join(name)).unwrap());
    fs::write(folder.join("broker.pem"), key + &certificate).unwrap();
}

/// An unsigned JSON web token, as Kafka's validator for tests accepts it.
pub fn token(user: &str, expires_at: i64) -> String {
    let claims = format!(r#"{{"sub":"{user}","iat":{},"exp":{expires_at}}}"#, expires_at - 3_600);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims.as_bytes()))
}
