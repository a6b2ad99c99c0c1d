//! Snapshots in a folder and on a real S3 server, written as a worker writes them.

use super::python;
use super::world::{SHARD, World, load};
use crate::support::wait::wait_for;
use bytes::Bytes;
use shoal::store::objects::{Created, Listing, MemoryObjects, Objects};
use shoal::store::{Piece, SnapshotOutcome, SnapshotSettings, SnapshotStore, SnapshotStoreThread, StoredObjects};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A server that ends with the test.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Option<Self> {
        let interpreter = python::interpreter()?;
        // The server cannot choose a free port itself.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut process = Command::new(interpreter)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = BufReader::new(process.stderr.take().expect("its output"));
        let mut lines = output.lines();
        let ready = lines
            .find(|line| line.as_ref().is_ok_and(|line| line.contains("Running on") || line.contains("Press CTRL")));
        assert!(ready.is_some(), "the server ended");
        // The server logs each request; unread output would block it.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, endpoint: format!("http://127.0.0.1:{}", port.port()) })
    }

    fn settings(&self, url: &str) -> SnapshotSettings {
        let options = [
            ("aws_endpoint", self.endpoint.as_str()),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "test"),
            ("aws_secret_access_key", "test"),
        ];
        let store = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        SnapshotSettings { url: url.to_owned(), store, ..SnapshotSettings::default() }
    }

    /// Creates a bucket; Shoal never does.
    fn make_bucket(&self, name: &str) {
        let host = self.endpoint.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(host).expect("the server");
        let request = format!("PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a piece is accepted, or for an outcome; a worker would process records meanwhile.
fn until<T>(what: &str, there: impl FnMut() -> Option<T>) -> T {
    wait_for(what, Duration::from_secs(60), there)
}

fn store(world: &mut World, snapshots: &mut SnapshotStoreThread) -> (u64, SnapshotOutcome) {
    let (fingerprint, head) = world.begin();
    let mut give = |piece: Piece| {
        let mut piece = Some(piece);
        until("room", || match snapshots.offer(SHARD, piece.take().expect("the piece")) {
            Ok(()) => Some(()),
            Err(back) => {
                piece = Some(back);
                None
            }
        });
    };
    give(Piece::Begin(Box::new(head)));
    while let Some(part) = world.shard.capture(16) {
        give(Piece::Part(part));
    }
    give(Piece::End);
    let outcome = until("an outcome", || snapshots.next_outcome());
    world.shard.end_capture(outcome.result.is_ok());
    (fingerprint, outcome)
}

fn snapshots_survive_their_worker(settings: &SnapshotSettings) {
    let mut world = World::new(51, 200);
    for round in 0..4 {
        let mut snapshots = SnapshotStoreThread::start(settings, "snapshots-0").expect("the store opens");
        let loaded = load(&mut snapshots);
        assert_eq!(loaded.is_some(), round > 0);
        if let Some(loaded) = loaded {
            world.resume(loaded);
        }
        snapshots.write_note(SHARD, "attempt", Some(b"17")).expect("a note");
        for _ in 0..3 {
            world.happen(100);
            let (fingerprint, outcome) = store(&mut world, &mut snapshots);
            outcome.result.expect("stored");
            let loaded =
                load(&mut SnapshotStoreThread::start(settings, "other").expect("the store opens")).expect("a snapshot");
            assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
        }
        assert_eq!(snapshots.read_note(SHARD, "attempt"), Ok(Some(b"17".to_vec())));
    }
}

/// A store whose writes wait for permission.
#[derive(Clone)]
struct Slow {
    objects: MemoryObjects,
    may: Arc<(Mutex<bool>, Condvar)>,
}

impl Slow {
    fn wait(&self) {
        let (may, changed) = &*self.may;
        drop(changed.wait_while(may.lock().expect("a lock"), |may| !*may).expect("a lock"));
    }

    fn go_on(&self) {
        *self.may.0.lock().expect("a lock") = true;
        self.may.1.notify_all();
    }
}

impl Objects for Slow {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        self.wait();
        self.objects.put(path, bytes)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        self.wait();
        self.objects.create(path, bytes)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        self.objects.get(path)
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        self.objects.list(folder)
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        self.objects.remove(path)
    }
}

#[test]
fn a_slow_store_gives_pieces_back_and_nobody_waits() {
    let slow = Slow { objects: MemoryObjects::default(), may: Arc::default() };
    let mut snapshots = SnapshotStoreThread::over(slow.clone(), slow.clone(), 2, "snapshots-0").expect("a thread");
    let mut world = World::new(52, 100);
    world.happen(200);
    let (fingerprint, head) = world.begin();
    snapshots.offer(SHARD, Piece::Begin(Box::new(head))).expect("room");
    while let Some(part) = world.shard.capture(50) {
        snapshots.offer(SHARD, Piece::Part(part)).expect("room");
    }
    snapshots.offer(SHARD, Piece::End).expect("room");
    // Pieces of another shard: the queue becomes full, and none of these calls blocks.
    let refused = until("a piece that comes back", || snapshots.offer(SHARD + 1, Piece::Abandoned).err());
    assert!(matches!(refused, Piece::Abandoned) && snapshots.next_outcome().is_none());
    world.happen(10);
    slow.go_on();
    until("an outcome", || snapshots.next_outcome()).result.expect("stored");
    world.shard.end_capture(true);
    let loaded = load(&mut snapshots).expect("a snapshot");
    assert_eq!(world.restore(loaded).fingerprint(), fingerprint);
}

#[test]
fn in_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = folder.path().join("made/if missing").to_string_lossy().into_owned();
    snapshots_survive_their_worker(&SnapshotSettings { url, ..SnapshotSettings::default() });
}

#[test]
fn in_a_bucket() {
    let Some(server) = Server::start() else { return };
    server.make_bucket("shoal");
    let settings = server.settings("s3://shoal/some/prefix");
    snapshots_survive_their_worker(&settings);
    let objects = StoredObjects::open(&settings).expect("a bucket");
    assert_eq!(objects.list("").expect("a list").folders, ["shard-00003"]);
    assert_eq!(objects.create("one", "a".into()), Ok(Created::Created));
    assert_eq!(objects.create("one", "b".into()), Ok(Created::Exists));
    assert_eq!(objects.get("one"), Ok(Some("a".into())));
    objects.put("one", "c".into()).expect("over it");
    assert_eq!(objects.get("one"), Ok(Some("c".into())));
    objects.remove("one").expect("gone");
    objects.remove("one").expect("gone already");
    assert_eq!(objects.get("one"), Ok(None));
    let missing = StoredObjects::open(&server.settings("s3://nobody/x")).expect("no request is sent yet");
    assert!(missing.put("one", "a".into()).expect_err("no bucket").contains("NoSuchBucket"));
}

/// Answers like a server without conditional requests: "not implemented" if there is a condition, otherwise "not
/// found".
fn serve_without_conditions(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = BufReader::new(stream.try_clone().expect("the same one"));
        let (mut has_condition, mut length) = (false, 0);
        loop {
            let mut line = String::new();
            if request.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            has_condition |= name.eq_ignore_ascii_case("if-none-match");
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a length");
            }
        }
        // Closing a connection with unread data resets it, and the answer would be lost.
        let mut body = vec![0; length];
        let _ = request.read_exact(&mut body);
        let status = if has_condition { "501 Not Implemented" } else { "404 Not Found" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

#[test]
fn a_store_that_knows_no_conditional_puts_makes_no_manifest_and_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || serve_without_conditions(&listener));
    let options = [("aws_endpoint", endpoint.as_str()), ("aws_access_key_id", "x"), ("aws_secret_access_key", "x")];
    let store = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = SnapshotSettings { url: "s3://shoal/prefix".into(), store, ..SnapshotSettings::default() };
    let objects = StoredObjects::open(&settings).expect("no request is sent yet");
    let message = objects.create("manifest", "a".into()).expect_err("it is not implemented");
    assert!(message.contains("creating manifest") && message.contains("501"), "{message}");
    assert_eq!(objects.get("manifest"), Ok(None));
}

#[test]
fn options_that_no_store_has_are_refused() {
    let mut settings = SnapshotSettings { url: "s3://b/p".to_owned(), ..SnapshotSettings::default() };
    settings.store.insert("aws_regoin".to_owned(), "x".to_owned());
    let message = StoredObjects::open(&settings).err().expect("refused");
    assert!(message.contains("`aws_regoin` is not an option of an S3 store"), "{message}");
}
