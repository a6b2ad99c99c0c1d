//! Several groups of files into one, in steps of one file, so that snapshots are not kept waiting.
//!
//! Rows are taken in order of their numbers from all groups at once; of those with the same number the latest group's
//! counts. Nothing is named by a manifest before the next snapshot is; a merge that is left off leaves files that
//! retention removes.

use super::blobs::Blobs;
use super::columns::{CUSTOMERS_MAX, Customers, Hours, IdsBuilder, Kind, MarksBuilder, read_marks, tidy_batch};
use super::group::GroupWriter;
use super::load::{self, Fault};
use super::manifest::{File, Group, Manifest};
use crate::engine::event::REMEMBERED;
use crate::engine::shard::StoredMark;
use crate::trial;
use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// A file with this much is full, whatever rows it has.
const BYTES_MAX: u64 = 64 << 20;
/// Groups after the base at most: so many files are open at once in a merge, and read one after the other by a load.
const DELTAS_MAX: usize = 12;

/// Which groups of a snapshot are worth merging.
pub fn worth_it(groups: &[Group]) -> Option<Range<usize>> {
    let (base, deltas) = groups.split_first()?;
    let changed: u64 = deltas.iter().map(Group::bytes).sum();
    if changed > base.bytes() / 2 {
        return Some(0..groups.len());
    }
    (deltas.len() > DELTAS_MAX).then_some(1..groups.len())
}

/// A merge that goes on.
pub struct Merge {
    source: Manifest,
    range: Range<usize>,
    writer: GroupWriter,
    groups: Vec<Cursor>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Customers,
    Ids,
    Marks,
}

/// Where a merge stands in a group.
struct Cursor {
    files: VecDeque<File>,
    /// The open file, and its next row.
    open: Option<(Customers, usize)>,
    /// Place of the open file among the sources of the file that is written.
    source: Option<usize>,
    bytes_per_row: u64,
}

/// What a step came to.
pub enum Step {
    GoesOn(Box<Merge>),
    /// The group that takes the place of those in the range.
    Done(Range<usize>, Group),
    /// Nothing, with what was written until then.
    Failed(Box<GroupWriter>, Fault),
}

impl Merge {
    /// Begins to merge groups of a snapshot.
    pub fn new(source: &Manifest, range: Range<usize>, nonce: u32) -> Self {
        let groups = source.groups[range.clone()].iter();
        let last = &source.groups[range.end - 1];
        Self {
            writer: GroupWriter::new(source.shard, last.transaction, nonce),
            groups: groups.map(Cursor::new).collect(),
            source: source.clone(),
            range,
            stage: Stage::Customers,
        }
    }

    pub fn writer(&self) -> &GroupWriter {
        &self.writer
    }

    /// Writes at most one file.
    pub fn step(mut self: Box<Self>, blobs: &impl Blobs) -> Step {
        let done = match self.stage {
            Stage::Customers => self.customers(blobs).map(|goes_on| {
                self.stage = if goes_on { Stage::Customers } else { Stage::Ids };
                false
            }),
            Stage::Ids => self.ids(blobs).map(|()| {
                self.stage = Stage::Marks;
                false
            }),
            Stage::Marks => self.marks(blobs).map(|()| true),
        };
        match done {
            Err(fault) => Step::Failed(Box::new(self.writer), fault),
            Ok(false) => {
                trial::crash_point("merge/part");
                Step::GoesOn(self)
            }
            Ok(true) => {
                trial::crash_point("merge/done");
                Step::Done(self.range, self.writer.into_group())
            }
        }
    }

    /// Whether it makes a base, in which a row that is not there holds nobody.
    fn is_base(&self) -> bool {
        self.range.start == 0
    }

    /// Writes the next file of customers; whether there was one.
    fn customers(&mut self, blobs: &impl Blobs) -> Result<bool, Fault> {
        let is_base = self.is_base();
        let (mut sources, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
        self.groups.iter_mut().for_each(|cursor| cursor.source = None);
        while rows.len() < CUSTOMERS_MAX && bytes < BYTES_MAX {
            let mut next: Option<(u32, usize)> = None;
            for (group, cursor) in self.groups.iter_mut().enumerate() {
                let number = cursor.number(blobs, self.source.shard)?;
                // The latest group with the smallest number.
                if let Some(number) = number
                    && next.is_none_or(|(smallest, _)| number <= smallest)
                {
                    next = Some((number, group));
                }
            }
            let Some((number, latest)) = next else { break };
            for (group, cursor) in self.groups.iter_mut().enumerate() {
                if cursor.number(blobs, self.source.shard)? != Some(number) {
                    continue;
                }
                let (place, row, is_alive) = cursor.take(&mut sources);
                if group == latest && (is_alive || !is_base) {
                    rows.push((place, row));
                    bytes += cursor.bytes_per_row;
                }
            }
        }
        if rows.is_empty() {
            return Ok(false);
        }
        let sources: Vec<&RecordBatch> = sources.iter().collect();
        let merged = interleave_record_batch(&sources, &rows).and_then(|batch| tidy_batch(&batch));
        let merged = merged.map_err(|error| Fault::Damaged(format!("rows cannot be merged: {error}")))?;
        self.writer.write(blobs, Kind::Customers, &merged).map_err(Fault::Away)?;
        Ok(true)
    }

    fn files<'a>(&'a self, kind: impl Fn(&'a Group) -> &'a [File]) -> impl Iterator<Item = &'a File> {
        self.source.groups[self.range.clone()].iter().flat_map(kind)
    }

    /// Ids of the hours that are remembered, of each hour in one piece.
    fn ids(&mut self, blobs: &impl Blobs) -> Result<(), Fault> {
        let remembered: BTreeSet<i64> = self.source.state.ids.hours.iter().map(|(hour, _)| *hour).collect();
        let mut hours = Hours::default();
        for file in self.files(|group| &group.ids) {
            let batch = load::file(blobs, self.source.shard, Kind::Ids, file)?;
            hours.read(&batch).map_err(|words| Fault::Damaged(format!("{}: {words}", file.name)))?;
        }
        let mut builder = IdsBuilder::default();
        for (hour, before, ids) in hours.into_runs().filter(|(hour, _, _)| remembered.contains(hour)) {
            builder.push(hour, before, ids.into_iter());
            if builder.is_full() {
                self.writer.write(blobs, Kind::Ids, &builder.take().map_err(Fault::Damaged)?).map_err(Fault::Away)?;
            }
        }
        if builder.is_empty() {
            return Ok(());
        }
        self.writer.write(blobs, Kind::Ids, &builder.take().map_err(Fault::Damaged)?).map_err(Fault::Away)
    }

    /// Of each customer the latest mark, unless it concerns nothing any more.
    fn marks(&mut self, blobs: &impl Blobs) -> Result<(), Fault> {
        let mut marks = BTreeMap::new();
        for file in self.files(|group| &group.marks) {
            let batch = load::file(blobs, self.source.shard, Kind::Marks, file)?;
            marks.extend(read_marks(&batch).map(|stored| (stored.hash, stored.mark)));
        }
        let watermark = self.source.state.watermark.unwrap_or(i64::MIN);
        let is_base = self.is_base();
        marks.retain(|_, mark| {
            !is_base || mark.opted_out_at.is_some() || watermark <= mark.counted_from.saturating_add(REMEMBERED)
        });
        let mut builder = MarksBuilder::default();
        for (hash, mark) in marks {
            builder.push(StoredMark { hash, mark });
            if builder.is_full() {
                self.writer.write(blobs, Kind::Marks, &builder.take().map_err(Fault::Damaged)?).map_err(Fault::Away)?;
            }
        }
        if builder.is_empty() {
            return Ok(());
        }
        self.writer.write(blobs, Kind::Marks, &builder.take().map_err(Fault::Damaged)?).map_err(Fault::Away)
    }
}

impl Cursor {
    fn new(group: &Group) -> Self {
        Self { files: group.customers.iter().cloned().collect(), open: None, source: None, bytes_per_row: 0 }
    }

    /// Number of the next row; opens the next file if need be.
    fn number(&mut self, blobs: &impl Blobs, shard: u32) -> Result<Option<u32>, Fault> {
        loop {
            if let Some((customers, row)) = &self.open {
                if let Some(&number) = customers.numbers().get(*row) {
                    return Ok(Some(number));
                }
                self.open = None;
            }
            let Some(file) = self.files.pop_front() else { return Ok(None) };
            self.open = Some((Customers::new(load::file(blobs, shard, Kind::Customers, &file)?), 0));
            self.source = None;
            self.bytes_per_row = file.bytes / file.rows.max(1);
        }
    }

    /// Takes the next row: its source and place there, and whether there is a customer in it.
    fn take(&mut self, sources: &mut Vec<RecordBatch>) -> (usize, usize, bool) {
        let (customers, row) = self.open.as_mut().expect("a number was given of an open file");
        let source = *self.source.get_or_insert_with(|| {
            sources.push(customers.batch().clone());
            sources.len() - 1
        });
        let taken = *row;
        *row += 1;
        (source, taken, customers.alive().value(taken))
    }
}
