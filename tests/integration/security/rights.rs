//! The least access control lists of docs/security.md: with exactly those `shoal run` works; with one of them fewer it
//! fails and names the operation and the resource.
//!
//! For each right there is a user who has all others. All lists are created at once, without waiting in between.

use super::program::{Program, end, stop};
use super::{USER, secure};
use crate::support::acls::{Acl, Kind, Operation, allow, forbid};
use crate::support::secure::{SASL, Secure};
use std::io::{BufRead, BufReader};
use std::process::Child;

const NAME: &str = "least";

const PAGE: &str = include_str!("../../../docs/security.md");

/// The rights that the page lists for `shoal run`. Rights to create topics come first, in the order of creation.
fn least() -> Vec<Acl> {
    let rows = PAGE.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let mut acls = Vec::new();
    for row in rows.filter(|row| row.len() == 6 && row[4].split(", ").any(|command| command == "run")) {
        let (kind, name) = (kind_of(row[1]), row[2].replace("shoal", NAME).replace('`', ""));
        for operation in row[3].split(", ").map(operation_of) {
            acls.push(match name.as_str() {
                "each of inputs" => Acl::new(kind, &format!("{NAME}.events"), operation),
                name => match name.strip_prefix("prefix ") {
                    Some(prefix) => Acl::prefixed(kind, prefix, operation),
                    None => Acl::new(kind, name, operation),
                },
            });
        }
    }
    acls.sort_by_key(|acl| acl.operation != Operation::Create);
    acls
}

fn kind_of(name: &str) -> Kind {
    let kinds = [Kind::Topic, Kind::Group, Kind::TransactionalId];
    kinds.into_iter().find(|kind| format!("{kind:?}") == name).unwrap_or_else(|| panic!("{name} of the page"))
}

fn operation_of(name: &str) -> Operation {
    let operations = [Operation::Read, Operation::Write, Operation::Create, Operation::DescribeConfigs];
    operations.into_iter().find(|known| format!("{known:?}") == name).unwrap_or_else(|| panic!("{name} of the page"))
}

/// Users, groups and prefixes of topics of services that lose a right while they run.
const TAKEN: [&str; 4] = ["taken-read", "taken-write", "taken-group", "taken-id"];

const PASSWORD: &str = "least-password-0d4a";

fn user_without(index: usize) -> String {
    format!("without-{index}")
}

/// SCRAM users of all tests of this file.
pub fn users() -> Vec<(String, String)> {
    let users = (0..least().len())
        .map(user_without)
        .chain(["least", "trier", "writer", "owner"].map(str::to_owned))
        .chain(TAKEN.map(str::to_owned));
    users.map(|user| (user, PASSWORD.to_owned())).chain([(USER.0.to_owned(), USER.1.to_owned())]).collect()
}

fn program(secure: &Secure, user: &str) -> Program {
    program_named(secure, NAME, user)
}

fn program_named(secure: &Secure, name: &str, user: &str) -> Program {
    let kafka = format!("brokers = {:?}\n", secure.broker.listener(SASL));
    let ca = secure.certificate("ca.pem").display().to_string();
    let client = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", &ca),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", user),
        ("sasl.password", PASSWORD),
    ];
    Program::new(name, &kafka, &client)
}

/// The program failed, and its message names the missing right.
fn assert_refused(acl: &Acl, child: Child) {
    let (status, text) = end(child);
    assert_eq!(status, 3, "without {acl:?}:\n{text}");
    let kind = match acl.kind {
        Kind::Topic => "topic",
        Kind::Group => "group",
        Kind::TransactionalId => "transactional id",
    };
    let said = format!("Kafka denies Shoal {:?} on {kind} {}", acl.operation, acl.name);
    assert!(text.contains(&said), "without {acl:?} expected {said:?}:\n{text}");
    assert!(!text.contains(PASSWORD), "{text}");
}

#[test]
fn shoal_needs_all_documented_rights_and_no_others() {
    let Some(secure) = secure() else { return };
    let acls = least();
    assert_eq!(acls.len(), 32, "{acls:?}");
    let users: Vec<String> = (0..acls.len()).map(user_without).collect();
    let others = |index: usize| acls.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, acl)| acl);
    let lists = users.iter().enumerate().flat_map(|(index, user)| others(index).map(move |acl| (user.as_str(), acl)));
    allow(&secure.broker.address, lists.chain(acls.iter().map(|acl| ("least", acl))));
    let least = program(secure, "least");
    secure.broker.create_topic(&least.topic("events"), 2, &[("retention.ms", "-1")]);
    least.buy(&secure.broker, &["anna", "berta"]);

    // Each user creates the topics before the one that it may not create.
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
    // A few at a time: each is short and mostly waits.
    for some in using.chunks(4) {
        let programs: Vec<Program> = some.iter().map(|(_, user)| program(secure, user)).collect();
        let children: Vec<[Child; 2]> = programs.iter().map(|program| [program.check(), program.run()]).collect();
        for ((acl, _), both) in some.iter().zip(children) {
            both.into_iter().for_each(|child| assert_refused(acl, child));
        }
    }
}

/// A dry run reads in a group of its own, and writes nothing; `shoal produce` only writes.
#[test]
fn a_dry_run_and_producing_need_less() {
    let Some(secure) = secure() else { return };
    let of_topic = |operation| Acl::new(Kind::Topic, "less.events", operation);
    let [read, write, settings] = [Operation::Read, Operation::Write, Operation::DescribeConfigs].map(of_topic);
    let group = Acl::prefixed(Kind::Group, "less-dry-run-", Operation::Read);
    let trier = [&read, &settings, &group].map(|acl| ("trier", acl));
    let writer = [&write, &settings].map(|acl| ("writer", acl));
    allow(&secure.broker.address, trier.into_iter().chain(writer));
    let [trying, writing] = ["trier", "writer"].map(|user| program_named(secure, "less", user));
    secure.broker.create_topic(&trying.topic("events"), 2, &[("retention.ms", "-1")]);
    let (status, text) = end(trying.produce());
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("Kafka denies Shoal Write on topic less.events"), "{text}");
    let (status, text) = end(writing.produce());
    assert_eq!(status, 0, "{text}");
    let (status, text) = end(writing.dry_run());
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("Kafka denies Shoal Read on topic less.events"), "{text}");
    assert!(text.contains("Kafka denies Shoal Read on group less-dry-run-"), "{text}");

    let mut child = trying.dry_run();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let change = lines.next().expect("a change").unwrap();
    assert!(change.contains("\"customer_id\":\"anna\"") && change.contains("buyer"), "{change}");
    stop(child);
    a_dry_run_of_rules_needs_the_control_topic(secure, &trying);
}

/// The rights of a dry run, and Read on the control topic.
fn a_dry_run_of_rules_needs_the_control_topic(secure: &Secure, trying: &Program) {
    let [topic, group, id] = [Kind::Topic, Kind::Group, Kind::TransactionalId];
    let all = [Operation::Read, Operation::Write, Operation::Create, Operation::DescribeConfigs];
    let of_topics = all.map(|operation| Acl::prefixed(topic, "less.", operation));
    let others = [Acl::new(group, "less", Operation::Read), Acl::prefixed(id, "less-", Operation::Write)];
    allow(&secure.broker.address, of_topics.iter().chain(&others).map(|acl| ("owner", acl)));
    let service = trying.run_as("owner");
    trying.wait_for_changes(&secure.broker, 1);
    stop(service);
    let rules = "[audience.customer]\nwhen = \"orders > 0\"\n";
    let (status, text) = end(trying.dry_run_of(rules));
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("less.control") && text.contains("denies Shoal Read"), "{text}");
    let control = Acl::new(Kind::Topic, "less.control", Operation::Read);
    allow(&secure.broker.address, [("trier", &control)]);
    let (status, text) = end(trying.dry_run_of(rules));
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("\"segmentation\":\"customer\",\"from\":\"out\"") && text.contains("2 changes of 1"),
        "{text}"
    );
}

#[test]
fn a_revoked_right_ends_the_service() {
    let Some(secure) = secure() else { return };
    let broker = &secure.broker;
    let [topic, group, id] = [Kind::Topic, Kind::Group, Kind::TransactionalId];
    let all = [(topic, Operation::Read), (topic, Operation::Write), (topic, Operation::Create)];
    let all =
        all.into_iter().chain([(topic, Operation::DescribeConfigs), (group, Operation::Read), (id, Operation::Write)]);
    let all: Vec<Acl> = all.map(|(kind, operation)| Acl::prefixed(kind, "taken-", operation)).collect();
    allow(&broker.address, TAKEN.iter().flat_map(|user| all.iter().map(|acl| (*user, acl))));
    let taken = [
        // Detected by the fetch, or by the transaction that commits the offsets.
        (Acl::new(topic, "taken-read.events", Operation::Read), vec!["taken-read.events", "Read on one of the inputs"]),
        (Acl::new(topic, "taken-write.changes", Operation::Write), vec!["denies Shoal Write on one of its own topics"]),
        (Acl::new(group, "taken-group", Operation::Read), vec!["denies Shoal Read on the consumer group"]),
        (Acl::prefixed(id, "taken-id-", Operation::Write), vec!["denies Shoal Write on transactional id taken-id-"]),
    ];
    let programs = TAKEN.map(|user| program_named(secure, user, user));
    for program in &programs {
        broker.create_topic(&program.topic("events"), 1, &[("retention.ms", "-1")]);
        program.buy(broker, &["anna"]);
    }
    let running: Vec<Child> = programs.iter().map(Program::run).collect();
    for program in &programs {
        program.wait_for_changes(broker, 1);
    }
    forbid(&broker.address, TAKEN.iter().zip(&taken).map(|(user, (acl, _))| (*user, acl)));
    for ((program, child), (acl, said)) in programs.iter().zip(running).zip(&taken) {
        program.buy(broker, &["berta"]);
        let (status, text) = end(child);
        let last = text.lines().last().unwrap_or_default();
        assert_eq!(status, 3, "without {acl:?}: {last}");
        assert!(said.iter().any(|said| last.contains(said)), "without {acl:?}: {last}");
    }
}
