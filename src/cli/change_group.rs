//! `shoal change-group`: its arguments, and the warning before it begins.

use super::confirm::confirm;
use super::service::{Audience, Service, ServiceArguments};
use crate::worker;
use clap::Args;

/// Moves Shoal's own topics, and with them the state, to the configured group
///
/// Shoal's own topics belong to one group, and processes of another group are refused. This command makes the group of
/// the settings their owner. The next `shoal run` of that group continues where the former group stopped; no change is
/// lost or repeated. Every process of the former group must be stopped; they are refused afterwards.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal change-group --config /etc/shoal/shoal.toml --from shoal-test
  shoal change-group --config shoal.toml --from shoal-test --yes")]
pub struct ChangeGroupArguments {
    #[command(flatten)]
    service: ServiceArguments,

    /// The group to which the topics belong now
    #[arg(long, value_name = "GROUP")]
    from: String,

    /// Begin without confirmation
    #[arg(long)]
    yes: bool,
}

impl ChangeGroupArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let Service { settings, stop, .. } = self.service.begin(None, false, false, Audience::People)?;
        let (from, to) = (&self.from, &settings.kafka.group);
        let agreed = || {
            eprintln!(
                "The topics of Shoal (changes, membership, journal and the others) and the state in them will belong to the group \
                 {to}.\nProcesses of the group {from} will be refused, and the offsets that it committed are not used any \
                 more.\nLater changes have the header ce_source /shoal/{to}; consumers that compare it must know the new value."
            );
            if self.yes { Ok(()) } else { confirm() }
        };
        match worker::change_group(&settings, from, &stop, agreed)? {
            true => eprintln!("The topics belong to the group {to} now. Start `shoal run` with it."),
            false => eprintln!("Nothing was changed: the topics belong to the group {to} already."),
        }
        Ok(())
    }
}
