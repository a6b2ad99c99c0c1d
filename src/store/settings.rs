//! Section `[snapshots]` of `shoal.toml`: where snapshots are stored, and how often.

use crate::document::duration::DurationSetting;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Schemes of URLs; a URL without a scheme is a folder.
const FILE: &str = "file://";
const S3: &str = "s3://";

#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotSettings {
    /// A folder, `file:///…` or `s3://bucket/prefix`; empty: no snapshots.
    pub url: String,
    /// From the end of one snapshot of a shard to the beginning of the next.
    pub interval: DurationSetting,
    /// Number of snapshots kept per shard.
    pub keep: u32,
    /// Options of the object storage, by the names that the object_store crate gives them: endpoint, secrets, ...
    pub store: BTreeMap<String, String>,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        Self { url: "snapshots".to_owned(), interval: DurationSetting(60_000), keep: 2, store: BTreeMap::new() }
    }
}

/// Prints only the names of the storage's options: their values may be secrets.
impl fmt::Debug for SnapshotSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = f.debug_struct("SnapshotSettings");
        settings.field("url", &self.url).field("interval", &self.interval).field("keep", &self.keep);
        settings.field("store", &self.store.keys()).finish()
    }
}

/// The location of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location<'a> {
    Folder(&'a str),
    S3 { bucket: &'a str, prefix: &'a str },
}

impl SnapshotSettings {
    /// Whether snapshots are enabled.
    pub fn are_on(&self) -> bool {
        !self.url.is_empty()
    }

    pub fn location(&self) -> Result<Location<'_>, String> {
        let wrong = || {
            let expected = "expected a folder, \"file:///folder\", \"s3://bucket/prefix\", or an empty text";
            format!("{expected}, found {:?}", self.url)
        };
        if let Some(path) = self.url.strip_prefix(FILE) {
            return path.starts_with('/').then_some(Location::Folder(path)).ok_or_else(wrong);
        }
        if let Some(rest) = self.url.strip_prefix(S3) {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let has_bucket = !bucket.is_empty();
            return has_bucket.then_some(Location::S3 { bucket, prefix: prefix.trim_matches('/') }).ok_or_else(wrong);
        }
        if self.url.is_empty() || self.url.contains("://") { Err(wrong()) } else { Ok(Location::Folder(&self.url)) }
    }

    /// Resolves a relative folder against this one.
    pub fn resolve_paths(&mut self, folder: &Path) {
        if self.are_on() && !self.url.contains("://") {
            self.url = folder.join(&self.url).to_string_lossy().into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> SnapshotSettings {
        SnapshotSettings { url: url.to_owned(), ..SnapshotSettings::default() }
    }

    #[test]
    fn locations_are_folders_or_buckets() {
        assert_eq!(at("snapshots").location(), Ok(Location::Folder("snapshots")));
        assert_eq!(at("file:///var/lib/shoal").location(), Ok(Location::Folder("/var/lib/shoal")));
        assert_eq!(at("s3://b/a/c/").location(), Ok(Location::S3 { bucket: "b", prefix: "a/c" }));
        assert_eq!(at("s3://b").location(), Ok(Location::S3 { bucket: "b", prefix: "" }));
        for wrong in ["", "s3://", "s3:///x", "gs://b/p", "file://relative"] {
            assert!(at(wrong).location().unwrap_err().contains("expected a folder"), "{wrong}");
        }
    }

    #[test]
    fn a_relative_folder_is_resolved_against_the_settings_file() {
        let resolved = |url: &str| {
            let mut settings = at(url);
            settings.resolve_paths(Path::new("/etc/shoal"));
            settings.url
        };
        assert_eq!(resolved("snapshots"), "/etc/shoal/snapshots");
        for other in ["/data", "", "s3://b/p", "file:///data"] {
            assert_eq!(resolved(other), other);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = at("s3://b");
        settings.store.insert("aws_secret_access_key".into(), "hunter2".into());
        let printed = format!("{settings:?}");
        assert!(printed.contains("aws_secret_access_key") && !printed.contains("hunter2"), "{printed}");
    }
}
