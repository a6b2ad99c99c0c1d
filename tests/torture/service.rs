//! A running `shoal run`: the events in its log, and the signals sent to it.
//!
//! The services end when this program ends, however it ends: a shell has the list of their ids and waits for the end of
//! a pipe.

use crate::support::http;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock};

/// Lines of a log that an error includes.
const TAIL_LINES: usize = 25;

/// Events that a service logs, most of them at level trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// It has read its settings and handles signals.
    Up,
    Begun,
    Written,
    OffsetsSent,
    Committed,
    /// A journalled transaction is replayed.
    Replaying,
    /// Shards will be revoked; their last transaction follows.
    Revoking,
    Revoked,
}

const EVENT_LINES: [(&str, ServiceEvent); 8] = [
    ("run: running", ServiceEvent::Up),
    ("shoal::transaction: begun", ServiceEvent::Begun),
    ("shoal::transaction: written", ServiceEvent::Written),
    ("shoal::transaction: offsets sent", ServiceEvent::OffsetsSent),
    ("shoal::transaction: committed", ServiceEvent::Committed),
    ("shoal::recovery: replaying", ServiceEvent::Replaying),
    ("shoal::group: revoking", ServiceEvent::Revoking),
    ("shoal::group: revoked", ServiceEvent::Revoked),
];

/// Precedes the address of its admin server.
const ADMIN_LINE: &str = "url=http://";

/// Called with the index of a service and its event, on the thread that reads its log.
pub type Listener = Arc<dyn Fn(usize, ServiceEvent) + Send + Sync>;

/// A process, with its index among the services of the run.
pub struct Service {
    child: Child,
    guard: Arc<Guard>,
    log: PathBuf,
    admin: Arc<OnceLock<String>>,
}

impl Service {
    pub fn start(
        index: usize,
        config: &Path,
        log: &Path,
        crash_at: Option<String>,
        guard: &Arc<Guard>,
        events: Sender<(usize, ServiceEvent)>,
        listener: Listener,
    ) -> Result<Self, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shoal"))
            .arg("run")
            .arg("--config")
            .arg(config)
            .envs(crash_at.map(|at| ("SHOAL_CRASH_AT", at)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("shoal does not start: {error}"))?;
        guard.add(child.id());
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut copy = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| format!("{}: {error}", log.display()))?;
        let admin = Arc::new(OnceLock::new());
        let found = Arc::clone(&admin);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, address)) = line.split_once(ADMIN_LINE) {
                    let _ =
                        found.set(address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect());
                }
                if let Some((_, event)) = EVENT_LINES.iter().find(|(message, _)| line.contains(message)) {
                    listener(index, *event);
                    let _ = events.send((index, *event));
                }
                let _ = writeln!(copy, "{line}");
            }
        });
        Ok(Self { child, guard: Arc::clone(guard), log: log.to_owned(), admin })
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id() as i32).expect("an id");
        // It may have ended by itself, but has not been waited for: its id is still its own.
        let _ = kill_process(id, signal);
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Number of running shards, if these are all shards assigned to it; `None` otherwise, or if unknown.
    pub fn live_shards(&self) -> Option<usize> {
        let admin = self.admin.get()?;
        http::get(admin, "/readyz").ok()?;
        let shards = http::json(admin, "/shards").ok()?;
        Some(shards["shards"].as_array()?.iter().filter(|shard| shard["phase"] == "running").count())
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }
}

/// kill -9; it has ended when this returns.
impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.guard.remove(self.child.id());
    }
}

/// The last lines of a log, without frequent ones.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" TRACE ") && !line.contains(" DEBUG ")).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A shell that kills the processes of its list when its input ends.
pub struct Guard {
    shell: Mutex<Child>,
}

const GUARD: &str = r#"
trap '' INT TERM
ids=" "
while read -r verb id; do
  case $verb in
    add) ids="$ids$id " ;;
    remove) case "$ids" in *" $id "*) ids="${ids%% $id *} ${ids#* $id }" ;; esac ;;
  esac
done
[ -n "${ids# }" ] && kill -9 $ids 2> /dev/null
rm -rf "$1"
"#;

impl Guard {
    /// The shell also removes `folder`, unless the name is empty.
    pub fn start(folder: &str) -> Result<Arc<Self>, String> {
        let shell = Command::new("sh").args(["-c", GUARD, "torture-guard", folder]).stdin(Stdio::piped()).spawn();
        let shell = Mutex::new(shell.map_err(|error| format!("sh: {error}"))?);
        Ok(Arc::new(Self { shell }))
    }

    /// Adds a process that must end with this program.
    pub fn add(&self, id: u32) {
        self.write(&format!("add {id}\n"));
    }

    /// Removes a process that has ended.
    pub fn remove(&self, id: u32) {
        self.write(&format!("remove {id}\n"));
    }

    fn write(&self, line: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let input = shell.stdin.as_mut().expect("open until dropped");
        // Without the shell, services would outlive this program if it were killed; nothing else depends on it.
        let _ = input.write_all(line.as_bytes());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        drop(shell.stdin.take());
        let _ = shell.wait();
    }
}
