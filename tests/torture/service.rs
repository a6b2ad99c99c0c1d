//! A running `shoal run`, what it tells of itself on standard error, and the signals it gets.
//!
//! However this program ends, its services end too: a shell holds the list of their ids and waits for our end of a pipe.

use crate::support::http;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock};

/// Lines of a log that are shown when something is wrong.
const TAIL_LINES: usize = 25;

/// What a service tells at level trace, and what else is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has read its settings and listens to signals.
    Up,
    Begun,
    Written,
    OffsetsSent,
    Committed,
    /// A journalled transaction is done again.
    Replaying,
    /// Shards are to be given up; their last transaction follows.
    Revoking,
    Revoked,
}

const WORDS: [(&str, Told); 8] = [
    ("run: running", Told::Up),
    ("shoal::transaction: begun", Told::Begun),
    ("shoal::transaction: written", Told::Written),
    ("shoal::transaction: offsets sent", Told::OffsetsSent),
    ("shoal::transaction: committed", Told::Committed),
    ("shoal::recovery: replaying", Told::Replaying),
    ("shoal::group: revoking", Told::Revoking),
    ("shoal::group: revoked", Told::Revoked),
];

/// Where it says where it can be asked.
const ADMIN_WORDS: &str = "admin address: http://";

/// Hears what a service told, on the thread that reads it.
pub type Listener = Arc<dyn Fn(usize, Told) + Send + Sync>;

/// A process of its own; its place among the services of the run.
pub struct Service {
    child: Child,
    guard: Arc<Guard>,
    log: PathBuf,
    admin: Arc<OnceLock<String>>,
}

impl Service {
    pub fn start(
        place: usize,
        config: &Path,
        log: &Path,
        crash_at: Option<String>,
        guard: &Arc<Guard>,
        tell: Sender<(usize, Told)>,
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
                if let Some((_, address)) = line.split_once(ADMIN_WORDS) {
                    let _ =
                        found.set(address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect());
                }
                if let Some((_, told)) = WORDS.iter().find(|(words, _)| line.contains(words)) {
                    listener(place, *told);
                    let _ = tell.send((place, *told));
                }
                let _ = writeln!(copy, "{line}");
            }
        });
        Ok(Self { child, guard: Arc::clone(guard), log: log.to_owned(), admin })
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id() as i32).expect("an id");
        // It may have ended by itself meanwhile, but is not waited for yet: so the id is still its own.
        let _ = kill_process(id, signal);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// How many shards run there, if that is all that it was given; none if that is not so, or not known.
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

/// kill -9; it is dead after this.
impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.guard.remove(self.child.id());
    }
}

/// The last lines of a log, without what is told all the time.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" TRACE ") && !line.contains(" DEBUG ")).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A shell that kills what is on its list when its input ends.
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
    /// `folder` is removed in the end too; an empty name is none.
    pub fn start(folder: &str) -> Result<Arc<Self>, String> {
        let shell = Command::new("sh").args(["-c", GUARD, "torture-guard", folder]).stdin(Stdio::piped()).spawn();
        let shell = Mutex::new(shell.map_err(|error| format!("sh: {error}"))?);
        Ok(Arc::new(Self { shell }))
    }

    /// It dies with us.
    pub fn add(&self, id: u32) {
        self.write(&format!("add {id}\n"));
    }

    /// It has ended.
    pub fn remove(&self, id: u32) {
        self.write(&format!("remove {id}\n"));
    }

    fn write(&self, line: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let input = shell.stdin.as_mut().expect("open until dropped");
        // If the shell is gone, nobody takes care of the services when we are killed, and all else works.
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
