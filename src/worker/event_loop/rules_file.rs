//! The rules file of this process beside the rules in force. They differ while a deployment is under way; if they still
//! differ afterwards, a person believes that other rules are in force than are. So a difference is reported.

use crate::engine::rule::Rules;
use crate::repeats::Repeats;
use crate::worker::control::{Control, RulesStatus};
use crate::worker::observe::status::{DifferentRules, RulesName, WhyDifferent};

/// Between two warnings.
const WARNING_INTERVAL_MS: u64 = 600_000;

/// All workers of a process have the same file: one of them warns.
static REPEATS: Repeats = Repeats::new();

/// When the worker warns again, in monotonic milliseconds.
#[derive(Default)]
pub struct RulesFileWarning {
    due: u64,
}

impl RulesFileWarning {
    /// Logs a warning if the rules differ and one is due.
    pub fn log_if_due(&mut self, different: Option<&DifferentRules>, now: u64) {
        if let Some(different) = different.filter(|_| now >= self.due) {
            self.due = now + WARNING_INTERVAL_MS;
            REPEATS.log("rules file", |_| warn(different));
        }
    }
}

/// How a rules file differs from the rules in force; `None` if it is in force, or if no rules are.
pub fn different(control: &Control, file: &Rules) -> Option<DifferentRules> {
    let in_force = control.newest_rules()?;
    let why = match control.rules_status(file) {
        RulesStatus::InForce => return None,
        RulesStatus::New => WhyDifferent::NeverInForce,
        RulesStatus::Replaced => WhyDifferent::Replaced,
        RulesStatus::Older => WhyDifferent::OlderRevision,
    };
    Some(DifferentRules { why, file: RulesName::of(file), in_force: RulesName::of(in_force) })
}

fn warn(DifferentRules { why, file, in_force }: &DifferentRules) {
    let (why, what_to_do) = why.texts();
    tracing::warn!(
        why,
        what_to_do,
        file = file.version,
        file_revision = file.revision,
        in_force = in_force.version,
        in_force_revision = in_force.revision,
        "the rules file of this process is not in force"
    );
}
