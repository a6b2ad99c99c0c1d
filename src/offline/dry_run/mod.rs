//! `shoal run --dry-run`: prints the changes that the service would publish, and writes nothing to Kafka.
//!
//! `inputs` runs the service on its real inputs, until it is stopped. `rules` shows what a restart with other rules
//! would publish, from the newest snapshots; `tally` is its summary, and `held_back` keeps the changes until that is
//! printed.

mod held_back;
mod inputs;
mod rules;
mod tally;

pub use inputs::dry_run;
pub use rules::dry_run_rules;
