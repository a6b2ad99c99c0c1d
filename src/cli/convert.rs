//! `shoal convert`: its arguments.

use crate::offline::convert::{self, mapping::Mapping};
use crate::offline::rejected::RejectedLines;
use clap::Args;
use std::io::{self, BufWriter};
use std::path::PathBuf;

/// Turns order exports (CSV) into native events, as JSON lines on standard output
///
/// A mapping says what each column means: customer, order number, time and its zone, quantity and price, how returns
/// are recognised, and columns to keep as attributes. Lines of one order become one purchase; returns become refunds;
/// attributes become profile events when they change. Several files are one export. Files may be gzip or Zstandard.
///
/// The events are written in order of time. For that every order (not every line) is held in memory until the end,
/// about 300 bytes each; with `order.lines = "together"` in the mapping nothing is held, and the export must be sorted
/// by time.
///
/// Lines without a customer are skipped and counted. Lines that cannot be used never stop the conversion: the first ten
/// are reported on standard error with their number and the reason, all of them in the file of --rejected.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal convert --mapping config/mappings/online-retail.toml online-retail.csv.gz > orders.jsonl
  zcat orders-*.csv.gz | shoal convert --mapping mine.toml - | shoal replay --rules config/rules.toml -

Every key of a mapping is in config/mappings/reference.toml.")]
pub struct ConvertArguments {
    /// The mapping, which says what the columns mean
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,

    /// Where to write the lines that cannot be used, as JSON lines
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// CSV files with a header line; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ConvertArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let mapping = Mapping::read(&self.mapping)?;
        let rejected = RejectedLines::create(self.rejected.as_deref())?;
        let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let summary = convert::convert(&mapping, &self.files, out, rejected)?;
        eprint!("{summary}");
        Ok(())
    }
}
