//! What a conversion did, for people: counts, what is missing, and the table of a dry run.

use super::events::{SampleRow, Written};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// A number with what is counted, whose plural ends with `s`.
pub fn counted(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// The counts of a conversion.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub lines: u64,
    /// Lines of orders without a customer, invalid ones included.
    pub without_customer: u64,
    /// Invalid lines of orders with a customer, or of an order that is not known.
    pub invalid: u64,
    /// Orders that were not written because of an invalid line.
    pub missing: u64,
    /// Invalid lines whose order is not known.
    pub unknown_order: u64,
    /// Lines that a later file repeats.
    pub repeated: u64,
    pub repeated_headers: u64,
    /// Values of attributes that are not of their type.
    pub attributes_left_out: u64,
    pub out_of_order: u64,
    pub written: Written,
    /// The columns that the mapping does not use.
    pub unused_columns: Vec<String>,
    /// The first orders, for a dry run.
    pub sample: Vec<SampleRow>,
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = &self.written;
        let (lines, events) = (counted(self.lines, "line"), counted(written.events(), "event"));
        writeln!(f, "{lines} became {events} in {:.1} s:", self.took.as_secs_f64())?;
        write!(f, "  {}, {}", counted(written.purchases, "purchase"), counted(written.refunds, "refund"))?;
        if written.cancels > 0 {
            write!(f, ", {}", counted(written.cancels, "cancellation"))?;
        }
        writeln!(f, ", {}", counted(written.profiles, "profile event"))?;
        let (skipped, invalid) = (counted(self.without_customer, "line"), counted(self.invalid, "invalid line"));
        writeln!(f, "  {skipped} without a customer skipped, {invalid}")?;
        for (count, one, what) in [
            (self.missing, "order", "not written because of an invalid line (--partial writes what is valid)"),
            (written.partial, "order", "written without the invalid lines, marked `\"partial\":true`"),
            (self.unknown_order, "invalid line", "without an order number, which may belong to any order"),
            (self.repeated, "line", "skipped that a later file repeats"),
            (self.repeated_headers, "repeated header line", "skipped"),
            (self.attributes_left_out, "value", "of attributes left out, not of the declared type"),
            (written.empty_returns, "return", "of nothing skipped"),
            (self.out_of_order, "order", "earlier than the one before: use lines = \"anywhere\""),
        ] {
            if count > 0 {
                writeln!(f, "  {} {what}", counted(count, one))?;
            }
        }
        for (status, count) in &written.ignored {
            writeln!(f, "  {} not written because of the status {status:?}", counted(*count, "order"))?;
        }
        Ok(())
    }
}

impl Summary {
    /// The first orders as a table, and what the mapping does not use.
    pub fn table(&self) -> String {
        let head = ["order", "customer", "time", "amount", "discount", "given back", "kind"].map(str::to_owned);
        let rows: Vec<&SampleRow> = std::iter::once(&head).chain(&self.sample).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = String::new();
        for row in rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        if !self.unused_columns.is_empty() {
            let _ = writeln!(text, "\nColumns that the mapping does not use: {}", self.unused_columns.join(", "));
        }
        text
    }
}
