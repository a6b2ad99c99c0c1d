//! The least access control lists of docs/security.md: with exactly those `shoal run` works; with one of them fewer it fails
//! and names the operation and the resource.
//!
//! Each right has a user who has all but that one. So all lists are made at once, and nothing is waited for in between.

use crate::program::{Program, end, stop};
use crate::support::acls::{Acl, Kind, Operation, allow};
use crate::support::secure::{SASL, Secure};
use crate::{USER, secure};
use std::process::Child;

const NAME: &str = "least";

/// What docs/security.md lists for `shoal run`. Rights to make topics come first, in the order in which they are made.
fn least() -> Vec<Acl> {
    let topic = |topic: &str, operation| Acl::new(Kind::Topic, &format!("{NAME}.{topic}"), operation);
    let own = ["changes", "membership", "rejected", "journal", "control"];
    let mut acls: Vec<Acl> = own.iter().map(|name| topic(name, Operation::Create)).collect();
    for name in own {
        acls.extend(
            [Operation::Read, Operation::Write, Operation::DescribeConfigs].map(|operation| topic(name, operation)),
        );
    }
    acls.extend([Operation::Read, Operation::DescribeConfigs].map(|operation| topic("events", operation)));
    acls.push(Acl::new(Kind::Group, NAME, Operation::Read));
    acls.push(Acl::prefixed(Kind::TransactionalId, &format!("{NAME}-"), Operation::Write));
    acls
}

const PASSWORD: &str = "least-password-0d4a";

fn user_without(place: usize) -> String {
    format!("without-{place}")
}

/// Users of SCRAM of all tests here.
pub fn users() -> Vec<(String, String)> {
    let users = (0..least().len()).map(user_without).chain(["least".to_owned()]);
    users.map(|user| (user, PASSWORD.to_owned())).chain([(USER.0.to_owned(), USER.1.to_owned())]).collect()
}

fn program(secure: &Secure, user: &str) -> Program {
    let kafka = format!("brokers = {:?}\n", secure.broker.listener(SASL));
    let ca = secure.certificate("ca.pem").display().to_string();
    let client = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", &ca),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", user),
        ("sasl.password", PASSWORD),
    ];
    Program::new(NAME, &kafka, &client)
}

/// It failed, and said what is missing.
fn assert_refused(acl: &Acl, child: Child) {
    let (status, text) = end(child);
    assert_eq!(status, 3, "without {acl:?}:\n{text}");
    let kind = match acl.kind {
        Kind::Topic => "topic",
        Kind::Group => "group",
        Kind::Cluster => "cluster",
        Kind::TransactionalId => "transactional id",
    };
    let said = format!("Kafka does not allow us {:?} on {kind} {}", acl.operation, acl.name);
    assert!(text.contains(&said), "without {acl:?} expected {said:?}:\n{text}");
    assert!(!text.contains(PASSWORD), "{text}");
}

#[test]
fn shoal_works_with_the_least_rights_and_with_none_fewer() {
    let Some(secure) = secure() else { return };
    let acls = least();
    let users: Vec<String> = (0..acls.len()).map(user_without).collect();
    let others = |place: usize| acls.iter().enumerate().filter(move |(other, _)| *other != place).map(|(_, acl)| acl);
    let lists = users.iter().enumerate().flat_map(|(place, user)| others(place).map(move |acl| (user.as_str(), acl)));
    allow(&secure.broker.address, lists.chain(acls.iter().map(|acl| ("least", acl))));
    let least = program(secure, "least");
    secure.broker.create_topic(&least.topic("events"), 2, &[("retention.ms", "-1")]);
    least.buy(&secure.broker, &["anna", "berta"]);

    // Each makes the topics before the one that it may not make.
    let (creating, using): (Vec<_>, Vec<_>) =
        acls.iter().zip(&users).partition(|(acl, _)| acl.operation == Operation::Create);
    for (acl, user) in creating {
        let program = program(secure, user);
        assert_refused(acl, program.check());
        assert_refused(acl, program.run());
    }
    let service = least.run();
    assert_eq!(least.wait_for_changes(&secure.broker, 2), ["anna", "berta"]);
    stop(service);
    let (status, text) = end(least.check());
    assert_eq!(status, 0, "{text}");
    // A few at a time: each is short, and most of it is waiting.
    for some in using.chunks(4) {
        let programs: Vec<Program> = some.iter().map(|(_, user)| program(secure, user)).collect();
        let children: Vec<[Child; 2]> = programs.iter().map(|program| [program.check(), program.run()]).collect();
        for ((acl, _), both) in some.iter().zip(children) {
            both.into_iter().for_each(|child| assert_refused(acl, child));
        }
    }
}
