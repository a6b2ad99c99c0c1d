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
use std::sync::Arc;
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
    store: Arc<dyn ObjectStore>,
    /// Before all paths, empty or with a `/` at its end.
    prefix: String,
    /// Where it is, for messages.
    place: String,
    /// If it is a folder.
    folder: Option<std::path::PathBuf>,
}

impl ObjectBlobs {
    /// Opens the store of the settings. A folder is made if it is missing; of a bucket nothing is asked yet.
    pub fn open(settings: &SnapshotSettings) -> Result<Self, String> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().map_err(|error| format!("no runtime for requests: {error}"))?;
        let place = settings.url.clone();
        let cannot = |words: String| format!("snapshots cannot be kept at {place}: {words}");
        match settings.address()? {
            Address::Folder(folder) => {
                let created = std::fs::create_dir_all(folder);
                created.map_err(|error| cannot(format!("the folder cannot be made: {error}")))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| cannot(error.to_string()))?;
                let store = Arc::new(store.with_fsync(true));
                Ok(Self { runtime, store, prefix: String::new(), folder: Some(folder.into()), place })
            }
            Address::S3 { bucket, prefix } => {
                let store = Arc::new(bucket_store(bucket, settings).map_err(cannot)?);
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                Ok(Self { runtime, store, prefix, folder: None, place })
            }
        }
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
        let answer = self.runtime.block_on(async { tokio::time::timeout(TIMEOUT, request).await });
        match answer {
            Err(_) => Err(format!("{}: {what} {path} had no answer within {} s", self.place, TIMEOUT.as_secs())),
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
        match self.ask("writing", path, self.store.put(&at, bytes.into()))? {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}: writing {path}: {error}", self.place)),
        }
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        let at = self.path(path);
        match self.ask("creating", path, self.store.put_opts(&at, bytes.into(), PutMode::Create.into()))? {
            Ok(_) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(error) => Err(format!("{}: creating {path}: {error}", self.place)),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        let at = self.path(path);
        match self.ask("reading", path, async { self.store.get(&at).await?.bytes().await })? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(format!("{}: reading {path}: {error}", self.place)),
        }
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        self.remove_left_overs(folder);
        let at = self.path(folder);
        let found = match self.ask("listing", folder, self.store.list_with_delimiter(Some(&at)))? {
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
        match self.ask("removing", path, self.store.delete(&at))? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(format!("{}: removing {path}: {error}", self.place)),
        }
    }
}
