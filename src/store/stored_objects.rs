//! Objects in a folder or in S3, through the object_store crate.
//!
//! Requests run on a runtime that belongs to the calling thread. Each request is tried a few times and ends after a
//! bounded time, whatever the storage does. In a folder, a file and its name are on the disk before a request returns.

use super::objects::{Created, Listing, Objects};
use super::settings::{Location, SnapshotSettings};
use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};
use std::fmt;
use std::io::ErrorKind;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Time-out of one attempt of a request.
const TRY_TIMEOUT: &str = "30 seconds";
const CONNECT_TIMEOUT: &str = "5 seconds";
/// Further attempts of a request, and the time after which no attempt is started.
const RETRIES: usize = 4;
const RETRY_UNTIL: Duration = Duration::from_secs(60);
/// Time-out of a request with all its attempts.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The age at which a file that an interrupted request left in a folder is removed.
const LEFTOVER_AFTER: Duration = Duration::from_secs(3_600);

pub struct StoredObjects {
    runtime: tokio::runtime::Runtime,
    /// Set from the beginning for a bucket; for a folder, as soon as the folder exists.
    store: OnceLock<Arc<dyn ObjectStore>>,
    /// Prefix of all paths: empty, or with a `/` at its end.
    prefix: String,
    /// The URL of the settings, for messages.
    location: String,
    /// The folder, if it is one.
    folder: Option<std::path::PathBuf>,
    /// Nothing is written, created or removed.
    is_read_only: bool,
    /// Time-out of a request with all its attempts.
    limit: Duration,
}

/// A folder that could not be created.
struct NotCreated {
    message: String,
    /// Something else has the name of the folder: waiting does not help.
    is_in_the_way: bool,
}

impl StoredObjects {
    /// Opens the storage of the settings. A missing folder is created; no request is sent to a bucket yet.
    pub fn open(settings: &SnapshotSettings) -> Result<Self, String> {
        let objects = Self::of(settings)?;
        objects.store().map_err(|failed| failed.message)?;
        Ok(objects)
    }

    /// The same for a service, which does not wait for the storage: a folder that cannot be created now counts as
    /// empty, and is created when something is written.
    ///
    /// # Errors
    /// If the settings are wrong: waiting does not help.
    pub fn open_or_later(settings: &SnapshotSettings) -> Result<Self, String> {
        let objects = Self::of(settings)?;
        match objects.store() {
            Err(NotCreated { message, is_in_the_way: true }) => return Err(message),
            Err(NotCreated { message: error, .. }) => {
                tracing::warn!(%error, "no snapshots can be stored now; records are processed without them, and each snapshot tries again");
            }
            Ok(_) => {}
        }
        Ok(objects)
    }

    /// Opens the storage of the settings to read from it: nothing is created, written or removed. A folder that is
    /// missing counts as empty.
    pub fn open_to_read(settings: &SnapshotSettings) -> Result<Self, String> {
        Ok(Self { is_read_only: true, ..Self::of(settings)? })
    }

    fn of(settings: &SnapshotSettings) -> Result<Self, String> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime =
            runtime.enable_all().build().map_err(|error| format!("cannot start a runtime for requests: {error}"))?;
        let location = settings.url.clone();
        let mut objects = Self {
            runtime,
            store: OnceLock::new(),
            prefix: String::new(),
            folder: None,
            is_read_only: false,
            location,
            limit: TIMEOUT,
        };
        match settings.location()? {
            Location::Folder(folder) => objects.folder = Some(folder.into()),
            Location::S3 { bucket, prefix } => {
                let store = bucket_store(bucket, settings).map_err(|error| objects.cannot_store(error))?;
                objects.store = OnceLock::from(Arc::new(store) as Arc<dyn ObjectStore>);
                objects.prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            }
        }
        Ok(objects)
    }

    fn cannot_store(&self, error: impl fmt::Display) -> String {
        format!("snapshots cannot be stored at {}: {error}", self.location)
    }

    /// The storage; a missing folder is created.
    fn store(&self) -> Result<&Arc<dyn ObjectStore>, NotCreated> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let folder = self.folder.as_ref().expect("the storage of a bucket is set from the beginning");
        let created = if self.is_read_only { Ok(()) } else { std::fs::create_dir_all(folder) };
        created.map_err(|error| NotCreated {
            message: self.cannot_store(format!("the folder cannot be created: {error}")),
            is_in_the_way: matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory),
        })?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| NotCreated { message: self.cannot_store(error), is_in_the_way: false })?;
        Ok(self.store.get_or_init(|| Arc::new(store.with_fsync(true))))
    }

    /// The storage to read from: `None` if the folder does not exist and cannot be created.
    fn readable(&self) -> Result<Option<&Arc<dyn ObjectStore>>, String> {
        match self.store() {
            Ok(store) => Ok(Some(store)),
            Err(failed) => {
                let found = self.folder.as_ref().map(|folder| folder.symlink_metadata());
                let is_absent = matches!(found, Some(Err(error)) if error.kind() == ErrorKind::NotFound);
                if is_absent { Ok(None) } else { Err(failed.message) }
            }
        }
    }

    fn writable(&self) -> Result<&Arc<dyn ObjectStore>, String> {
        if self.is_read_only {
            return Err(format!("{} was opened to be read only", self.location));
        }
        self.store().map_err(|failed| failed.message)
    }

    fn path(&self, path: &str) -> Path {
        Path::from(format!("{}{path}", self.prefix))
    }

    /// Sends a request and waits for its answer; `what` names the request in messages.
    fn request<T>(
        &self,
        what: &str,
        path: &str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Result<T, object_store::Error>, String> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(self.limit, request).await });
        match answer {
            Err(_) => Err(format!("{}: {what} {path}: no answer within {:?}", self.location, self.limit)),
            Ok(Err(known @ (object_store::Error::NotFound { .. } | object_store::Error::AlreadyExists { .. }))) => {
                Ok(Err(known))
            }
            Ok(Err(error)) => Err(format!("{}: {what} {path}: {error}", self.location)),
            Ok(Ok(answer)) => Ok(Ok(answer)),
        }
    }

    /// Removes files of interrupted requests from a folder; listings do not have them.
    fn remove_leftovers(&self, folder: &str) {
        let Some(root) = self.folder.as_ref().filter(|_| !self.is_read_only) else { return };
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
        for entry in entries.flatten() {
            let is_staged = entry.file_name().to_string_lossy().contains('#');
            let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
            if is_staged && age.is_some_and(|age| age > LEFTOVER_AFTER) {
                // If it cannot be removed, the next listing tries again.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A bucket with the options of the environment; those of the settings take precedence.
fn bucket_store(bucket: &str, settings: &SnapshotSettings) -> Result<impl ObjectStore + use<>, String> {
    let client = ClientOptions::new()
        .with_config(ClientConfigKey::Timeout, TRY_TIMEOUT)
        .with_config(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT);
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_UNTIL, backoff: BackoffConfig::default() };
    let mut builder = AmazonS3Builder::from_env().with_client_options(client).with_retry(retry);
    builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch).with_bucket_name(bucket);
    for (name, value) in &settings.store {
        let key: AmazonS3ConfigKey = name.parse().map_err(|_| format!("`{name}` is not an option of an S3 store"))?;
        let is_plain = key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://");
        builder = builder.with_config(key, value);
        if is_plain {
            builder = builder.with_allow_http(true);
        }
    }
    builder.build().map_err(|error| error.to_string())
}

impl Objects for StoredObjects {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        let at = self.path(path);
        match self.request("writing", path, self.writable()?.put(&at, bytes.into()))? {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}: writing {path}: {error}", self.location)),
        }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        let at = self.path(path);
        match self.request("creating", path, self.writable()?.put_opts(&at, bytes.into(), PutMode::Create.into()))? {
            Ok(_) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(error) => Err(format!("{}: creating {path}: {error}", self.location)),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        let at = self.path(path);
        let Some(store) = self.readable()? else { return Ok(None) };
        match self.request("reading", path, async { store.get(&at).await?.bytes().await })? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(format!("{}: reading {path}: {error}", self.location)),
        }
    }

    /// The next object is read while one is accepted, so at most two are in memory.
    fn get_each<T: Send>(
        &self,
        paths: &[String],
        prepare: impl Fn(usize, Result<Option<Bytes>, String>) -> T + Sync,
        mut accept: impl FnMut(usize, T) -> bool,
    ) {
        let read = &|index: usize| prepare(index, self.get(&paths[index]));
        std::thread::scope(|scope| {
            let (ready, next) = sync_channel(0);
            // The channel is closed when the receiver wants no more objects.
            let ahead = move || (0..paths.len()).all(|index| ready.send(read(index)).is_ok());
            let ahead = std::thread::Builder::new().name("snapshot-reader".into()).spawn_scoped(scope, ahead);
            let is_ahead = ahead.is_ok();
            let get = |index: usize| if is_ahead { next.recv().ok() } else { Some(read(index)) };
            (0..paths.len()).all(|index| get(index).is_some_and(|object| accept(index, object)));
        });
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        self.remove_leftovers(folder);
        let at = self.path(folder);
        let Some(store) = self.readable()? else { return Ok(Listing::default()) };
        let found = match self.request("listing", folder, store.list_with_delimiter(Some(&at)))? {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Listing::default()),
            Err(error) => return Err(format!("{}: listing {folder}: {error}", self.location)),
        };
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        let mut listing = Listing {
            folders: found.common_prefixes.iter().map(name).collect(),
            files: found.objects.iter().map(|object| (name(&object.location), object.size)).collect(),
        };
        listing.folders.sort();
        listing.files.sort();
        Ok(listing)
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        let at = self.path(path);
        if self.is_read_only {
            self.writable()?;
        }
        let Some(store) = self.readable()? else { return Ok(()) };
        match self.request("removing", path, store.delete(&at))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(format!("{}: removing {path}: {error}", self.location)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn storage_that_is_read_only_stays_as_it_is() {
        let root = std::env::temp_dir().join(format!("shoal-read-only-{}", std::process::id()));
        let settings = SnapshotSettings { url: root.to_string_lossy().into_owned(), ..SnapshotSettings::default() };
        let missing = StoredObjects::open_to_read(&settings).expect("a missing folder is empty");
        assert_eq!((missing.list(""), missing.get("one")), (Ok(Listing::default()), Ok(None)));
        assert!(!root.exists(), "no folder is created");

        let writable = StoredObjects::open(&settings).expect("a folder");
        writable.put("shard/one", Bytes::from_static(b"1")).expect("an object");
        let leftover = root.join("shard/one#1");
        std::fs::write(&leftover, "").expect("a file of an interrupted request");
        let long_ago = std::time::SystemTime::now() - 2 * LEFTOVER_AFTER;
        let file = std::fs::File::options().write(true).open(&leftover).expect("the file");
        file.set_modified(long_ago).expect("a time");
        let readable = StoredObjects::open_to_read(&settings).expect("the folder is there");
        assert_eq!(readable.get("shard/one"), Ok(Some(Bytes::from_static(b"1"))));
        assert_eq!(readable.list("shard").map(|found| found.files.len()), Ok(1));
        assert!(leftover.exists(), "nothing is removed");
        for refused in [readable.put("two", Bytes::new()), readable.remove("shard/one")] {
            assert!(refused.expect_err("nothing is written").contains("was opened to be read only"));
        }
        assert!(readable.create("two", Bytes::new()).is_err());
        assert_eq!(writable.list("shard").map(|found| found.files.len()), Ok(1));
        assert!(!leftover.exists(), "a service removes it");
        std::fs::remove_dir_all(&root).expect("the folder is removed");
    }

    /// A request ends in time, however many attempts and pauses it has.
    #[test]
    fn a_server_that_never_answers_is_an_error_in_time() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
        let options = [("aws_endpoint", endpoint.as_str()), ("aws_access_key_id", "x"), ("aws_secret_access_key", "x")];
        let store = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = SnapshotSettings { url: "s3://bucket".into(), store, ..SnapshotSettings::default() };
        let mut objects = StoredObjects::open(&settings).expect("no request is sent yet");
        assert_eq!(objects.limit, Duration::from_secs(120), "as docs/snapshots.md says");
        objects.limit = Duration::from_millis(200);
        let message = objects.get("one").expect_err("no answer");
        assert_eq!(message, "s3://bucket: reading one: no answer within 200ms");
        assert_eq!(objects.list("").expect_err("no answer"), "s3://bucket: listing : no answer within 200ms");
    }
}
