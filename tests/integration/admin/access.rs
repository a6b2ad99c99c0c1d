//! Each path x each method x no, wrong, lesser and right tokens; and which addresses are refused.

use super::client::{Admin, Answer};
use shoal::http::{AdminServer, AdminSettings, ProcessView};
use std::path::Path;
use std::sync::Arc;

const METRICS: &str = "metrics-token-5f0e21";
const ADMIN: &str = "admin-token-77ab0c31";
const OPEN: [&str; 4] = ["/", "/livez", "/readyz", "/startupz"];
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

/// Both token files, in a folder.
pub fn with_tokens(folder: &Path, settings: &mut AdminSettings) {
    let write = |name: &str, token: &str| {
        let file = folder.join(name);
        std::fs::write(&file, format!("{token}\n")).unwrap();
        file.to_str().unwrap().to_owned()
    };
    settings.metrics_token_file = write("metrics-token", METRICS);
    settings.admin_token_file = write("admin-token", ADMIN);
}

/// The paths that a request with this token may read: 0 none, 1 the metrics, 2 all.
fn shown() -> Vec<(&'static str, Option<String>, u32)> {
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    vec![
        ("no token", None, 0),
        ("an empty header", Some(String::new()), 0),
        ("no token after the scheme", bearer(""), 0),
        ("a wrong token", bearer("metrics-token-5f0e22"), 0),
        ("a part of a token", bearer(&ADMIN[..ADMIN.len() - 1]), 0),
        ("more than a token", bearer(&format!("{ADMIN}x")), 0),
        ("both tokens as one", bearer(&format!("{METRICS}\t{ADMIN}")), 0),
        ("a token without scheme", Some(ADMIN.into()), 0),
        ("another scheme", Some(format!("Basic {ADMIN}")), 0),
        ("two tokens", Some(format!("Bearer {ADMIN}\r\nAuthorization: Bearer {METRICS}")), 0),
        ("the lesser token", bearer(METRICS), 1),
        ("the scheme in small letters", Some(format!("bearer {METRICS}")), 1),
        ("the admin's token", bearer(ADMIN), 2),
    ]
}

/// The expected status.
fn expected(path: &str, method: &str, role: u32) -> u16 {
    let needed = match path {
        "/metrics" => 1,
        "/shards" => 2,
        path if OPEN.contains(&path) => 0,
        _ => return 404,
    };
    match (role, method) {
        (0, _) if needed > 0 => 401,
        (role, _) if role < needed => 403,
        (_, "GET" | "HEAD") if path == "/readyz" || path == "/startupz" => 503,
        (_, "GET" | "HEAD") => 200,
        _ => 405,
    }
}

#[test]
fn every_path_and_method_is_for_those_with_the_right_token_only() {
    let folder = tempfile::tempdir().unwrap();
    let admin = Admin::start(|settings| with_tokens(folder.path(), settings));
    let strange = ["/metrics/", "/Metrics", "/metrics%2f", "//metrics", "/shards/1", "/.", "/favicon.ico"];
    let mut asked = 0;
    for path in OPEN.into_iter().chain(["/metrics", "/shards"]).chain(strange) {
        for method in METHODS {
            for (who, token, role) in shown() {
                let answer = admin.ask(method, path, token.as_deref());
                assert_eq!(answer.status, expected(path, method, role), "{method} {path} with {who}: {answer:?}");
                check(method, &answer);
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 13 * 8 * 13);
    // A query string does not change the required role.
    assert_eq!(admin.get("/metrics?x=/livez").status, 401);
}

/// Checks that hold for every answer.
fn check(method: &str, answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert!(!format!("{answer:?}").contains("token-"), "a token is shown: {answer:?}");
    if method == "HEAD" {
        assert_eq!(answer.body, "");
    } else if answer.header("content-type") == Some("application/json") {
        assert!(answer.json().is_object());
        assert!(answer.status < 400 || answer.status == 503 || answer.json()["error"].is_string());
    } else {
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"), "{answer:?}");
    }
    assert_eq!(answer.status == 401, answer.header("www-authenticate").is_some(), "{answer:?}");
    assert!(answer.status != 405 || answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
}

#[test]
fn without_token_files_the_loopback_is_open() {
    let admin = Admin::start(|_| {});
    let hits = prometheus::IntCounter::new("shoal_test_hits_total", "Hits.").unwrap();
    admin.registry.register(Box::new(hits.clone())).unwrap();
    hits.inc_by(3);
    assert_eq!(admin.get("/shards").status, 200);
    let metrics = admin.get("/metrics");
    assert!(metrics.body.contains("\nshoal_test_hits_total 3\n"), "{}", metrics.body);
    assert!(metrics.body.contains("shoal_admin_requests_total{code=\"200\"} 1\n"), "{}", metrics.body);
    assert!(metrics.body.contains("# HELP shoal_admin_requests_total "), "{}", metrics.body);
    assert_eq!(admin.get("/").json()["paths"].as_array().unwrap().len(), 6);
}

#[test]
fn one_role_without_a_file_is_open_to_nobody_but_those_above() {
    let folder = tempfile::tempdir().unwrap();
    let only = |metrics: bool| {
        Admin::start(|settings| {
            with_tokens(folder.path(), settings);
            if metrics { settings.admin_token_file.clear() } else { settings.metrics_token_file.clear() }
        })
    };
    let (metrics, admin) = (format!("Bearer {METRICS}"), format!("Bearer {ADMIN}"));
    let statuses =
        |on: &Admin, token: &str| ["/metrics", "/shards"].map(|path| on.ask("GET", path, Some(token)).status);
    assert_eq!(statuses(&only(true), &metrics), [200, 403]);
    assert_eq!(statuses(&only(true), &admin), [401, 401]);
    assert_eq!(statuses(&only(false), &metrics), [401, 401]);
    assert_eq!(statuses(&only(false), &admin), [200, 200]);
}

#[test]
fn tokens_are_those_that_stand_in_their_files_now() {
    let folder = tempfile::tempdir().unwrap();
    let admin = Admin::start(|settings| with_tokens(folder.path(), settings));
    let status = |token: &str| admin.ask("GET", "/shards", Some(&format!("Bearer {token}"))).status;
    assert_eq!((status(ADMIN), status("the-next-token-1")), (200, 401));
    std::fs::write(folder.path().join("admin-token"), format!("{ADMIN}\nthe-next-token-1\n")).unwrap();
    assert_eq!((status(ADMIN), status("the-next-token-1")), (200, 200));
    std::fs::write(folder.path().join("admin-token"), "the-next-token-1").unwrap();
    assert_eq!((status(ADMIN), status("the-next-token-1")), (401, 200));
    std::fs::remove_file(folder.path().join("admin-token")).unwrap();
    assert_eq!((status("the-next-token-1"), status("")), (401, 401));
}

#[test]
fn beyond_the_loopback_it_is_refused_in_words_without_tls_and_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let start = |change: &dyn Fn(&mut AdminSettings)| {
        let mut settings = AdminSettings { address: "0.0.0.0:0".into(), ..AdminSettings::default() };
        change(&mut settings);
        let view = ProcessView { statuses: Vec::new(), registry: prometheus::Registry::new(), stop: Arc::default() };
        AdminServer::start(&settings, view).map(|server| server.is_some()).map_err(|failure| failure.to_string())
    };
    for tokens in [false, true] {
        let refused = start(&|settings| {
            if tokens {
                with_tokens(folder.path(), settings);
            }
        });
        let message = refused.unwrap_err();
        assert!(message.starts_with("`admin.address`: expected a loopback address such as"), "{message}");
        assert!(message.contains("`certificate_file`, `key_file` and a token file"), "{message}");
    }
    assert_eq!(start(&|settings| settings.insecure = true), Ok(true));
    assert_eq!(start(&|settings| settings.address.clear()), Ok(false));
}

#[test]
fn an_address_that_is_taken_is_told_with_what_to_do() {
    let first = Admin::start(|_| {});
    let settings = AdminSettings { address: first.server.address().to_string(), ..AdminSettings::default() };
    let view = ProcessView { statuses: Vec::new(), registry: prometheus::Registry::new(), stop: Arc::default() };
    let message = AdminServer::start(&settings, view).err().expect("it is taken").to_string();
    assert!(
        message.contains("cannot listen on the admin address") && message.contains("set `address` of [admin]"),
        "{message}"
    );
}
