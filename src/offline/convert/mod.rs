//! `shoal convert`: converts an order export to native events in order of time.
//!
//! Lines are collected into orders as they are read. An order becomes a purchase, refunds and a cancellation, preceded
//! by a profile event if the customer's attributes have changed. An invalid line is reported, its order is not written,
//! and the conversion goes on.

pub mod columns;
pub mod csv_reader;
pub mod events;
pub mod line;
pub mod mapping;
pub mod number;
pub mod order;
pub mod shipped;
pub mod summary;
pub mod time;

use super::encoding::{self, DecodedFile};
use super::input::{self, BytesRead};
use super::rejected::RejectedLines;
use anyhow::{Context, bail};
use csv_reader::{CsvError, CsvReader, Record};
use events::EventWriter;
use line::LineReader;
use mapping::{Mapping, OrderLines};
use order::{FileLines, HeldBack, Order};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
use std::time::Instant;
use summary::Summary;
use xxhash_rust::xxh3::xxh3_64;

/// Maximum number of orders in memory with `lines = "anywhere"`: about 9 GB.
const ORDERS_MAX: usize = 10_000_000;
/// Maximum number of orders with invalid lines.
const INCOMPLETE_MAX: usize = 1_000_000;
/// Maximum number of messages of one sort on standard error; `--rejected` has all invalid lines.
const SHOWN_MAX: u64 = 10;

/// Converts the files, as one export, to `out`. With `partial`, an order with invalid lines is written without them.
pub fn convert(
    mapping: &Mapping,
    files: &[PathBuf],
    out: impl Write,
    rejected: RejectedLines,
    partial: bool,
) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let names = files.iter().map(|file| input::short_name(file)).collect();
    let mut conversion = Conversion::new(mapping, names, out, rejected, partial);
    for (number, file) in files.iter().enumerate() {
        let bytes = input::open(file, &BytesRead::default())?;
        conversion.read(number, bytes).with_context(|| format!("cannot convert {}", file.display()))?;
    }
    conversion.finish(start)
}

/// Converts an export in memory.
pub fn convert_bytes(mapping: &Mapping, name: &str, bytes: &'static [u8], out: impl Write) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let mut conversion = Conversion::new(mapping, vec![name.to_owned()], out, RejectedLines::create(None)?, false);
    conversion.read(0, input::decompress(bytes)?)?;
    conversion.finish(start)
}

struct Conversion<'m, W> {
    mapping: &'m Mapping,
    names: Vec<String>,
    events: EventWriter<'m, W>,
    /// Orders that are not written yet: all of them, or with `lines = "together"` the one that is being read.
    orders: Vec<Order>,
    by_id: HashMap<Box<str>, usize>,
    /// Orders with an invalid line, until they are written.
    incomplete: HashSet<Box<str>>,
    /// Hashes of the numbers of written orders with `lines = "together"`: none may come again.
    written: HashSet<u64>,
    /// The time of the last written order.
    last_written: i64,
    partial: bool,
    rejected: RejectedLines,
    summary: Summary,
}

impl<'m, W: Write> Conversion<'m, W> {
    fn new(mapping: &'m Mapping, names: Vec<String>, out: W, rejected: RejectedLines, partial: bool) -> Self {
        Self {
            mapping,
            names,
            events: EventWriter::new(mapping, out),
            orders: Vec::new(),
            by_id: HashMap::new(),
            incomplete: HashSet::new(),
            written: HashSet::new(),
            last_written: i64::MIN,
            partial,
            rejected,
            summary: Summary::default(),
        }
    }

    fn read(&mut self, number: usize, bytes: Box<dyn Read + Send>) -> anyhow::Result<()> {
        let name = self.names[number].clone();
        let set = encoding::named(&self.mapping.file.encoding).map_err(anyhow::Error::msg)?;
        let (text, found) = DecodedFile::open(bytes, set)?;
        if let Some(encoding) = found {
            eprintln!("note: {name} is read as {}; [file] encoding sets another", encoding.name());
        }
        let mut reader = CsvReader::new(text, self.mapping.file.delimiter.as_bytes()[0]);
        let located = |error: CsvError| match error {
            CsvError::Io(error) => error.into(),
            error @ CsvError::Field { line, .. } => anyhow::anyhow!("{name}:{line}: {error}"),
        };
        let header = read_header(&mut reader).map_err(located)?;
        if header.is_empty() {
            bail!("the file is empty: expected CSV with a header line");
        }
        let mut columns = LineReader::new(self.mapping, &header).map_err(anyhow::Error::msg)?;
        self.summary.unused_columns.clone_from(&columns.unused);
        let mut record = Record::default();
        while reader.read(&mut record).map_err(located)? {
            if record.has_fields_of(&header) {
                self.summary.repeated_headers += 1;
                self.note(self.summary.repeated_headers, (number, record.line), "the header line again; it is skipped");
                continue;
            }
            self.summary.lines += 1;
            self.record(&mut columns, &record, (number, record.line))?;
        }
        Ok(())
    }

    fn record(&mut self, columns: &mut LineReader<'_>, record: &Record, position: (usize, u64)) -> anyhow::Result<()> {
        let mut left_out = Vec::new();
        let line = columns.read(record);
        let attributes = columns.attributes(record, &mut left_out);
        let (line, attributes) = match (line, attributes) {
            (Ok(line), Ok(attributes)) => (line, attributes),
            (Err((reason, message)), _) | (_, Err((reason, message))) => {
                let order_id = columns.order_id(record);
                self.mark_incomplete(order_id)?;
                return self.reject(position, reason, &message, record);
            }
        };
        for message in left_out {
            self.summary.attributes_left_out += 1;
            self.note(self.summary.attributes_left_out, position, &message);
        }
        let index = match self.by_id.get(line.order_id) {
            Some(index) => *index,
            None if self.written.contains(&xxh3_64(line.order_id.as_bytes())) => {
                let message = format!(
                    "order {} is written already, since its lines do not stand together; set order.lines = \"anywhere\"",
                    line.order_id
                );
                return self.reject(position, "order", &message, record);
            }
            None => self.open(Order::new(self.mapping, &line, position))?,
        };
        let order = &mut self.orders[index];
        if order.lines.file != position.0 && !self.mapping.order.across_files {
            if let Some(earlier) = order.repeat(position, record.fingerprint()) {
                self.check_repetition(index, earlier)?;
            }
            return Ok(());
        }
        if let Err((reason, message)) = order.add(self.mapping, &line, record.fingerprint(), attributes) {
            if order.customer_id.is_none() && line.customer_id.is_none() {
                order.held_back.push(HeldBack { position, reason, message, record: record.clone() });
                return Ok(());
            }
            self.mark_incomplete(line.order_id)?;
            return self.reject(position, reason, &message, record);
        }
        Ok(())
    }

    /// An order in a later file must have the same lines there. Otherwise one of the files has another state of it.
    fn check_repetition(&mut self, index: usize, lines: FileLines) -> anyhow::Result<()> {
        let order = &self.orders[index];
        if lines.repeats(&order.lines) {
            self.summary.repeated += u64::from(lines.count);
            return Ok(());
        }
        let message = format!(
            "order {} has other lines here than in {}; convert only the later export, or set order.across_files if the \
             lines of one order are in several files",
            order.order_id, self.names[order.lines.file]
        );
        let order_id = order.order_id.clone();
        self.mark_incomplete(&order_id)?;
        self.reject((lines.file, lines.first_line), "order", &message, &Record::default())
    }

    fn mark_incomplete(&mut self, order_id: &str) -> anyhow::Result<()> {
        if order_id.is_empty() {
            self.summary.unknown_order += 1;
            return Ok(());
        }
        if self.incomplete.len() == INCOMPLETE_MAX {
            bail!("more than {INCOMPLETE_MAX} orders have invalid lines: the mapping does not fit the export");
        }
        self.incomplete.insert(order_id.into());
        Ok(())
    }

    /// Adds a new order; with `lines = "together"` it completes the one before it.
    fn open(&mut self, order: Order) -> anyhow::Result<usize> {
        if self.mapping.order.lines == OrderLines::Together {
            self.write_orders()?;
            self.written.insert(xxh3_64(order.order_id.as_bytes()));
        }
        if self.orders.len() == ORDERS_MAX {
            bail!(
                "more than {ORDERS_MAX} orders are in memory: sort the export by time and set order.lines = \"together\""
            );
        }
        self.by_id.insert(order.order_id.clone(), self.orders.len());
        self.orders.push(order);
        Ok(self.orders.len() - 1)
    }

    /// Writes the collected orders by time, then by the position of their first line.
    fn write_orders(&mut self) -> anyhow::Result<()> {
        self.by_id.clear();
        for index in 0..self.orders.len() {
            if let Some(lines) = self.orders[index].take_repetition() {
                self.check_repetition(index, lines)?;
            }
        }
        let mut orders = std::mem::take(&mut self.orders);
        orders.sort_by_key(|order| (order.time, order.first_line));
        for mut order in orders.drain(..) {
            self.write_order(&mut order)?;
        }
        self.orders = orders;
        Ok(())
    }

    fn write_order(&mut self, order: &mut Order) -> anyhow::Result<()> {
        let mut is_incomplete = self.incomplete.remove(&order.order_id);
        let held_back = std::mem::take(&mut order.held_back);
        if order.customer_id.is_none() {
            self.summary.without_customer += held_back.len() as u64;
        } else {
            is_incomplete |= !held_back.is_empty();
            for HeldBack { position, reason, message, record } in held_back {
                self.reject(position, reason, &message, &record)?;
            }
        }
        // An order whose only lines are invalid has nothing that could be written.
        if is_incomplete && (!self.partial || order.lines.count == 0) {
            self.summary.missing += 1;
            return Ok(());
        }
        let Some(customer_id) = &order.customer_id else {
            self.summary.without_customer += u64::from(order.lines.count);
            return Ok(());
        };
        self.summary.out_of_order += u64::from(order.time < self.last_written);
        self.last_written = order.time;
        if let Err((reason, message)) = self.events.write(order, customer_id, is_incomplete)? {
            let message = format!("order {}: {message}", order.order_id);
            self.summary.missing += 1;
            self.reject(order.first_line, reason, &message, &Record::default())?;
        }
        Ok(())
    }

    fn reject(&mut self, position: (usize, u64), reason: &str, message: &str, record: &Record) -> anyhow::Result<()> {
        let (file, line) = (&self.names[position.0], position.1);
        self.summary.invalid += 1;
        if self.summary.invalid <= SHOWN_MAX {
            eprintln!("{file}:{line}: {reason}: {message}");
        }
        let delimiter = self.mapping.file.delimiter.as_bytes();
        let value = record.iter().collect::<Vec<_>>().join(delimiter);
        self.rejected.write(line, file, reason, message, &value)
    }

    /// Shows a message about a line that is not invalid, unless there were many of its sort.
    fn note(&self, count: u64, (file, line): (usize, u64), message: &str) {
        if count <= SHOWN_MAX {
            eprintln!("note: {}:{line}: {message}", self.names[file]);
        }
    }

    fn finish(mut self, start: Instant) -> anyhow::Result<Summary> {
        self.write_orders()?;
        self.summary.missing += self.incomplete.len() as u64;
        if self.summary.invalid > SHOWN_MAX {
            eprintln!("and {} more invalid lines (--rejected FILE has all of them)", self.summary.invalid - SHOWN_MAX);
        }
        self.rejected.finish()?;
        (self.summary.written, self.summary.sample) = self.events.finish()?;
        self.summary.took = start.elapsed();
        Ok(self.summary)
    }
}

/// The header line. A line such as `sep=;` before it, which Excel writes, names the delimiter.
fn read_header(reader: &mut CsvReader<impl BufRead>) -> Result<Record, CsvError> {
    let mut header = Record::default();
    reader.read(&mut header)?;
    match (header.len(), header.get(0)) {
        (1, Some([b's', b'e', b'p', b'=', delimiter])) => reader.set_delimiter(*delimiter),
        (2, Some(b"sep=")) if header.get(1) == Some(b"") => {}
        _ => return Ok(header),
    }
    reader.read(&mut header)?;
    Ok(header)
}
