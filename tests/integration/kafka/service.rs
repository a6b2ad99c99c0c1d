//! `shoal run` as a process of its own, configured by its environment.

use crate::support::wait::within;
use shoal::worker::RunSettings;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// A running `shoal run`, with its log in a file. Killed when dropped.
pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    pub fn start(folder: &Path, settings: &RunSettings, instance: &str, changes_per_minute: u64) -> Self {
        Self::start_with(folder, settings, instance, changes_per_minute, &[])
    }

    /// The same with further environment variables.
    pub fn start_with(
        folder: &Path,
        settings: &RunSettings,
        instance: &str,
        changes_per_minute: u64,
        variables: &[(&str, &str)],
    ) -> Self {
        let log = folder.join(format!("{instance}.log"));
        Self::start_logging(&log, settings, (instance, changes_per_minute), variables, &[])
    }

    /// The same with arguments, and with its log in this file.
    pub fn start_logging(
        log: &Path,
        settings: &RunSettings,
        (instance, changes_per_minute): (&str, u64),
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let log = log.to_owned();
        let mut command = Self::command(settings, instance, changes_per_minute);
        command
            .arg("run")
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap());
        Self { child: command.spawn().expect("the program starts"), log }
    }

    /// Runs `shoal rebuild`. Returns whether it succeeded, and its standard error.
    pub fn rebuild(settings: &RunSettings, variables: &[(&str, &str)]) -> (bool, String) {
        let mut command = Self::command(settings, "only", 0);
        let out =
            command.args(["rebuild", "--yes"]).envs(variables.iter().copied()).output().expect("the program starts");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    }

    /// Runs another command of the program on the same settings, such as `check`. Returns its status and what it wrote.
    pub fn run_command(settings: &RunSettings, arguments: &[&str]) -> (Option<i32>, String) {
        let out = Self::output(settings, 0, arguments);
        (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    /// The same with what it wrote to standard output and standard error apart.
    pub fn output(settings: &RunSettings, changes_per_minute: u64, arguments: &[&str]) -> Output {
        Self::command(settings, "only", changes_per_minute).args(arguments).output().expect("the program starts")
    }

    /// Starts `shoal rebuild`, which may have to wait.
    pub fn start_rebuild(folder: &Path, settings: &RunSettings, variables: &[(&str, &str)]) -> Self {
        let log = folder.join("rebuild.log");
        let mut command = Self::command(settings, "only", 0);
        command.args(["rebuild", "--yes"]).envs(variables.iter().copied()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().expect("the program starts"), log }
    }

    /// Waits until it ends by itself, successfully. Returns its log.
    pub fn done(mut self) -> String {
        assert!(self.end().success(), "{}", self.log());
        self.log()
    }

    fn command(settings: &RunSettings, instance: &str, changes_per_minute: u64) -> Command {
        let (kafka, topics) = (&settings.kafka, &settings.kafka.topics);
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        for (name, value) in [
            ("RULES", settings.rules.to_str().unwrap()),
            ("KAFKA__BROKERS", &kafka.brokers),
            ("KAFKA__GROUP", &kafka.group),
            ("KAFKA__INSTANCE", instance),
            ("KAFKA__INPUTS", &kafka.inputs.join(",")),
            ("SNAPSHOTS__URL", &settings.snapshots.url),
            ("ADMIN__ADDRESS", "127.0.0.1:0"),
            ("LOG__FORMAT", "text"),
            ("KAFKA__FETCH_WAIT_MS", "20"),
            ("KAFKA__SESSION_TIMEOUT_MS", "6000"),
            ("KAFKA__TOPICS__CHANGES", &topics.changes),
            ("KAFKA__TOPICS__MEMBERSHIP", &topics.membership),
            ("KAFKA__TOPICS__REJECTED", &topics.rejected),
            ("KAFKA__TOPICS__JOURNAL", &topics.journal),
            ("KAFKA__TOPICS__CONTROL", &topics.control),
            ("KAFKA__TOPICS__CENSUS", &topics.census),
            ("KAFKA__TOPICS__ALERTS", &topics.alerts),
            ("WORKER__MAX_CHANGES_PER_MINUTE", &changes_per_minute.to_string()),
        ] {
            command.env(format!("SHOAL__{name}"), value);
        }
        command
    }

    /// Waits until the process dies, or has done its work, and then stops it. Returns whether it died.
    pub fn dies_before(mut self, is_done: impl Fn() -> bool) -> bool {
        let died = within(PATIENCE, || {
            let ended = self.child.try_wait().unwrap().map(Some);
            ended.or_else(|| is_done().then_some(None))
        });
        match died {
            Some(Some(status)) => {
                assert!(status.code().is_none(), "by a signal, but {status}: {}", self.log());
                true
            }
            Some(None) => {
                self.stop();
                false
            }
            None => panic!("neither dead nor done: {}", self.log()),
        }
    }

    /// Waits until it ends by itself.
    fn end(&mut self) -> ExitStatus {
        within(PATIENCE, || self.child.try_wait().unwrap()).unwrap_or_else(|| panic!("it runs: {}", self.log()))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The address of its admin server, once it is logged.
    pub fn admin(&self) -> String {
        let address = || {
            let log = self.log();
            let (_, address) = log.split_once("url=http://")?;
            Some(address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect())
        };
        within(PATIENCE, address).unwrap_or_else(|| panic!("no address in {}", self.log()))
    }

    pub fn wait_until_logged(&self, message: &str) {
        let logged = within(PATIENCE, || self.log().contains(message).then_some(()));
        logged.unwrap_or_else(|| panic!("the log does not contain {message:?}:\n{}", self.log()));
    }

    /// Waits until it ends by itself because it refuses to start. Returns its log.
    pub fn refused(mut self) -> String {
        assert_eq!(self.end().code(), Some(3), "refused: {}", self.log());
        self.log()
    }

    pub fn stop(self) {
        self.stop_by("-TERM");
    }

    pub fn stop_by(mut self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
