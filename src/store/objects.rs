//! Objects by name: all that snapshots need of object storage, and an implementation in memory for simulations and
//! tests.
//!
//! A name is a path with `/`. One thread at a time makes requests, and a request returns when it is done: if the
//! storage does not answer, the request fails after a bounded time. A missing object is a normal answer; any other
//! failure is a message.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub trait Objects {
    /// Writes a whole object and replaces an existing one.
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String>;

    /// Writes an object if none has this name.
    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String>;

    fn get(&self, path: &str) -> Result<Option<Bytes>, String>;

    /// Reads objects in order: `prepare` converts each of them, and `accept` receives the result on the caller's
    /// thread, until it returns false. An implementation may read and prepare the next object on another thread
    /// meanwhile.
    fn get_each<T: Send>(
        &self,
        paths: &[String],
        prepare: impl Fn(usize, Result<Option<Bytes>, String>) -> T + Sync,
        mut accept: impl FnMut(usize, T) -> bool,
    ) {
        for (index, path) in paths.iter().enumerate() {
            if !accept(index, prepare(index, self.get(path))) {
                return;
            }
        }
    }

    /// The content of a folder without its subfolders; empty if there is no such folder.
    fn list(&self, folder: &str) -> Result<Listing, String>;

    /// Removes an object; succeeds if there is none.
    fn remove(&self, path: &str) -> Result<(), String>;
}

/// Whether an object was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    /// It existed already. Storage that repeats requests may report this about its own first attempt.
    Exists,
}

/// The names in a folder, without the folder's name, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub folders: Vec<String>,
    /// Names and sizes in bytes.
    pub files: Vec<(String, u64)>,
}

/// Objects in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemoryObjects {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl MemoryObjects {
    /// Access to all objects, so that tests can inspect and damage them.
    pub fn edit<T>(&self, with: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> T {
        with(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Objects for MemoryObjects {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), String> {
        self.edit(|objects| objects.insert(path.to_owned(), bytes));
        Ok(())
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, String> {
        self.edit(|objects| {
            if objects.contains_key(path) {
                return Ok(Created::Exists);
            }
            objects.insert(path.to_owned(), bytes);
            Ok(Created::Created)
        })
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        Ok(self.edit(|objects| objects.get(path).cloned()))
    }

    fn list(&self, folder: &str) -> Result<Listing, String> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut listing = Listing::default();
        self.edit(|objects| {
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
        self.edit(|objects| objects.remove(path));
        Ok(())
    }
}
