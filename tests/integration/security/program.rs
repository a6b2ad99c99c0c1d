//! The program with a settings file of its own, and the topics and events it works on.

use crate::support::wait::{wait_for_ok, wait_until};
use crate::support::{Broker, Produced, Received, own_topics};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const RULES: &str = "[audience.buyer]\nwhen = \"orders > 0\"\n";

/// Settings of a run, with topics that begin with `name` and are its own.
pub struct Program {
    name: String,
    folder: tempfile::TempDir,
}

impl Program {
    /// `kafka` are lines of the section `[kafka]`, `client` of `[kafka.client]`.
    pub fn new(name: &str, kafka: &str, client: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client: String = client.iter().map(|(key, value)| format!("{key:?} = {value:?}\n")).collect();
        let topics = own_topics(name);
        let inputs = if kafka.contains("inputs") { String::new() } else { format!("inputs = [\"{name}.events\"]\n") };
        let settings = format!(
            "rules = \"rules.toml\"\n[kafka]\ngroup = \"{name}\"\n{inputs}fetch_wait_ms = 20\n{kafka}\n[kafka.client]\n{client}\
             [kafka.topics]\n{topics}[admin]\naddress = \"127.0.0.1:0\"\n[log]\nformat = \"text\"\nlevel = \"trace\"\n"
        );
        std::fs::write(folder.path().join("shoal.toml"), settings).unwrap();
        std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
        Self { name: name.into(), folder }
    }

    /// One of its topics, such as `events` or `changes`.
    pub fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    pub fn check(&self) -> Child {
        self.start(&["check", "--connect"])
    }

    pub fn run(&self) -> Child {
        self.start(&["run"])
    }

    pub fn dry_run(&self) -> Child {
        self.start(&["run", "--dry-run"])
    }

    pub fn dry_run_of(&self, rules: &str) -> Child {
        std::fs::write(self.folder.path().join("new.toml"), rules).unwrap();
        self.start(&["run", "--dry-run", "--rules", "new.toml"])
    }

    /// Runs the service as another user with the same password.
    pub fn run_as(&self, user: &str) -> Child {
        self.command(&["run"]).env("SHOAL__KAFKA__CLIENT__SASL_USERNAME", user).spawn().unwrap()
    }

    /// Writes one event, given as a line of JSON.
    pub fn produce(&self) -> Child {
        std::fs::write(self.folder.path().join("events.jsonl"), purchase("anna") + "\n").unwrap();
        self.start(&["produce", "--topic", &self.topic("events"), "events.jsonl"])
    }

    fn start(&self, command: &[&str]) -> Child {
        self.command(command).spawn().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args(arguments).args(["--config", "shoal.toml"]).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Writes events of customers who have not bought before.
    pub fn buy(&self, broker: &Broker, customers: &[&str]) {
        for customer in customers {
            let value = purchase(customer);
            let record =
                Produced { key: Some(customer.as_bytes()), value: Some(value.as_bytes()), ..Produced::default() };
            broker.produce(&self.topic("events"), [record]);
        }
    }

    /// Waits until the service has created its last topic.
    pub fn wait_until_connected(&self, broker: &Broker) {
        let control = self.topic("control");
        wait_until(&format!("topic {control}"), PATIENCE, || broker.topics().contains(&control));
    }

    /// Waits until this number of changes is published. Returns the customers in order of their names.
    pub fn wait_for_changes(&self, broker: &Broker, count: usize) -> Vec<String> {
        let topic = self.topic("changes");
        let changes = wait_for_ok(&format!("{count} changes in {topic}"), PATIENCE, || {
            let changes = if broker.topics().contains(&topic) { broker.read_committed(&topic) } else { Vec::new() };
            if changes.len() >= count { Ok(changes) } else { Err(format!("{} changes", changes.len())) }
        });
        let key = |change: &Received| String::from_utf8(change.key.clone().unwrap()).unwrap();
        let mut customers: Vec<String> = changes.iter().map(key).collect();
        customers.sort();
        customers
    }
}

fn purchase(customer: &str) -> String {
    format!(
        r#"{{"customer_id":"{customer}","type":"purchase","time":"2026-01-01T00:00:00Z","order_id":"o","amount":"1"}}"#
    )
}

/// Waits until the process ends. Returns its status and output.
pub fn end(child: Child) -> (i32, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code().unwrap_or(-1), text)
}

/// Stops the service; it must end successfully.
pub fn stop(child: Child) -> String {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let (status, text) = end(child);
    assert_eq!(status, 0, "{text}");
    text
}
