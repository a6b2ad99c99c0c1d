//! Files that are written together: the files of one snapshot, or the files that several groups are merged into.
//!
//! The parts of a capture are collected here until a file is full.

use super::columns::{self, CustomersBuilder, FileKind, IdsBuilder, MarksBuilder, Texts};
use super::manifest::{File, Group};
use super::names;
use super::objects::Objects;
use crate::engine::shard::Part;
use crate::fault_injection;
use arrow::array::RecordBatch;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

/// Writes the files of a group.
pub struct GroupWriter {
    folder: String,
    nonce: u32,
    group: Group,
}

impl GroupWriter {
    pub fn new(shard: u32, transaction: u64, nonce: u32) -> Self {
        let group = Group { transaction, ..Group::default() };
        Self { folder: names::folder(shard), nonce, group }
    }

    /// The files written so far.
    pub fn group(&self) -> &Group {
        &self.group
    }

    pub fn into_group(self) -> Group {
        self.group
    }

    /// Writes a batch as the next file of its kind.
    pub fn write(&mut self, objects: &impl Objects, kind: FileKind, batch: &RecordBatch) -> Result<(), String> {
        let files = match kind {
            FileKind::Customers => &mut self.group.customers,
            FileKind::Ids => &mut self.group.ids,
            FileKind::Marks => &mut self.group.marks,
        };
        let name = names::file(self.group.transaction, self.nonce, kind, files.len());
        let bytes = columns::write(batch)?;
        files.push(File {
            name: name.clone(),
            bytes: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            xxh3_128: checksum(&bytes),
        });
        // Listed before it is written, so that `remove` also removes a file that was written in part.
        objects.put(&format!("{}/{name}", self.folder), bytes)
    }

    /// Writes a file of a snapshot.
    fn write_part(&mut self, objects: &impl Objects, kind: FileKind, batch: &RecordBatch) -> Result<(), String> {
        self.write(objects, kind, batch)?;
        fault_injection::crash_point("snapshot/part");
        Ok(())
    }

    /// Removes the files written so far; retention removes those for which this fails.
    pub fn remove(&self, objects: &impl Objects) {
        for file in self.group.files() {
            if let Err(error) = objects.remove(&format!("{}/{}", self.folder, file.name)) {
                let (folder, file) = (&self.folder, &file.name);
                tracing::debug!(folder, file, error, "a file could not be removed; retention removes it later");
                return;
            }
        }
    }
}

pub fn checksum(bytes: &Bytes) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// Collects the parts of a capture and writes them to files.
pub struct Parts {
    writer: GroupWriter,
    /// A full snapshot has no rows without a customer: there are no earlier rows that they would replace.
    is_full: bool,
    texts: Texts,
    customers: CustomersBuilder,
    ids: IdsBuilder,
    marks: MarksBuilder,
    rows: u64,
}

impl Parts {
    pub fn new(writer: GroupWriter, is_full: bool) -> Self {
        Self {
            writer,
            is_full,
            texts: Texts::default(),
            customers: CustomersBuilder::default(),
            ids: IdsBuilder::default(),
            marks: MarksBuilder::default(),
            rows: 0,
        }
    }

    pub fn writer(&self) -> &GroupWriter {
        &self.writer
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn add(&mut self, objects: &impl Objects, part: Part) -> Result<(), String> {
        match part {
            Part::Texts(texts) => texts.into_iter().for_each(|(reference, text)| self.texts.add(reference, text)),
            Part::Customers(images) => {
                for image in images.iter().filter(|image| image.is_alive() || !self.is_full) {
                    self.customers.push(&image, &self.texts);
                    self.rows += 1;
                    if let Some(reference) = self.texts.missing() {
                        return Err(format!("a customer refers to text {reference}, which was not captured before it"));
                    }
                    if self.customers.is_full() {
                        self.writer.write_part(objects, FileKind::Customers, &self.customers.finish()?)?;
                    }
                }
            }
            Part::Ids(hours) => {
                for hour in &hours {
                    self.ids.push_hour(hour);
                    if self.ids.is_full() {
                        self.writer.write_part(objects, FileKind::Ids, &self.ids.finish()?)?;
                    }
                }
            }
            Part::Marks(marks) => {
                for mark in marks {
                    self.marks.push(mark);
                    if self.marks.is_full() {
                        self.writer.write_part(objects, FileKind::Marks, &self.marks.finish()?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the remaining parts.
    pub fn finish(&mut self, objects: &impl Objects) -> Result<(), String> {
        if !self.customers.is_empty() {
            self.writer.write_part(objects, FileKind::Customers, &self.customers.finish()?)?;
        }
        if !self.ids.is_empty() {
            self.writer.write_part(objects, FileKind::Ids, &self.ids.finish()?)?;
        }
        if !self.marks.is_empty() {
            self.writer.write_part(objects, FileKind::Marks, &self.marks.finish()?)?;
        }
        Ok(())
    }
}
