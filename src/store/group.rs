//! Files that are written together: those of one snapshot, or what several are merged into.

use super::blobs::Blobs;
use super::columns::{self, CustomersBuilder, IdsBuilder, Kind, MarksBuilder, Texts};
use super::manifest::{File, Group};
use super::names;
use crate::engine::shard::Part;
use crate::trial;
use arrow::array::RecordBatch;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

/// A group in the making.
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

    /// What was written so far.
    pub fn group(&self) -> &Group {
        &self.group
    }

    pub fn into_group(self) -> Group {
        self.group
    }

    /// Writes a batch as the next file of its kind.
    pub fn write(&mut self, blobs: &impl Blobs, kind: Kind, batch: &RecordBatch) -> Result<(), String> {
        let files = match kind {
            Kind::Customers => &mut self.group.customers,
            Kind::Ids => &mut self.group.ids,
            Kind::Marks => &mut self.group.marks,
        };
        let name = names::file(self.group.transaction, self.nonce, kind, files.len());
        let bytes = columns::write(batch)?;
        files.push(File {
            name: name.clone(),
            bytes: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            xxh3_128: checksum(&bytes),
        });
        // Named before it is written, so that whoever gives up knows of half of it too.
        blobs.put(&format!("{}/{name}", self.folder), bytes)
    }

    /// Writes a file of a snapshot in the making.
    fn write_part(&mut self, blobs: &impl Blobs, kind: Kind, batch: &RecordBatch) -> Result<(), String> {
        self.write(blobs, kind, batch)?;
        trial::crash_point("snapshot/part");
        Ok(())
    }

    /// Removes what was written; what cannot be removed is left to retention.
    pub fn remove(&self, blobs: &impl Blobs) {
        for file in self.group.files() {
            if let Err(words) = blobs.remove(&format!("{}/{}", self.folder, file.name)) {
                tracing::debug!("{}/{} stays until retention takes it: {words}", self.folder, file.name);
                return;
            }
        }
    }
}

pub fn checksum(bytes: &Bytes) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// The parts of a capture on their way into files.
pub struct Parts {
    writer: GroupWriter,
    /// Rows without a customer are left out where there is nothing that they could hide.
    is_whole: bool,
    texts: Texts,
    customers: CustomersBuilder,
    ids: IdsBuilder,
    marks: MarksBuilder,
    rows: u64,
}

impl Parts {
    pub fn new(writer: GroupWriter, is_whole: bool) -> Self {
        Self {
            writer,
            is_whole,
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

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn add(&mut self, blobs: &impl Blobs, part: Part) -> Result<(), String> {
        match part {
            Part::Texts(texts) => texts.into_iter().for_each(|(reference, text)| self.texts.add(reference, text)),
            Part::Customers(images) => {
                for image in images.iter().filter(|image| image.is_alive() || !self.is_whole) {
                    self.customers.push(&image, &self.texts);
                    self.rows += 1;
                    if let Some(reference) = self.texts.missing() {
                        return Err(format!("a customer refers to text {reference}, which did not come before it"));
                    }
                    if self.customers.is_full() {
                        self.writer.write_part(blobs, Kind::Customers, &self.customers.take()?)?;
                    }
                }
            }
            Part::Ids(hours) => {
                for hour in &hours {
                    self.ids.push_hour(hour);
                    if self.ids.is_full() {
                        self.writer.write_part(blobs, Kind::Ids, &self.ids.take()?)?;
                    }
                }
            }
            Part::Marks(marks) => {
                for mark in marks {
                    self.marks.push(mark);
                    if self.marks.is_full() {
                        self.writer.write_part(blobs, Kind::Marks, &self.marks.take()?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(&mut self, blobs: &impl Blobs) -> Result<(), String> {
        if !self.customers.is_empty() {
            self.writer.write_part(blobs, Kind::Customers, &self.customers.take()?)?;
        }
        if !self.ids.is_empty() {
            self.writer.write_part(blobs, Kind::Ids, &self.ids.take()?)?;
        }
        if !self.marks.is_empty() {
            self.writer.write_part(blobs, Kind::Marks, &self.marks.take()?)?;
        }
        Ok(())
    }
}
