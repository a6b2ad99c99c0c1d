//! The admin address over TLS: unusable files are refused at a start, and renewed files are used without a restart.

use super::access::with_tokens;
use super::client::{Admin, exchange, over_tls, read_answer, request, trusting};
use crate::support::certificates::{authority, is_openssl_there, sign};
use shoal::http::AdminSettings;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Whether openssl is installed; panics if it is required and missing.
pub fn is_there() -> bool {
    let Err(message) = is_openssl_there() else { return true };
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{message}");
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED a test of the admin address over TLS: {message}");
    false
}

/// A certificate `server` of an authority `ca`, and a certificate `other` of `other-ca`. `None` without openssl.
fn certificates() -> Option<tempfile::TempDir> {
    if !is_there() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, ca) in [("server", "ca"), ("other", "other-ca")] {
        authority(folder.path(), ca, &format!("/CN={ca}"));
        sign(folder.path(), name, &format!("/CN={name}"), ca);
    }
    Some(folder)
}

fn shown(folder: &Path, settings: &mut AdminSettings, certificate: &str, key: &str) {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    (settings.certificate_file, settings.key_file) = (file(certificate), file(key));
}

#[test]
fn over_tls_the_right_token_opens_and_others_do_not() {
    let Some(folder) = certificates() else { return };
    let folder = folder.path();
    let admin = Admin::start(|settings| {
        // All interfaces: nothing else is needed then.
        settings.address = "0.0.0.0:0".into();
        shown(folder, settings, "server.pem", "server.key");
        with_tokens(folder, settings);
    });
    let client = trusting(&folder.join("ca.pem"));
    let address: SocketAddr = ([127, 0, 0, 1], admin.server.address().port()).into();
    let status = |path: &str, token: Option<&str>| {
        exchange(over_tls(&client, address), request("GET", path, token).as_bytes()).status
    };
    assert_eq!(status("/livez", None), 200);
    assert_eq!(status("/metrics", None), 401);
    assert_eq!(status("/metrics", Some("Bearer metrics-token-wrong")), 401);
    assert_eq!(status("/metrics", Some("Bearer metrics-token-5f0e21")), 200);
    assert_eq!(status("/shards", Some("Bearer metrics-token-5f0e21")), 403);
    assert_eq!(status("/shards", Some("Bearer admin-token-77ab0c31")), 200);
    assert_eq!(status("/nothing", None), 404);

    // Without TLS the connection is closed; a client that trusts another authority refuses it.
    let plain = exchange(super::client::connect(address), request("GET", "/livez", None).as_bytes());
    assert_eq!(plain.status, 0, "{plain:?}");
    let mut stranger = over_tls(&trusting(&folder.join("other-ca.pem")), address);
    assert!(stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err());
    assert_eq!(status("/livez", None), 200);
}

#[test]
fn a_renewed_certificate_is_shown_at_once_and_a_broken_one_is_not() {
    let Some(folder) = certificates() else { return };
    let folder = folder.path();
    let admin = Admin::start(|settings| shown(folder, settings, "server.pem", "server.key"));
    let trusts = |ca: &str| {
        let mut stream = over_tls(&trusting(&folder.join(ca)), admin.server.address());
        stream.write_all(request("GET", "/livez", None).as_bytes()).is_ok() && read_answer(stream).status == 200
    };
    assert!(trusts("ca.pem") && !trusts("other-ca.pem"));
    // While only one of the two files is renewed, they do not match.
    fs::copy(folder.join("other.pem"), folder.join("server.pem")).unwrap();
    assert!(trusts("ca.pem") && !trusts("other-ca.pem"));
    fs::copy(folder.join("other.key"), folder.join("server.key")).unwrap();
    assert!(!trusts("ca.pem") && trusts("other-ca.pem"));
    fs::write(folder.join("server.pem"), "nothing").unwrap();
    assert!(trusts("other-ca.pem"));
    fs::remove_file(folder.join("server.key")).unwrap();
    assert!(trusts("other-ca.pem"));
}

#[test]
fn files_that_cannot_be_used_are_told_of_at_the_start() {
    let Some(folder) = certificates() else { return };
    let folder = folder.path();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("half"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    fs::write(folder.join("rubbish"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (certificate, key, at, expected) in [
        ("missing.pem", "server.key", "admin.certificate_file", "cannot be read"),
        ("server.pem", "missing.key", "admin.key_file", "cannot be read"),
        ("empty", "server.key", "admin.certificate_file", "expected certificates in PEM, found none"),
        ("half", "server.key", "admin.certificate_file", "found a section without an end"),
        ("rubbish", "server.key", "admin.certificate_file", "expected a certificate and its key"),
        ("server.key", "server.key", "admin.certificate_file", "expected certificates in PEM, found none"),
        ("server.pem", "server.pem", "admin.key_file", "expected a private key in PEM"),
        ("server.pem", "empty", "admin.key_file", "expected a private key in PEM"),
        ("server.pem", "other.key", "admin.key_file", "expected the key of the certificate, found the key of another"),
    ] {
        let mut settings = AdminSettings::default();
        shown(folder, &mut settings, certificate, key);
        let invalid = settings.validate();
        let [(found, message)] = invalid.as_slice() else { panic!("{certificate}, {key}: {invalid:?}") };
        assert_eq!(*found, at, "{certificate}, {key}: {message}");
        assert!(message.contains(expected), "{certificate}, {key}: {message}");
    }
}
