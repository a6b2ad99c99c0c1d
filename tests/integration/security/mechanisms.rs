//! Every authentication mechanism with the real program: `check --connect` reports no fault, and `run` processes events
//! and publishes changes. Then wrong credentials, which must be refused.

use super::program::{Program, end, stop};
use super::{USER, secure};
use crate::support::acls::{Acl, Kind, Operation, allow};
use crate::support::secure::{MUTUAL, PLAIN_USER, SASL, Secure, TLS, token};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// All rights on topics named after the mechanisms, for every user that a mechanism authenticates.
fn allow_all(secure: &Secure) {
    let rights = [
        (Kind::Topic, Operation::Read),
        (Kind::Topic, Operation::Write),
        (Kind::Topic, Operation::Create),
        (Kind::Topic, Operation::DescribeConfigs),
        (Kind::Group, Operation::Read),
        (Kind::TransactionalId, Operation::Write),
    ];
    let acls = rights.map(|(kind, operation)| Acl::prefixed(kind, "by-", operation));
    let users = [USER.0, PLAIN_USER.0, "CN=shoal"];
    allow(&secure.broker.address, users.iter().flat_map(|user| acls.iter().map(|acl| (*user, acl))));
}

/// The lines of `[kafka.client]` for one mechanism of the SASL listener.
fn sasl<'a>(ca: &'a str, mechanism: &'a str, user: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut client = vec![("security.protocol", "SASL_SSL"), ("ssl.ca.location", ca), ("sasl.mechanism", mechanism)];
    if !user.is_empty() {
        client.extend([("sasl.username", user), ("sasl.password", password)]);
    }
    client
}

fn mutual<'a>(ca: &'a str, certificate: &'a str, key: &'a str) -> Vec<(&'a str, &'a str)> {
    let tls = [("security.protocol", "SSL"), ("ssl.ca.location", ca)];
    tls.into_iter().chain([("ssl.certificate.location", certificate), ("ssl.key.location", key)]).collect()
}

fn brokers(secure: &Secure, listener: &str) -> String {
    format!("brokers = {:?}\n", secure.broker.listener(listener))
}

fn with_token(secure: &Secure, file: &Path) -> String {
    format!("{}oauth_token_file = {file:?}\n", brokers(secure, SASL))
}

#[test]
fn each_mechanism_lets_shoal_work() {
    let Some(secure) = secure() else { return };
    allow_all(secure);
    let file = |name: &str| secure.certificate(name).display().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let token_file = secure.certificate("token");
    let long = token(USER.0, now() + 3_600);
    std::fs::write(&token_file, &long).unwrap();
    let by_sasl = brokers(secure, SASL);
    let programs = [
        Program::new("by-tls", &brokers(secure, TLS), &[("security.protocol", "SSL"), ("ssl.ca.location", &ca)]),
        Program::new("by-mutual", &brokers(secure, MUTUAL), &mutual(&ca, &certificate, &key)),
        Program::new("by-plain", &by_sasl, &sasl(&ca, "PLAIN", PLAIN_USER.0, PLAIN_USER.1)),
        Program::new("by-scram-256", &by_sasl, &sasl(&ca, "SCRAM-SHA-256", USER.0, USER.1)),
        Program::new("by-scram-512", &by_sasl, &sasl(&ca, "SCRAM-SHA-512", USER.0, USER.1)),
        Program::new("by-token", &with_token(secure, &token_file), &sasl(&ca, "OAUTHBEARER", "", "")),
    ];
    for program in &programs {
        secure.broker.create_topic(&program.topic("events"), 2, &[("retention.ms", "-1")]);
        program.buy(&secure.broker, &["anna", "berta"]);
    }
    let running: Vec<_> = programs.iter().map(Program::run).collect();
    for program in &programs {
        assert_eq!(program.wait_for_changes(&secure.broker, 2), ["anna", "berta"]);
    }
    let written: String = running.into_iter().map(stop).collect();
    let checked: Vec<_> = programs.iter().map(Program::check).collect();
    let checked: Vec<_> = checked.into_iter().map(end).collect();
    for (status, text) in &checked {
        assert_eq!(*status, 0, "{text}");
        assert!(text.contains("ok       brokers: reached") && text.contains("ok       transactions"), "{text}");
        assert!(text.contains("ok       rights: all that `shoal run` needs"), "{text}");
    }
    let written = checked.into_iter().fold(written, |all, (_, text)| all + &text);
    for secret in [PLAIN_USER.1, USER.1, &long] {
        assert!(!written.contains(secret), "a secret was written:\n{written}");
    }
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let Some(secure) = secure() else { return };
    allow_all(secure);
    let ca = secure.certificate("ca.pem").display().to_string();
    let token_file = secure.certificate("short-token");
    let (first_ends, short) = (now() + 10, token(USER.0, now() + 10));
    std::fs::write(&token_file, &short).unwrap();
    let program = Program::new("by-short-token", &with_token(secure, &token_file), &sasl(&ca, "OAUTHBEARER", "", ""));
    secure.broker.create_topic(&program.topic("events"), 1, &[("retention.ms", "-1")]);
    let running = program.run();
    program.wait_until_connected(&secure.broker);
    std::fs::write(&token_file, token(USER.0, now() + 3_600)).unwrap();
    program.buy(&secure.broker, &["anna"]);
    program.wait_for_changes(&secure.broker, 1);
    // The broker closes connections whose token has expired.
    while now() < first_ends + 2 {
        secure.broker.end(&program.topic("changes"), 0);
    }
    program.buy(&secure.broker, &["berta"]);
    assert_eq!(program.wait_for_changes(&secure.broker, 2), ["anna", "berta"]);
    assert!(!stop(running).contains(&short));
}

/// A refused authentication: the program, the expected text, and texts that must not appear.
struct Refused {
    program: Program,
    expected: &'static str,
    secret: String,
    /// The cause may be temporary, so that `run` retries for half a minute; only `check` is run.
    may_pass: bool,
}

fn refused(secure: &Secure) -> Vec<Refused> {
    let file = |name: &str| secure.certificate(name).display().to_string();
    let (ca, other_ca) = (file("ca.pem"), file("other-ca.pem"));
    let wrong = "wrong-password-c2d8";
    let expired = token(USER.0, now() - 60);
    std::fs::write(secure.certificate("expired-token"), &expired).unwrap();
    std::fs::write(secure.certificate("no-token"), "no-token-77aa").unwrap();
    let of = |kafka: &str, client: &[(&str, &str)], expected, secret: &str| Refused {
        program: Program::new("by-nobody", kafka, client),
        expected,
        secret: secret.to_owned(),
        may_pass: false,
    };
    let (by_sasl, by_mutual) = (brokers(secure, SASL), brokers(secure, MUTUAL));
    let by_token = |name: &str| with_token(secure, &secure.certificate(name));
    let bearer = sasl(&ca, "OAUTHBEARER", "", "");
    let passing = |kafka: &str, client: &[(&str, &str)], expected| Refused {
        may_pass: true,
        ..of(kafka, client, expected, wrong)
    };
    vec![
        of(
            &by_sasl,
            &sasl(&ca, "PLAIN", PLAIN_USER.0, wrong),
            "Invalid username or password. Check `sasl.username`",
            wrong,
        ),
        of(
            &by_sasl,
            &sasl(&ca, "SCRAM-SHA-256", USER.0, wrong),
            "invalid credentials with SASL mechanism SCRAM-SHA-256",
            wrong,
        ),
        of(
            &by_sasl,
            &sasl(&ca, "SCRAM-SHA-512", USER.0, wrong),
            "invalid credentials with SASL mechanism SCRAM-SHA-512",
            wrong,
        ),
        of(
            &by_sasl,
            &sasl(&other_ca, "PLAIN", PLAIN_USER.0, PLAIN_USER.1),
            "not signed by the authority in `ssl.ca.location`",
            PLAIN_USER.1,
        ),
        of(
            &by_mutual,
            &[("security.protocol", "SSL"), ("ssl.ca.location", &ca)],
            "refuses the client certificate, or there is none",
            wrong,
        ),
        of(
            &by_mutual,
            &mutual(&ca, &file("stranger.pem"), &file("stranger.key")),
            "refuses the client certificate",
            wrong,
        ),
        of(&by_token("expired-token"), &bearer, "expired at 20", &expired),
        of(&by_token("no-token"), &bearer, "does not contain a usable token", "no-token-77aa"),
        of(&by_token("missing-token"), &bearer, "cannot be read", wrong),
        of(
            &by_sasl,
            &[("security.protocol", "SSL"), ("ssl.key.pem", wrong)],
            "the Kafka client cannot be made: ",
            wrong,
        ),
        of(
            &by_sasl,
            &[("ssl.key.password", wrong), ("security.protocol", wrong)],
            "`security.protocol` of [kafka.client]",
            wrong,
        ),
        passing(&by_sasl, &[], "as a listener does that expects another `security.protocol` than plaintext"),
        passing("brokers = \"127.0.0.1:1\"", &[], "Connection refused. Check that the broker is running"),
        passing("brokers = \"kafka.example:9092\"", &[], "Correct the host in `brokers` of [kafka]"),
    ]
}

#[test]
fn connection_errors_state_the_cause_without_secrets() {
    let Some(secure) = secure() else { return };
    let all = refused(secure);
    let started = std::time::Instant::now();
    let checks: Vec<_> = all.iter().map(|refused| (refused, refused.program.check())).collect();
    let runs: Vec<_> =
        all.iter().filter(|refused| !refused.may_pass).map(|refused| (refused, refused.program.run())).collect();
    for (refused, child) in checks.into_iter().chain(runs) {
        let (status, text) = end(child);
        assert_eq!(status, 3, "expected {:?}\n{text}", refused.expected);
        assert!(text.contains(refused.expected), "expected {:?}\n{text}", refused.expected);
        assert!(!text.contains(&refused.secret), "a secret was written:\n{text}");
    }
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
}
