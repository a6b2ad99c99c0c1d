//! `shoal convert`: converts an order export to native events in order of time.
//!
//! Lines are collected into orders as they are read. An order becomes a purchase or a refund, preceded by a profile
//! event if the customer's attributes have changed. An invalid line is reported and does not stop the conversion.

pub mod line;
pub mod mapping;
pub mod orders;

use super::input::{self, BytesRead};
use super::rejected::RejectedLines;
use anyhow::{Context, bail};
use csv::ByteRecord;
use line::{LineReader, Unusable};
use mapping::{Mapping, OrderLines};
use orders::{EventWriter, Order, Written};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Maximum number of orders in memory with `lines = "anywhere"`: about 6 GB.
const ORDERS_MAX: usize = 20_000_000;
/// Maximum number of orders that are remembered as incomplete.
const INCOMPLETE_MAX: usize = 1_000_000;
/// Maximum number of invalid lines shown on standard error; all of them are counted and written to `--rejected`.
const SHOWN_MAX: u64 = 10;

/// The counts of a conversion.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub lines: u64,
    pub without_customer: u64,
    pub invalid: u64,
    pub out_of_order: u64,
    pub written: Written,
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = &self.written;
        writeln!(f, "{} lines became {} events in {:.1} s:", self.lines, written.events(), self.took.as_secs_f64())?;
        writeln!(
            f,
            "  {} purchases, {} refunds, {} profile events",
            written.purchases, written.refunds, written.profiles
        )?;
        writeln!(f, "  {} lines without a customer skipped, {} invalid lines", self.without_customer, self.invalid)?;
        for (count, what) in [
            (written.incomplete, "orders written without one of their lines, which is invalid"),
            (written.empty_returns, "returns of nothing skipped"),
            (self.out_of_order, "orders earlier than the one before: use lines = \"anywhere\""),
        ] {
            if count > 0 {
                writeln!(f, "  {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Converts the files, as one export, to `out`.
pub fn convert(
    mapping: &Mapping,
    files: &[PathBuf],
    out: impl Write,
    rejected: RejectedLines,
) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let names = files.iter().map(|file| input::short_name(file)).collect();
    let mut conversion = Conversion::new(mapping, names, out, rejected);
    for (number, file) in files.iter().enumerate() {
        let bytes = input::open(file, &BytesRead::default())?;
        conversion.read(number, bytes).with_context(|| format!("cannot convert {}", file.display()))?;
    }
    conversion.finish(start)
}

/// Converts an export in memory.
pub fn convert_bytes(mapping: &Mapping, name: &str, bytes: &'static [u8], out: impl Write) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let mut conversion = Conversion::new(mapping, vec![name.to_owned()], out, RejectedLines::create(None)?);
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
    /// The time of the last written order.
    last_written: i64,
    rejected: RejectedLines,
    summary: Summary,
}

impl<'m, W: Write> Conversion<'m, W> {
    fn new(mapping: &'m Mapping, names: Vec<String>, out: W, rejected: RejectedLines) -> Self {
        Self {
            mapping,
            names,
            events: EventWriter::new(mapping, out),
            orders: Vec::new(),
            by_id: HashMap::new(),
            incomplete: HashSet::new(),
            last_written: i64::MIN,
            rejected,
            summary: Summary::default(),
        }
    }

    fn read(&mut self, number: usize, bytes: impl Read) -> anyhow::Result<()> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.mapping.file.delimiter.as_bytes()[0])
            .flexible(true)
            .from_reader(bytes);
        let header = reader.byte_headers()?.clone();
        let mut columns = LineReader::new(self.mapping, &header).map_err(anyhow::Error::msg)?;
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record)? {
            self.summary.lines += 1;
            let position = (number, record.position().map_or(0, csv::Position::line));
            self.record(&mut columns, &record, position)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        columns: &mut LineReader<'_>,
        record: &ByteRecord,
        position: (usize, u64),
    ) -> anyhow::Result<()> {
        let line = match columns.read(record) {
            Ok(line) => line,
            Err(Unusable::NoCustomer) => {
                self.summary.without_customer += 1;
                return Ok(());
            }
            Err(Unusable::Invalid(reason, message)) => {
                self.mark_incomplete(columns.order_id(record));
                return self.reject(position, reason, &message, record);
            }
        };
        let added = match self.by_id.get(line.order_id) {
            Some(order) => self.orders[*order].add(self.mapping, &line),
            None => match Order::begin(self.mapping, &line, position, columns.attributes(record)) {
                Ok(order) => return self.open(order),
                Err(invalid) => Err(invalid),
            },
        };
        match added {
            Ok(()) => Ok(()),
            Err((reason, message)) => {
                self.mark_incomplete(line.order_id);
                self.reject(position, reason, &message, record)
            }
        }
    }

    fn mark_incomplete(&mut self, order_id: &str) {
        if self.incomplete.len() < INCOMPLETE_MAX {
            self.incomplete.insert(order_id.into());
        }
    }

    /// Adds a new order; with `lines = "together"` it completes the one before it.
    fn open(&mut self, order: Order) -> anyhow::Result<()> {
        if self.mapping.order.lines == OrderLines::Together {
            self.write_orders()?;
        }
        if self.orders.len() == ORDERS_MAX {
            bail!(
                "more than {ORDERS_MAX} orders are in memory: sort the export by time and set order.lines = \"together\""
            );
        }
        self.by_id.insert(order.order_id.clone(), self.orders.len());
        self.orders.push(order);
        Ok(())
    }

    /// Writes the collected orders by time, then by the position of their first line.
    fn write_orders(&mut self) -> anyhow::Result<()> {
        self.by_id.clear();
        let mut orders = std::mem::take(&mut self.orders);
        orders.sort_by_key(|order| (order.time, order.first_line));
        for order in orders.drain(..) {
            self.summary.out_of_order += u64::from(order.time < self.last_written);
            self.last_written = order.time;
            let is_incomplete = self.incomplete.remove(&order.order_id);
            if let Err((reason, message)) = self.events.write(&order, is_incomplete)? {
                let message = format!("order {}: {message}", order.order_id);
                self.reject(order.first_line, reason, &message, &ByteRecord::new())?;
            }
        }
        self.orders = orders;
        Ok(())
    }

    fn reject(
        &mut self,
        position: (usize, u64),
        reason: &str,
        message: &str,
        record: &ByteRecord,
    ) -> anyhow::Result<()> {
        let (file, line) = (&self.names[position.0], position.1);
        self.summary.invalid += 1;
        if self.summary.invalid <= SHOWN_MAX {
            eprintln!("{file}:{line}: {reason}: {message}");
        }
        let delimiter = self.mapping.file.delimiter.as_bytes();
        let value = record.iter().collect::<Vec<_>>().join(delimiter);
        self.rejected.write(line, file, reason, message, &value)
    }

    fn finish(mut self, start: Instant) -> anyhow::Result<Summary> {
        self.write_orders()?;
        if self.summary.invalid > SHOWN_MAX {
            eprintln!("and {} more invalid lines (--rejected FILE has all of them)", self.summary.invalid - SHOWN_MAX);
        }
        self.rejected.finish()?;
        self.summary.written = self.events.finish()?;
        self.summary.took = start.elapsed();
        Ok(self.summary)
    }
}
