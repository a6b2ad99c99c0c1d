//! The options of commands that read or write snapshots: where the snapshots are stored, and how the store is accessed.

use crate::store::settings::Location;
use crate::store::{SnapshotSettings, SnapshotWriter, StoredObjects};
use anyhow::{anyhow, bail};
use clap::Args;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Args)]
pub struct SnapshotLocation {
    /// Where the snapshots are stored: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    snapshot: String,

    /// An option of the object store by its own name, such as aws_endpoint; AWS_… in the environment count too
    #[arg(long = "store", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
}

impl SnapshotLocation {
    /// Opens snapshots that must exist; a missing folder is not created.
    pub fn existing(&self) -> anyhow::Result<StoredObjects> {
        let settings = self.settings();
        if let Ok(Location::Folder(folder)) = settings.location()
            && !Path::new(folder).is_dir()
        {
            bail!("--snapshot: expected a folder with snapshots, found no folder {folder}");
        }
        StoredObjects::open_to_read(&settings).map_err(|message| anyhow!("--snapshot: {message}"))
    }

    fn settings(&self) -> SnapshotSettings {
        let store = self.options.iter().cloned().collect();
        SnapshotSettings { url: self.snapshot.clone(), store, ..SnapshotSettings::default() }
    }

    fn objects(&self) -> anyhow::Result<StoredObjects> {
        StoredObjects::open(&self.settings()).map_err(|message| anyhow!("--snapshot: {message}"))
    }

    /// A writer whose file names are unique: they contain the time.
    pub fn writer(&self) -> anyhow::Result<SnapshotWriter<StoredObjects>> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let keep = SnapshotSettings::default().keep as usize;
        Ok(SnapshotWriter::new(self.objects()?, keep, since.as_nanos() as u64))
    }
}

fn option(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or("expected NAME=VALUE, such as aws_endpoint=https://s3.shop.example")?;
    Ok((name.into(), value.into()))
}
