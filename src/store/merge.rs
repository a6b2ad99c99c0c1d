//! Merges several groups of files into one, one file per step, so that snapshots do not wait for a merge.
//!
//! Rows of all groups are merged by their numbers; of rows with the same number, the one of the latest group is used.
//! The manifest of the next snapshot names the merged files; the files of an interrupted merge are removed by
//! retention.

use super::columns::{
    CUSTOMERS_MAX, Customers, FileKind, IdHours, IdsBuilder, MarksBuilder, read_marks, without_unused_texts,
};
use super::group::GroupWriter;
use super::load::{self, ReadError};
use super::manifest::{File, Group, Manifest};
use super::objects::Objects;
use crate::engine::event::REMEMBERED;
use crate::engine::shard::StoredMark;
use crate::fault_injection;
use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// A file with this many bytes is full, however few rows it has.
const BYTES_MAX: u64 = 64 << 20;
/// Maximum number of groups after the base: a merge has this many files open, and a load reads them one by one.
const DELTAS_MAX: usize = 12;

/// The groups of a snapshot that should be merged; `None` if a merge is not worth its cost yet.
pub fn groups_to_merge(groups: &[Group]) -> Option<Range<usize>> {
    let (base, deltas) = groups.split_first()?;
    let changed: u64 = deltas.iter().map(Group::bytes).sum();
    if changed > base.bytes() / 2 {
        return Some(0..groups.len());
    }
    (deltas.len() > DELTAS_MAX).then_some(1..groups.len())
}

/// A merge in progress.
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

/// The position of a merge in a group.
struct Cursor {
    files: VecDeque<File>,
    /// The open file, and its next row.
    open: Option<(Customers, usize)>,
    /// ShardPosition of the open file among the sources of the file that is written.
    source: Option<usize>,
    bytes_per_row: u64,
}

/// The result of a step.
pub enum Step {
    Continues(Box<Merge>),
    /// The group that replaces those of the range.
    Done(Range<usize>, Group),
    /// The merge failed; the writer has the files written so far.
    Failed(Box<GroupWriter>, ReadError),
}

impl Merge {
    /// Starts to merge groups of a snapshot.
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
    pub fn step(mut self: Box<Self>, objects: &impl Objects) -> Step {
        let done = match self.stage {
            Stage::Customers => self.customers(objects).map(|has_more| {
                self.stage = if has_more { Stage::Customers } else { Stage::Ids };
                false
            }),
            Stage::Ids => self.ids(objects).map(|()| {
                self.stage = Stage::Marks;
                false
            }),
            Stage::Marks => self.marks(objects).map(|()| true),
        };
        match done {
            Err(error) => Step::Failed(Box::new(self.writer), error),
            Ok(false) => {
                fault_injection::crash_point("merge/part");
                Step::Continues(self)
            }
            Ok(true) => {
                fault_injection::crash_point("merge/done");
                Step::Done(self.range, self.writer.into_group())
            }
        }
    }

    /// Whether the result is a base, which has no rows without a customer.
    fn is_base(&self) -> bool {
        self.range.start == 0
    }

    /// Writes the next file of customers; false if there are no more rows.
    fn customers(&mut self, objects: &impl Objects) -> Result<bool, ReadError> {
        let is_base = self.is_base();
        let (mut sources, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
        self.groups.iter_mut().for_each(|cursor| cursor.source = None);
        while rows.len() < CUSTOMERS_MAX && bytes < BYTES_MAX {
            let mut next: Option<(u32, usize)> = None;
            for (group, cursor) in self.groups.iter_mut().enumerate() {
                let number = cursor.number(objects, self.source.shard)?;
                // The smallest number, and the latest group that has it.
                if let Some(number) = number
                    && next.is_none_or(|(smallest, _)| number <= smallest)
                {
                    next = Some((number, group));
                }
            }
            let Some((number, latest)) = next else { break };
            for (group, cursor) in self.groups.iter_mut().enumerate() {
                if cursor.number(objects, self.source.shard)? != Some(number) {
                    continue;
                }
                let (source, row, is_alive) = cursor.next_row(&mut sources);
                if group == latest && (is_alive || !is_base) {
                    rows.push((source, row));
                    bytes += cursor.bytes_per_row;
                }
            }
        }
        if rows.is_empty() {
            return Ok(false);
        }
        let sources: Vec<&RecordBatch> = sources.iter().collect();
        let merged = interleave_record_batch(&sources, &rows).and_then(|batch| without_unused_texts(&batch));
        let merged = merged.map_err(|error| ReadError::Damaged(format!("the rows cannot be merged: {error}")))?;
        self.writer.write(objects, FileKind::Customers, &merged).map_err(ReadError::Unavailable)?;
        Ok(true)
    }

    fn files<'a>(&'a self, kind: impl Fn(&'a Group) -> &'a [File]) -> impl Iterator<Item = &'a File> {
        self.source.groups[self.range.clone()].iter().flat_map(kind)
    }

    /// Writes the ids of the hours that are remembered, each hour in one run.
    fn ids(&mut self, objects: &impl Objects) -> Result<(), ReadError> {
        let remembered: BTreeSet<i64> = self.source.state.ids.hours.iter().map(|(hour, _)| *hour).collect();
        let mut hours = IdHours::default();
        for file in self.files(|group| &group.ids) {
            let batch = load::file(objects, self.source.shard, FileKind::Ids, file)?;
            hours.read(&batch).map_err(|error| ReadError::Damaged(format!("{}: {error}", file.name)))?;
        }
        let mut builder = IdsBuilder::default();
        for (hour, before, ids) in hours.into_runs().filter(|(hour, _, _)| remembered.contains(hour)) {
            builder.push(hour, before, ids.into_iter());
            if builder.is_full() {
                self.writer
                    .write(objects, FileKind::Ids, &builder.finish().map_err(ReadError::Damaged)?)
                    .map_err(ReadError::Unavailable)?;
            }
        }
        if builder.is_empty() {
            return Ok(());
        }
        self.writer
            .write(objects, FileKind::Ids, &builder.finish().map_err(ReadError::Damaged)?)
            .map_err(ReadError::Unavailable)
    }

    /// Writes the latest mark of each customer; a base leaves out marks that can no longer have an effect.
    fn marks(&mut self, objects: &impl Objects) -> Result<(), ReadError> {
        let mut marks = BTreeMap::new();
        for file in self.files(|group| &group.marks) {
            let batch = load::file(objects, self.source.shard, FileKind::Marks, file)?;
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
                self.writer
                    .write(objects, FileKind::Marks, &builder.finish().map_err(ReadError::Damaged)?)
                    .map_err(ReadError::Unavailable)?;
            }
        }
        if builder.is_empty() {
            return Ok(());
        }
        self.writer
            .write(objects, FileKind::Marks, &builder.finish().map_err(ReadError::Damaged)?)
            .map_err(ReadError::Unavailable)
    }
}

impl Cursor {
    fn new(group: &Group) -> Self {
        Self { files: group.customers.iter().cloned().collect(), open: None, source: None, bytes_per_row: 0 }
    }

    /// The number of the next row; opens the next file if necessary.
    fn number(&mut self, objects: &impl Objects, shard: u32) -> Result<Option<u32>, ReadError> {
        loop {
            if let Some((customers, row)) = &self.open {
                if let Some(&number) = customers.numbers().get(*row) {
                    return Ok(Some(number));
                }
                self.open = None;
            }
            let Some(file) = self.files.pop_front() else { return Ok(None) };
            self.open = Some((Customers::new(load::file(objects, shard, FileKind::Customers, &file)?), 0));
            self.source = None;
            self.bytes_per_row = file.bytes / file.rows.max(1);
        }
    }

    /// Moves past the next row. Returns its source, its index there, and whether it has a customer.
    fn next_row(&mut self, sources: &mut Vec<RecordBatch>) -> (usize, usize, bool) {
        let (customers, row) = self.open.as_mut().expect("the caller has read the row's number");
        let source = *self.source.get_or_insert_with(|| {
            sources.push(customers.batch().clone());
            sources.len() - 1
        });
        let index = *row;
        *row += 1;
        (source, index, customers.alive().value(index))
    }
}
