//! `shoal snapshot`: its arguments.

use super::snapshot_location::SnapshotLocation;
use super::values::moment;
use crate::config::rules;
use crate::engine::decode::Partitioner;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::offline::snapshots::export::Export;
use crate::offline::snapshots::list::{self, Table};
use crate::offline::snapshots::verify::verify;
use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Lists, verifies and exports the snapshots of a service, without the service
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal snapshot list --snapshot snapshots
  shoal snapshot verify --snapshot s3://bucket/shoal \\
    --store aws_endpoint=https://s3.shop.example
  shoal snapshot export --snapshot snapshots --rules rules.toml --out tables
  shoal snapshot export --snapshot snapshots --out tables \\
    --features 'orders, orders_90d, recency_days'
  duckdb -c \"SELECT value, count(*) FROM 'tables/memberships.parquet' \\
    WHERE segmentation = 'lifecycle' GROUP BY 1\"")]
pub struct SnapshotArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArguments),
    Verify(VerifyArguments),
    Export(ExportArguments),
}

/// Lists the snapshots: shards, transactions, times, customers, files and bytes
#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    location: SnapshotLocation,

    /// Print one JSON object per snapshot, with all its files, instead of a table
    #[arg(long)]
    json: bool,
}

/// Reads all snapshots as a start of the service does, and reports what is damaged; then the exit status is 1
#[derive(Debug, Args)]
struct VerifyArguments {
    #[command(flatten)]
    location: SnapshotLocation,

    /// How the producers of the input topics choose the partition of a key, to verify that each customer is in its
    /// shard
    #[arg(long, value_enum, default_value = "murmur2")]
    partitioner: PartitionerArgument,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PartitionerArgument {
    Murmur2,
    Crc32,
    /// Not verified
    Any,
}

/// Writes the newest snapshots as Parquet files: customers with all features, memberships, and positions of the inputs
///
/// customers.parquet has a column for every feature of docs/features.md, with the windows and arguments that the rules
/// use, or for those of --features; docs/sql.md shows how to compute the same from the events.
#[derive(Debug, Args)]
struct ExportArguments {
    #[command(flatten)]
    location: SnapshotLocation,

    /// The rules file in force, preceded by earlier ones in their order, each with --rules [default: those of a seed]
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,

    /// Advance time to this moment first (RFC 3339) [default: the time of each shard's snapshot]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Millis>,

    /// Write these features instead of all, in the spelling of conditions, with any window: for example
    /// "orders, orders_90d, since('checkout')". A feature that the rules do not use can be written too
    #[arg(long, value_name = "FEATURE,…")]
    features: Option<String>,

    /// The folder for the files; created if it is missing
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl SnapshotArguments {
    pub fn run(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::List(list) => list.run(),
            Verb::Verify(verify) => verify.run(),
            Verb::Export(export) => export.run(),
        }
    }
}

impl ListArguments {
    fn run(&self) -> anyhow::Result<()> {
        let entries = list::list(&self.location.existing()?)?;
        let mut out = io::stdout().lock();
        if !self.json {
            write!(out, "{}", Table(&entries))?;
            return Ok(());
        }
        for entry in &entries {
            serde_json::to_writer(&mut out, entry)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

impl VerifyArguments {
    fn run(&self) -> anyhow::Result<()> {
        let partitioner = match self.partitioner {
            PartitionerArgument::Murmur2 => Partitioner::Murmur2,
            PartitionerArgument::Crc32 => Partitioner::Crc32,
            PartitionerArgument::Any => Partitioner::Any,
        };
        let verified = verify(&self.location.existing()?, partitioner)?;
        for damage in &verified.damages {
            eprintln!("{damage}");
        }
        match verified.damages.len() {
            0 => println!("{} snapshots are intact, {} bytes read", verified.snapshots, verified.bytes),
            damaged => bail!("{damaged} of {} snapshots are damaged", verified.snapshots),
        }
        Ok(())
    }
}

impl ExportArguments {
    fn run(&self) -> anyhow::Result<()> {
        let mut chain: Vec<Arc<Rules>> = Vec::new();
        for file in &self.rules {
            let rules = rules::read_following(file, chain.last().map(|before| &before.event_settings))?;
            chain.push(rules);
        }
        let features = self.features.as_deref().map(separate);
        let export = Export { rules: chain, at: self.at, features: features.as_deref(), folder: &self.out };
        let exported = export.run(&self.location.existing()?)?;
        eprintln!(
            "{} customers with {} memberships of {} shards written to {}",
            exported.customers,
            exported.memberships,
            exported.shards,
            self.out.display()
        );
        Ok(())
    }
}

/// The items of a list that is separated by commas, except those within parentheses and quotes.
fn separate(list: &str) -> Vec<String> {
    let (mut items, mut depth, mut is_quoted) = (vec![String::new()], 0_i32, false);
    for character in list.chars() {
        match character {
            '\'' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth -= 1,
            _ => {}
        }
        match items.last_mut() {
            Some(item) if character != ',' || is_quoted || depth > 0 => item.push(character),
            _ => items.push(String::new()),
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_parentheses_and_quotes_do_not_separate() {
        assert_eq!(separate("orders"), ["orders"]);
        let items = separate(" orders_30d,count('a, (b', 30) ,  viewed('it''s,', 7),x");
        assert_eq!(items, ["orders_30d", "count('a, (b', 30)", "viewed('it''s,', 7)", "x"]);
        assert_eq!(separate("orders,"), ["orders", ""], "which is refused as no feature");
    }
}
