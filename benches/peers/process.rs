//! A process that is measured from outside: its processor time, memory and written bytes, as the kernel counts them.

use crate::support::wait::within;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a process may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(60);
/// The kernel's ticks of processor time.
const TICKS_PER_SECOND: f64 = 100.0;

pub struct Process {
    child: Child,
    log: std::path::PathBuf,
}

impl Process {
    /// Starts a command in a folder, where its output goes into a file.
    pub fn start(command: &mut Command, folder: &Path) -> Self {
        let log = folder.join("log");
        let output = fs::File::create(&log).expect("log file");
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("log file"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, log }
    }

    /// # Panics
    /// If the process has ended, with the end of its log.
    pub fn expect_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("its state is known") {
            panic!("the process ended with {status}:\n{}", self.tail());
        }
    }

    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(&self.child.id().to_string())
    }

    /// The most resident memory that it had so far.
    pub fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        number_behind(&status, "VmHWM:") * 1_024
    }

    /// What it has written into files so far.
    pub fn file_bytes(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.child.id())).expect("it runs, and is the caller's");
        number_behind(&io, "\nwrite_bytes:")
    }

    pub fn stop(&mut self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "SIGTERM is sent");
        let ended = within(END_MAX, || self.child.try_wait().expect("its state is known"));
        assert!(ended.is_some(), "the process does not end within {END_MAX:?} after SIGTERM:\n{}", self.tail());
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of all threads of a process, and of its children that have ended.
pub fn cpu_seconds_of(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    cpu_seconds_in(&stat).expect("the kernel's format")
}

/// From a line of /proc/PID/stat. Behind the name, which may contain anything, the 12th to 15th field are the ticks in
/// user and system mode, of the process and of its children that have ended.
pub fn cpu_seconds_in(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Option<Vec<f64>> = fields.split_whitespace().skip(11).take(4).map(|field| field.parse().ok()).collect();
    ticks.filter(|ticks| ticks.len() == 4).map(|ticks| ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn number_behind(text: &str, name: &str) -> u64 {
    let behind = text.split(name).nth(1).unwrap_or_else(|| panic!("no {name:?} in {text:?}"));
    behind.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}
