//! `shoal health` as a container's health check runs it.

use super::client::Admin;
use super::tls::is_there;
use crate::support::certificates::{authority, sign};
use shoal::worker::Phase;
use shoal::worker::observe::status::{Report, ShardReport};
use std::path::Path;
use std::process::Command;

/// Exit status and output.
fn health(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    let out = command.arg("health").envs(variables.iter().copied()).output().unwrap();
    (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

fn write(admin: &Admin, phase: Phase) {
    let shards = [(3, ShardReport::in_phase(phase))].into_iter().collect();
    admin.status.write(Report { has_joined: true, shards, ..Report::default() });
}

#[test]
fn its_status_is_whether_the_process_is_ready() {
    let admin = Admin::start(|_| {});
    let address = admin.server.address().to_string();
    let there = [("SHOAL__ADMIN__ADDRESS", address.as_str())];
    write(&admin, Phase::Recovering);
    let (status, message) = health(&there);
    assert!(
        status == Some(1) && message.contains("\"phase\":\"recovering\"") && message.contains("not ready"),
        "{message}"
    );
    write(&admin, Phase::Running);
    let (status, message) = health(&there);
    assert!(status == Some(0) && message.contains("\"status\":\"ok\""), "{message}");
    drop(admin);
    let (status, message) = health(&there);
    assert!(status == Some(1) && message.contains("does not answer"), "{message}");
    let (status, message) = health(&[("SHOAL__ADMIN__ADDRESS", "")]);
    assert!(status == Some(1) && message.contains("the process has no admin address"), "{message}");
}

#[test]
fn over_tls_it_asks_the_process_with_its_own_certificate_only() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path(), "ca", "/CN=ca");
    let file = |name: &str| Path::new(folder.path()).join(name).to_str().unwrap().to_owned();
    for name in ["server", "other"] {
        sign(folder.path(), name, "/CN=server", "ca");
    }
    let admin = Admin::start(|settings| {
        (settings.certificate_file, settings.key_file) = (file("server.pem"), file("server.key"));
    });
    write(&admin, Phase::Running);
    let address = admin.server.address().to_string();
    let asked = |name: &str| {
        let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let certificate = ("SHOAL__ADMIN__CERTIFICATE_FILE", certificate.as_str());
        health(&[("SHOAL__ADMIN__ADDRESS", address.as_str()), certificate, ("SHOAL__ADMIN__KEY_FILE", key.as_str())])
    };
    let (status, message) = asked("server");
    assert_eq!(status, Some(0), "{message}");
    let (status, message) = asked("other");
    assert!(status == Some(1) && message.contains("does not answer"), "{message}");
}
