//! Objects by name, all that snapshots need of a store; and one in memory, for simulations and tests.
//!
//! A name is a path with `/`. Everything here is asked by one thread at a time and answers when it is done: a store that
//! does not answer is an error after a bounded time. A missing object is an answer, everything else is an error in words.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub trait Blobs {
    /// Writes an object as a whole, over one that is there.
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String>;

    /// Writes an object if there is none of this name.
    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String>;

    fn get(&self, path: &str) -> Result<Option<Bytes>, String>;

    /// Reads objects one after the other: what `prepare` makes of each is given to `take`, in their order and on the
    /// caller's thread, until that says false. A store may read and prepare the next one meanwhile, on another thread.
    fn get_each<T: Send>(
        &self,
        paths: &[String],
        prepare: impl Fn(usize, Result<Option<Bytes>, String>) -> T + Sync,
        mut take: impl FnMut(usize, T) -> bool,
    ) {
        for (place, path) in paths.iter().enumerate() {
            if !take(place, prepare(place, self.get(path))) {
                return;
            }
        }
    }

    /// What lies directly in a folder; one that is not there is empty.
    fn list(&self, folder: &str) -> Result<Listing, String>;

    /// Removes an object; one that is not there is fine.
    fn remove(&self, path: &str) -> Result<(), String>;
}

/// Whether an object was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    /// There was one already. A store that repeats requests may say so of its own first try.
    Exists,
}

/// Names without the folder's, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub folders: Vec<String>,
    /// With their bytes.
    pub files: Vec<(String, u64)>,
}

/// Objects in memory; clones see the same ones.
#[derive(Clone, Default)]
pub struct MemoryBlobs {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl MemoryBlobs {
    /// All objects, to look at and to damage.
    pub fn objects<T>(&self, with: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> T {
        with(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Blobs for MemoryBlobs {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        self.objects(|objects| objects.insert(path.to_owned(), bytes));
        Ok(())
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        self.objects(|objects| {
            if objects.contains_key(path) {
                return Ok(Created::Exists);
            }
            objects.insert(path.to_owned(), bytes);
            Ok(Created::Created)
        })
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        Ok(self.objects(|objects| objects.get(path).cloned()))
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut listing = Listing::default();
        self.objects(|objects| {
            for (path, bytes) in objects.iter() {
                let Some(name) = path.strip_prefix(&prefix) else { continue };
                match name.split_once('/') {
                    None => listing.files.push((name.to_owned(), bytes.len() as u64)),
                    Some((folder, _)) if listing.folders.last().is_none_or(|last| last != folder) => {
                        listing.folders.push(folder.to_owned());
                    }
                    Some(_) => {}
                }
            }
        });
        Ok(listing)
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        self.objects(|objects| objects.remove(path));
        Ok(())
    }
}
