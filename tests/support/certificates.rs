//! Certificates for tests, made by `openssl` each time, so that no key lies in the repository.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether `openssl` runs; a message if not.
pub fn is_openssl_there() -> Result<(), String> {
    let tried = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    tried.map(|_| ()).map_err(|error| format!("openssl, which makes certificates, does not run: {error}"))
}

/// A self-signed certificate `name.pem` with its key `name.key`.
pub fn authority(folder: &Path, name: &str, subject: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    openssl(
        folder,
        &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
        &["-subj", subject, "-keyout", &key, "-out", &certificate],
    );
}

/// A certificate of this machine, `name.pem`, with its key `name.key`, signed by an authority.
pub fn sign(folder: &Path, name: &str, subject: &str, authority: &str) {
    let [key, request, certificate] = ["key", "csr", "pem"].map(|ending| format!("{name}.{ending}"));
    openssl(
        folder,
        &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        &["-subj", subject, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", &key, "-out", &request],
    );
    let [ca, ca_key] = ["pem", "key"].map(|ending| format!("{authority}.{ending}"));
    openssl(
        folder,
        &["x509", "-req", "-days", "2", "-copy_extensions", "copy", "-CAcreateserial", "-in", &request],
        &["-CA", &ca, "-CAkey", &ca_key, "-out", &certificate],
    );
}

fn openssl(folder: &Path, what: &[&str], with: &[&str]) {
    let output = Command::new("openssl")
        .args(what)
        .args(with)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "openssl {what:?} {with:?}: {}", String::from_utf8_lossy(&output.stderr));
}
