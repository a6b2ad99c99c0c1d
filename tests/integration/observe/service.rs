//! `shoal run` as processes of one service, each with its metrics on a port of its own.

use super::text;
use super::webhook::Webhook;
use crate::support::http;
use crate::support::wait::within;
use crate::support::{Broker, free_ports};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the processes of one service share: broker, group, topics, rules and the folder of their snapshots.
pub struct Service<'a> {
    broker: &'a Broker,
    name: &'static str,
    folder: PathBuf,
    inputs: Vec<String>,
    /// Further settings, such as `("SNAPSHOTS__INTERVAL", "2s")`.
    settings: Vec<(&'static str, String)>,
}

/// One process. Killed when dropped.
pub struct Process {
    child: Child,
    /// Where its metrics are.
    pub address: String,
    log: PathBuf,
}

impl<'a> Service<'a> {
    /// Creates the input topics, named after the service.
    pub fn new(broker: &'a Broker, folder: &Path, name: &'static str, inputs: &[&str], partitions: i32) -> Self {
        let inputs: Vec<String> = inputs.iter().map(|input| format!("{name}-{input}")).collect();
        for input in &inputs {
            broker.create_topic(input, partitions, &[("retention.ms", "604800000")]);
        }
        Self { broker, name, folder: folder.to_owned(), inputs, settings: Vec::new() }
    }

    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    /// Sends alerts of the rules to this webhook, too.
    pub fn with_webhook(self, webhook: &Webhook) -> Self {
        let secret = self.folder.join("secret");
        std::fs::write(&secret, "a secret of the tests").unwrap();
        self.with("ALERTS__WEBHOOK", &format!("http://{}/rules", webhook.address))
            .with("ALERTS__WEBHOOK_SECRET_FILE", &secret.display().to_string())
    }

    pub fn write_rules(&self, rules: &str) {
        std::fs::write(self.folder.join("rules.toml"), rules).unwrap();
    }

    /// The program with the settings of this service, as an instance of it.
    pub fn command(&self, instance: &str, address: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.current_dir(&self.folder).stdin(Stdio::null());
        for (key, value) in [
            ("RULES", "rules.toml".to_owned()),
            ("KAFKA__BROKERS", self.broker.address.clone()),
            ("KAFKA__GROUP", self.name.into()),
            ("KAFKA__INSTANCE", instance.into()),
            ("KAFKA__INPUTS", self.inputs.join(",")),
            ("KAFKA__FETCH_WAIT_MS", "20".into()),
            ("KAFKA__SESSION_TIMEOUT_MS", "3000".into()),
            ("SNAPSHOTS__URL", "snapshots".into()),
            ("ADMIN__ADDRESS", address.into()),
        ] {
            command.env(format!("SHOAL__{key}"), value);
        }
        for topic in own_topics() {
            command.env(format!("SHOAL__KAFKA__TOPICS__{}", topic.to_uppercase()), format!("{}.{topic}", self.name));
        }
        command.envs(self.settings.iter().map(|(key, value)| (format!("SHOAL__{key}"), value)));
        command
    }

    /// Starts a process at this address and waits until it answers there.
    pub fn start(&self, instance: &str, address: &str) -> Process {
        let mut process = self.launch(instance, address, &[]);
        let started = within(PATIENCE, || {
            let answers = http::get(address, "/livez").is_ok();
            let has_ended = process.child.try_wait().unwrap().is_some();
            (answers || has_ended).then_some(answers)
        });
        assert!(started == Some(true), "no answer at {address}: {}", process.log());
        process
    }

    /// Starts a process with these further variables.
    pub fn launch(&self, instance: &str, address: &str, variables: &[(&str, &str)]) -> Process {
        let log = self.folder.join(format!("{instance}.log"));
        let mut command = self.command(instance, address);
        command.arg("run").envs(variables.iter().copied()).stderr(File::create(&log).unwrap());
        Process { child: command.spawn().expect("the program starts"), address: address.into(), log }
    }
}

impl Process {
    pub fn metrics(&self) -> String {
        http::get(&self.address, "/metrics").unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub fn dies(mut self) {
        let died = within(PATIENCE, || self.child.try_wait().unwrap());
        died.unwrap_or_else(|| panic!("it lives: {}", self.log()));
    }

    /// SIGTERM; waits until it has ended successfully.
    pub fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keys of the topics that a service creates; each gets a name of its own, so that services do not share them.
fn own_topics() -> Vec<String> {
    let settings: toml::Table = text("config/shoal.toml").parse().expect("TOML");
    let topics = settings["kafka"]["topics"].as_table().expect("topics");
    topics.iter().filter(|(_, name)| name.is_str()).map(|(key, _)| key.clone()).collect()
}

/// Addresses of the processes; a process keeps its address over a restart.
pub fn addresses(count: usize) -> Vec<String> {
    free_ports(count).unwrap().into_iter().map(|port| format!("127.0.0.1:{port}")).collect()
}
