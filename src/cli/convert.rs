//! `shoal convert`: its arguments.

use crate::offline::convert::{self, mapping::Mapping, summary::counted};
use crate::offline::rejected::RejectedLines;
use anyhow::bail;
use clap::Args;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Turns order exports (CSV) into native events, as JSON lines on standard output
///
/// A mapping says what each column means: customer, order number, time and its zone, amounts, statuses, returns, and
/// columns to keep as attributes. Lines of one order become one purchase; returns become refunds; attributes become
/// profile events when they change. Several files are one export. Files may be gzip or Zstandard, in UTF-8, UTF-16 or
/// Windows-1252.
///
/// The events are written in order of time. For that every order (not every line) is held in memory until the end,
/// about 900 bytes each; with `order.lines = "together"` in the mapping only its number is remembered, and the export
/// must be sorted by time.
///
/// An order with a line that cannot be used is not written, since its amount would be wrong. Such lines do not stop
/// the conversion: the first ten are reported on standard error with their number and the reason, all of them in the
/// file of --rejected, and the exit status is 1 at the end. Orders without a customer are skipped and counted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal convert --mapping shopify --dry-run orders_export.csv
  shoal convert --mapping online-retail online-retail.csv.gz > orders.jsonl
  zcat orders-*.csv.gz | shoal convert --mapping shop.toml - \\
    | shoal replay --rules config/rules.toml -

Mappings known by name: european-excel, magento, online-retail, shopify, woocommerce. Every key of a mapping is in
config/mappings/reference.toml.")]
pub struct ConvertArguments {
    /// The mapping, which says what the columns mean: a file, or the name of a known one
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,

    /// Where to write the lines that cannot be used, as JSON lines
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Write orders with invalid lines without those lines, marked `"partial":true`
    #[arg(long)]
    partial: bool,

    /// Write no events, but the first ten orders as a table and what the mapping does not use
    #[arg(long)]
    dry_run: bool,

    /// CSV files with a header line; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ConvertArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let mapping = Mapping::read(&self.mapping)?;
        let rejected = RejectedLines::create(self.rejected.as_deref())?;
        let summary = if self.dry_run {
            let summary = convert::convert(&mapping, &self.files, io::sink(), rejected, self.partial)?;
            io::stdout().write_all(summary.table().as_bytes())?;
            eprintln!("dry run: no event was written");
            summary
        } else {
            let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            convert::convert(&mapping, &self.files, out, rejected, self.partial)?
        };
        eprint!("{summary}");
        if summary.invalid > 0 {
            let (lines, orders) = (counted(summary.invalid, "invalid line"), counted(summary.missing, "order"));
            bail!("{lines}, {orders} not written");
        }
        Ok(())
    }
}
