//! Processes of the real program: started, killed, stopped and started again under the same names.

use super::cpu;
use super::support::Broker;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Topics, rules and settings of one measurement.
pub struct Setup {
    pub input: String,
    pub changes: String,
    name: String,
    brokers: String,
    folder: TempDir,
    session_timeout_ms: u32,
    /// Further settings.
    pub more: String,
}

impl Setup {
    /// The input topic must be there.
    pub fn new(broker: &Broker, name: &str, rules: &str, session_timeout_ms: u32) -> Self {
        let setup = Self {
            input: format!("{name}-events"),
            changes: format!("{name}.changes"),
            name: name.to_owned(),
            brokers: broker.address.clone(),
            folder: tempfile::tempdir().expect("temporary folder"),
            session_timeout_ms,
            more: String::new(),
        };
        std::fs::write(setup.folder.path().join("rules.toml"), rules).expect("rules file");
        setup
    }

    /// Where settings, logs and snapshots are.
    #[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process of this name; workers are its threads.
    pub fn start(&self, instance: &str, workers: u32) -> Service {
        let Self { name, brokers, session_timeout_ms: session, more, .. } = self;
        let text = format!(
            r#"rules = "rules.toml"
[kafka]
brokers = "{brokers}"
group = "{name}"
instance = "{instance}"
inputs = ["{name}-events"]
session_timeout_ms = {session}
[kafka.topics]
changes = "{name}.changes"
membership = "{name}.membership"
rejected = "{name}.rejected"
journal = "{name}.journal"
control = "{name}.control"
census = "{name}.census"
alerts = "{name}.alerts"
[worker]
workers = {workers}
[admin]
address = "127.0.0.1:0"
{more}"#
        );
        let config = self.folder.path().join(format!("{instance}.toml"));
        std::fs::write(&config, text).expect("settings file");
        let log = self.folder.path().join(format!("{instance}.log"));
        let append = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("log file");
        let child = Command::new(env!("CARGO_BIN_EXE_shoal"))
            .arg("run")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stderr(append)
            .spawn()
            .expect("the program starts");
        Service { instance: instance.to_owned(), child, log }
    }

    #[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
    /// Name of the only worker of a process as its transactions show it.
    pub fn worker_of(&self, instance: &str) -> String {
        format!("{}-{instance}-0", self.name)
    }
}

/// A running process.
pub struct Service {
    pub instance: String,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Its resident memory in bytes.
    #[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
    pub fn resident_bytes(&self) -> u64 {
        cpu::resident_bytes_of(&self.child.id().to_string())
    }

    pub fn kill_9(mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("it is dead");
    }

    /// SIGTERM, and how long it takes to end.
    pub fn stop(mut self) -> Duration {
        let begin = Instant::now();
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "SIGTERM is sent");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{} ended with {status}:\n{}", self.instance, self.tail());
        begin.elapsed()
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
