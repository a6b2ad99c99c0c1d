//! `shoal convert`: an order export becomes native events, in order of time.
//!
//! Lines go to their order as they are read; an order becomes a purchase or a refund, and a profile event before it when
//! the customer's attributes have changed. A line that cannot be used is reported and never stops the rest.

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

/// Orders held in memory at most with `lines = "anywhere"`: about 6 GB.
const ORDERS_MAX: usize = 20_000_000;
/// Orders remembered at most for having had a bad line.
const SHORT_MAX: usize = 1_000_000;
/// Bad lines shown on standard error; the rest are counted, and all go to `--rejected`.
const SHOWN_MAX: u64 = 10;

/// What became of the export.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub lines: u64,
    pub without_customer: u64,
    pub bad: u64,
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
        writeln!(f, "  {} lines without a customer skipped, {} bad lines", self.without_customer, self.bad)?;
        for (count, what) in [
            (written.short, "orders written without a bad line of theirs"),
            (written.empty_returns, "returns of nothing left out"),
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

/// Converts an export that stands in memory.
pub fn convert_bytes(mapping: &Mapping, name: &str, bytes: &'static [u8], out: impl Write) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let mut conversion = Conversion::new(mapping, vec![name.to_owned()], out, RejectedLines::create(None)?);
    conversion.read(0, input::unpack(bytes)?)?;
    conversion.finish(start)
}

struct Conversion<'m, W> {
    mapping: &'m Mapping,
    names: Vec<String>,
    events: EventWriter<'m, W>,
    /// Orders not yet written: all of them, or with `lines = "together"` the one being read.
    orders: Vec<Order>,
    by_id: HashMap<Box<str>, usize>,
    /// Orders that had a bad line, until they are written.
    short: HashSet<Box<str>>,
    /// Time of the order written last.
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
            short: HashSet::new(),
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
            let place = (number, record.position().map_or(0, csv::Position::line));
            self.record(&mut columns, &record, place)?;
        }
        Ok(())
    }

    fn record(&mut self, columns: &mut LineReader<'_>, record: &ByteRecord, place: (usize, u64)) -> anyhow::Result<()> {
        let line = match columns.read(record) {
            Ok(line) => line,
            Err(Unusable::NoCustomer) => {
                self.summary.without_customer += 1;
                return Ok(());
            }
            Err(Unusable::Bad(reason, words)) => {
                self.is_short(columns.order_id(record));
                return self.bad(place, reason, &words, record);
            }
        };
        let added = match self.by_id.get(line.order_id) {
            Some(order) => self.orders[*order].add(self.mapping, &line),
            None => match Order::begin(self.mapping, &line, place, columns.attributes(record)) {
                Ok(order) => return self.open(order),
                Err(bad) => Err(bad),
            },
        };
        match added {
            Ok(()) => Ok(()),
            Err((reason, words)) => {
                self.is_short(line.order_id);
                self.bad(place, reason, &words, record)
            }
        }
    }

    fn is_short(&mut self, order_id: &str) {
        if self.short.len() < SHORT_MAX {
            self.short.insert(order_id.into());
        }
    }

    /// Makes room for a new order, which with `lines = "together"` ends the one before it.
    fn open(&mut self, order: Order) -> anyhow::Result<()> {
        if self.mapping.order.lines == OrderLines::Together {
            self.write_orders()?;
        }
        if self.orders.len() == ORDERS_MAX {
            bail!(
                "more than {ORDERS_MAX} orders are held in memory: sort the export by time and set order.lines = \"together\""
            );
        }
        self.by_id.insert(order.order_id.clone(), self.orders.len());
        self.orders.push(order);
        Ok(())
    }

    /// Writes and drops the orders held, by time, then by the place of their first line.
    fn write_orders(&mut self) -> anyhow::Result<()> {
        self.by_id.clear();
        let mut orders = std::mem::take(&mut self.orders);
        orders.sort_by_key(|order| (order.time, order.first_line));
        for order in orders.drain(..) {
            self.summary.out_of_order += u64::from(order.time < self.last_written);
            self.last_written = order.time;
            let is_short = self.short.remove(&order.order_id);
            if let Err((reason, words)) = self.events.write(&order, is_short)? {
                let words = format!("order {}: {words}", order.order_id);
                self.bad(order.first_line, reason, &words, &ByteRecord::new())?;
            }
        }
        self.orders = orders;
        Ok(())
    }

    fn bad(&mut self, place: (usize, u64), reason: &str, words: &str, record: &ByteRecord) -> anyhow::Result<()> {
        let (file, line) = (&self.names[place.0], place.1);
        self.summary.bad += 1;
        if self.summary.bad <= SHOWN_MAX {
            eprintln!("{file}:{line}: {reason}: {words}");
        }
        let delimiter = self.mapping.file.delimiter.as_bytes();
        let value = record.iter().collect::<Vec<_>>().join(delimiter);
        self.rejected.write(line, file, reason, words, &value)
    }

    fn finish(mut self, start: Instant) -> anyhow::Result<Summary> {
        self.write_orders()?;
        if self.summary.bad > SHOWN_MAX {
            eprintln!("and {} more bad lines (all of them with --rejected FILE)", self.summary.bad - SHOWN_MAX);
        }
        self.rejected.finish()?;
        self.summary.written = self.events.finish()?;
        self.summary.took = start.elapsed();
        Ok(self.summary)
    }
}
