//! The checker: a separate program that reads Shoal's topics as any consumer could. It imports nothing from the crate
//! that it checks (tests/house enforces this). It is written from docs/change-event.md, docs/snapshots.md and, for the
//! frame of the journal, the comment at the top of src/worker/journal/mod.rs.

mod census;
mod changes;
mod customers;
mod journal;
mod membership;
mod outputs;
mod records;
mod snapshots;

use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Maximum number of faults that are printed; all are counted.
const FAULTS_SHOWN: usize = 20;

/// Compares Shoal's topics after a run with an independent run
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Bootstrap servers of the broker
    #[arg(long, value_name = "HOST:PORT,…")]
    brokers: String,
    /// Topic of the changes
    #[arg(long, value_name = "TOPIC")]
    changes: String,
    /// Topic of the memberships
    #[arg(long, value_name = "TOPIC")]
    membership: String,
    /// Topic of the rejected records
    #[arg(long, value_name = "TOPIC")]
    rejected: String,
    /// Topic of the census
    #[arg(long, value_name = "TOPIC")]
    census: String,
    /// Topic of the journal
    #[arg(long, value_name = "TOPIC")]
    journal: String,
    /// The changes of an independent run, as JSON lines: what `shoal replay` prints
    #[arg(long, value_name = "FILE")]
    expected: PathBuf,
    /// The records that cannot be used, as JSON lines with topic, partition, offset and reason
    #[arg(long, value_name = "FILE")]
    expected_rejected: PathBuf,
    /// The folder with the snapshots of all shards, made when the last service ended
    #[arg(long, value_name = "FOLDER")]
    snapshots: PathBuf,
}

/// The faults that were found, as messages.
#[derive(Default)]
pub struct Faults {
    messages: Vec<String>,
    count: u64,
}

impl Faults {
    pub fn add(&mut self, message: String) {
        self.count += 1;
        if self.messages.len() < FAULTS_SHOWN {
            self.messages.push(message);
        }
    }
}

impl CheckArguments {
    /// Prints what was compared and the faults; fails if there are any.
    pub fn run(&self) -> ExitCode {
        let mut faults = Faults::default();
        match self.check(&mut faults) {
            Err(message) => {
                eprintln!("the check could not be done: {message}");
                ExitCode::from(2)
            }
            Ok(()) if faults.count == 0 => ExitCode::SUCCESS,
            Ok(()) => {
                faults.messages.iter().for_each(|message| println!("FAULT {message}"));
                println!("{} faults", faults.count);
                ExitCode::FAILURE
            }
        }
    }

    fn check(&self, faults: &mut Faults) -> Result<(), String> {
        let read = |topic: &str| records::read_committed(&self.brokers, topic);
        let changes = read(&self.changes)?;
        let membership = read(&self.membership)?;
        let rejected = read(&self.rejected)?;
        let census = read(&self.census)?;
        let journal = read(&self.journal)?;

        let customers = changes::by_customer(&changes, faults);
        let expected = changes::expected(&lines(&self.expected)?)?;
        println!("changes: {} of {} customers read", changes.len(), customers.len());
        let equal = changes::compare(&customers, &expected, faults);
        println!("changes: {equal} are those of the independent run, customer by customer and in order");
        let numbered = changes::check_sequences(&customers, faults);
        println!("changes: {numbered} numbered without gaps, none earlier than the one before");
        let compared = membership::compare(&customers, &membership, faults);
        println!("membership: {compared} customers are where the fold of their changes says");

        let transactions = journal::read(&journal, faults);
        println!("journal: {} transactions of {} shards, contiguous", transactions.count(), transactions.shards());
        let numbers = outputs::check_numbers(&[&changes, &membership, &rejected, &census], &transactions, faults);
        println!("outputs: {numbers} numbered once each without gaps, each in the transaction that it names");
        let rejects = outputs::compare_rejected(&rejected, &lines(&self.expected_rejected)?, faults)?;
        println!("rejected: {rejects}, once each and with the right reason");
        let reports = census::check(&census, faults);
        println!("census: {reports} reports in order, that count nothing of history");
        let looked = snapshots::check(&self.snapshots, &transactions, &customers, faults)?;
        println!("snapshots: {} of {} shards are good, {} are not", looked.good, looked.shards, looked.damaged);
        println!("snapshots: {} customers have the life and sequence of their last change", looked.customers);
        Ok(())
    }
}

fn lines(path: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}
