//! Objects in a folder or in S3, through the object_store crate.
//!
//! Its requests run on a runtime of this thread's own. Each is tried a few times and ends after a bounded time, whatever
//! the store does. In a folder a file is on the disk, with its name, before a request is answered.

use super::blobs::{Blobs, Created, Listing};
use super::settings::{Address, SnapshotSettings};
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

/// One try of a request.
const TRY_TIMEOUT: &str = "30 seconds";
const CONNECT_TIMEOUT: &str = "5 seconds";
/// Further tries of a request, and until when one is begun.
const RETRIES: usize = 4;
const RETRY_UNTIL: Duration = Duration::from_secs(60);
/// A request with all its tries.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What a request that was cut off in a folder left is removed after so long.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(3_600);

pub struct ObjectBlobs {
    runtime: tokio::runtime::Runtime,
    /// Of a folder once it could be made.
    store: OnceLock<Arc<dyn ObjectStore>>,
    /// Before all paths, empty or with a `/` at its end.
    prefix: String,
    /// Where it is, for messages.
    place: String,
    /// If it is a folder.
    folder: Option<std::path::PathBuf>,
    /// A request with all its tries.
    limit: Duration,
}

/// A folder that could not be made.
struct Unmade {
    words: String,
    /// Something else stands in its place, which no waiting helps.
    is_in_the_way: bool,
}

impl ObjectBlobs {
    /// Opens the store of the settings. A folder is made if it is missing; of a bucket nothing is asked yet.
    pub fn open(settings: &SnapshotSettings) -> Result<Self, String> {
        let blobs = Self::of(settings)?;
        blobs.store().map_err(|unmade| unmade.words)?;
        Ok(blobs)
    }

    /// The same for a service, which does not wait for it: a folder that cannot be made now holds nothing, and is made
    /// when something is to be written.
    ///
    /// # Errors
    /// If the settings are wrong: waiting would not help.
    pub fn open_or_later(settings: &SnapshotSettings) -> Result<Self, String> {
        let blobs = Self::of(settings)?;
        match blobs.store() {
            Err(Unmade { words, is_in_the_way: true }) => return Err(words),
            Err(Unmade { words, .. }) => tracing::warn!("the stream goes on without: {words}; it is tried again"),
            Ok(_) => {}
        }
        Ok(blobs)
    }

    fn of(settings: &SnapshotSettings) -> Result<Self, String> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().map_err(|error| format!("no runtime for requests: {error}"))?;
        let place = settings.url.clone();
        let mut blobs =
            Self { runtime, store: OnceLock::new(), prefix: String::new(), folder: None, place, limit: TIMEOUT };
        match settings.address()? {
            Address::Folder(folder) => blobs.folder = Some(folder.into()),
            Address::S3 { bucket, prefix } => {
                let store = bucket_store(bucket, settings).map_err(|words| blobs.cannot(words))?;
                blobs.store = OnceLock::from(Arc::new(store) as Arc<dyn ObjectStore>);
                blobs.prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            }
        }
        Ok(blobs)
    }

    fn cannot(&self, words: impl fmt::Display) -> String {
        format!("snapshots cannot be kept at {}: {words}", self.place)
    }

    /// The store; a folder is made if it is missing.
    fn store(&self) -> Result<&Arc<dyn ObjectStore>, Unmade> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let folder = self.folder.as_ref().expect("a bucket is there from the beginning");
        std::fs::create_dir_all(folder).map_err(|error| Unmade {
            words: self.cannot(format!("the folder cannot be made: {error}")),
            is_in_the_way: matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory),
        })?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| Unmade { words: self.cannot(error), is_in_the_way: false })?;
        Ok(self.store.get_or_init(|| Arc::new(store.with_fsync(true))))
    }

    /// The store to read from: none if the folder is not there, and cannot be made.
    fn readable(&self) -> Result<Option<&Arc<dyn ObjectStore>>, String> {
        match self.store() {
            Ok(store) => Ok(Some(store)),
            Err(unmade) => {
                let found = self.folder.as_ref().map(|folder| folder.symlink_metadata());
                let is_absent = matches!(found, Some(Err(error)) if error.kind() == ErrorKind::NotFound);
                if is_absent { Ok(None) } else { Err(unmade.words) }
            }
        }
    }

    fn writable(&self) -> Result<&Arc<dyn ObjectStore>, String> {
        self.store().map_err(|unmade| unmade.words)
    }

    fn path(&self, path: &str) -> Path {
        Path::from(format!("{}{path}", self.prefix))
    }

    /// Waits for a request; what is asked, for messages.
    fn ask<T>(
        &self,
        what: &str,
        path: &str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Result<T, object_store::Error>, String> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(self.limit, request).await });
        match answer {
            Err(_) => Err(format!("{}: {what} {path} had no answer within {:?}", self.place, self.limit)),
            Ok(Err(known @ (object_store::Error::NotFound { .. } | object_store::Error::AlreadyExists { .. }))) => {
                Ok(Err(known))
            }
            Ok(Err(error)) => Err(format!("{}: {what} {path}: {error}", self.place)),
            Ok(Ok(answer)) => Ok(Ok(answer)),
        }
    }

    /// Files of requests that were cut off in a folder, which the store itself does not show.
    fn remove_left_overs(&self, folder: &str) {
        let Some(root) = &self.folder else { return };
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
        for entry in entries.flatten() {
            let is_staged = entry.file_name().to_string_lossy().contains('#');
            let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
            if is_staged && age.is_some_and(|age| age > LEFT_OVER_AFTER) {
                // Whoever comes next tries again.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A bucket, with options from the environment and, over them, from the settings.
fn bucket_store(bucket: &str, settings: &SnapshotSettings) -> Result<impl ObjectStore + use<>, String> {
    let client = ClientOptions::new()
        .with_config(ClientConfigKey::Timeout, TRY_TIMEOUT)
        .with_config(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT);
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_UNTIL, backoff: BackoffConfig::default() };
    let mut builder = AmazonS3Builder::from_env().with_client_options(client).with_retry(retry);
    builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch).with_bucket_name(bucket);
    for (name, value) in &settings.store {
        let key: AmazonS3ConfigKey = name.parse().map_err(|_| format!("`{name}` is no option of an S3 store"))?;
        let is_plain = key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://");
        builder = builder.with_config(key, value);
        if is_plain {
            builder = builder.with_allow_http(true);
        }
    }
    builder.build().map_err(|error| error.to_string())
}

impl Blobs for ObjectBlobs {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        let at = self.path(path);
        match self.ask("writing", path, self.writable()?.put(&at, bytes.into()))? {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}: writing {path}: {error}", self.place)),
        }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        let at = self.path(path);
        match self.ask("creating", path, self.writable()?.put_opts(&at, bytes.into(), PutMode::Create.into()))? {
            Ok(_) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(error) => Err(format!("{}: creating {path}: {error}", self.place)),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        let at = self.path(path);
        let Some(store) = self.readable()? else { return Ok(None) };
        match self.ask("reading", path, async { store.get(&at).await?.bytes().await })? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(format!("{}: reading {path}: {error}", self.place)),
        }
    }

    /// The next object is on its way while one is taken; so two are in memory at most.
    fn get_each<T: Send>(
        &self,
        paths: &[String],
        prepare: impl Fn(usize, Result<Option<Bytes>, String>) -> T + Sync,
        mut take: impl FnMut(usize, T) -> bool,
    ) {
        let read = &|place: usize| prepare(place, self.get(&paths[place]));
        std::thread::scope(|scope| {
            let (ready, next) = sync_channel(0);
            // Whoever takes has enough when the channel is closed.
            let ahead = move || (0..paths.len()).all(|place| ready.send(read(place)).is_ok());
            let ahead = std::thread::Builder::new().name("snapshot-reader".into()).spawn_scoped(scope, ahead);
            let is_ahead = ahead.is_ok();
            let get = |place: usize| if is_ahead { next.recv().ok() } else { Some(read(place)) };
            (0..paths.len()).all(|place| get(place).is_some_and(|object| take(place, object)));
        });
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        self.remove_left_overs(folder);
        let at = self.path(folder);
        let Some(store) = self.readable()? else { return Ok(Listing::default()) };
        let found = match self.ask("listing", folder, store.list_with_delimiter(Some(&at)))? {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Listing::default()),
            Err(error) => return Err(format!("{}: listing {folder}: {error}", self.place)),
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
        let Some(store) = self.readable()? else { return Ok(()) };
        match self.ask("removing", path, store.delete(&at))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(format!("{}: removing {path}: {error}", self.place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Whatever tries and pauses add up to, a request ends.
    #[test]
    fn a_server_that_never_answers_is_an_error_in_time() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
        let options = [("aws_endpoint", endpoint.as_str()), ("aws_access_key_id", "x"), ("aws_secret_access_key", "x")];
        let store = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = SnapshotSettings { url: "s3://bucket".into(), store, ..SnapshotSettings::default() };
        let mut blobs = ObjectBlobs::open(&settings).expect("nothing is asked yet");
        assert_eq!(blobs.limit, Duration::from_secs(120), "as docs/snapshots.md says");
        blobs.limit = Duration::from_millis(200);
        let words = blobs.get("one").expect_err("nobody answers");
        assert_eq!(words, "s3://bucket: reading one had no answer within 200ms");
        assert_eq!(blobs.list("").expect_err("nobody answers"), "s3://bucket: listing  had no answer within 200ms");
    }
}
