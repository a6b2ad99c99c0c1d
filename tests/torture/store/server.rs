//! A real S3 server: versitygw, whose objects are files in a folder that survive its own kill -9.
//!
//! It is built once, by Go, into the ignored folder `.cache/versitygw` of the repository.

use crate::service::Guard;
use crate::support::wait::within;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const MODULE: &str = "github.com/versity/versitygw/cmd/versitygw";
const VERSION: &str = "1.8.0";
/// Upper bound of its start.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Another process may bind a port between the choice and the server's start.
const ATTEMPTS_MAX: u32 = 3;

pub const BUCKET: &str = "snapshots";
pub const USER: &str = "torture";
pub const PASSWORD: &str = "only-for-tests";

pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    guard: Arc<Guard>,
}

impl Server {
    /// Builds the server if necessary, without starting it.
    pub fn new(folder: &Path, guard: &Arc<Guard>) -> Result<Self, String> {
        fs::create_dir_all(folder.join(BUCKET)).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { program: build()?, folder: folder.to_owned(), child: None, guard: Arc::clone(guard) })
    }

    /// Its objects, as files.
    pub fn objects(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }

    pub fn start(&mut self) -> Result<SocketAddr, String> {
        for _ in 0..ATTEMPTS_MAX {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("a port: {error}"))?;
            let address = listener.local_addr().map_err(|error| format!("a port: {error}"))?;
            drop(listener);
            let child = Command::new(&self.program)
                .args(["--port", &address.to_string(), "posix"])
                .arg(&self.folder)
                .env("ROOT_ACCESS_KEY", USER)
                .env("ROOT_SECRET_KEY", PASSWORD)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("{}: {error}", self.program.display()))?;
            self.guard.add(child.id());
            if is_ready(self.child.insert(child), address) {
                return Ok(address);
            }
            self.crash();
        }
        Err(format!("versitygw did not answer within {START_PATIENCE:?}, {ATTEMPTS_MAX} times"))
    }

    /// kill -9.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.guard.remove(child.id());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Whether it accepts connections within the bound and before it ends.
fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    let started = within(START_PATIENCE, || {
        let is_ready = TcpStream::connect(address).is_ok();
        let has_ended = !matches!(child.try_wait(), Ok(None));
        (is_ready || has_ended).then_some(is_ready && !has_ended)
    });
    started == Some(true)
}

fn build() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/versitygw").join(VERSION);
    let program = folder.join("versitygw");
    if program.exists() {
        return Ok(program);
    }
    println!("  building versitygw {VERSION}, once: some minutes");
    let output = Command::new("go")
        .args(["install", &format!("{MODULE}@v{VERSION}")])
        .env("GOBIN", &folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("--store s3 needs Go to build versitygw, and `go` does not run: {error}"))?;
    match output.status.success() {
        true => Ok(program),
        false => Err(format!("go install {MODULE}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
