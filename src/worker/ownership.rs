//! Shoal's own topics belong to one group, which the control topic names: two groups on the same topics would publish
//! every change twice, and each would find the journal of the other. Checked before a process joins its group.

use super::config::worker_config;
use super::control::{KnownInputs, of_another_group};
use super::settings::RunSettings;
use crate::kafka::{
    Failure, Finding, KafkaSettings, Own, Verdict, connect, create_or_check_topics, publish_single, read_readable,
    wait_until_alone,
};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Ends the transactional id of the command.
const PURPOSE: &str = "change-group";
/// How long a command waits for a broker.
const CONTACT_WAIT: Duration = Duration::from_secs(6);

/// # Errors
/// If Shoal's own topics belong to another group.
pub fn check_group(settings: &KafkaSettings) -> Result<(), Failure> {
    read_known_inputs(settings)?.check_group(&settings.group)
}

/// The same for a command, with the cause if no broker answers.
pub fn check_group_once(settings: &KafkaSettings) -> Result<(), Failure> {
    connect(settings, CONTACT_WAIT)?;
    check_group(settings)
}

/// The same for `shoal check --connect`.
pub fn inspect_group(settings: &KafkaSettings) -> Finding {
    let (verdict, message) = match read_known_inputs(settings) {
        Err(failure) => (Verdict::Error, failure.to_string()),
        Ok(known) => match known.group() {
            None => {
                (Verdict::Ok, format!("belong to no group yet; the first `shoal run` of {} takes them", settings.group))
            }
            Some(owner) if owner == settings.group => (Verdict::Ok, format!("belong to the configured group {owner}")),
            Some(owner) => (Verdict::Error, of_another_group(owner, &settings.group)),
        },
    };
    Finding::new("Shoal's own topics", verdict, message)
}

fn read_known_inputs(settings: &KafkaSettings) -> Result<KnownInputs, Failure> {
    let mut known = KnownInputs::default();
    read_readable(settings, Own::Control, |batch| known.add(batch))?;
    Ok(known)
}

/// Moves Shoal's own topics from the group `from` to the configured group, after `agreed`. Returns whether something
/// was changed: nothing is if they belong to the configured group already.
pub fn change_group(
    settings: &RunSettings,
    from: &str,
    stop: &AtomicBool,
    agreed: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let (kafka, config) = (&settings.kafka, worker_config(settings)?);
    create_or_check_topics(kafka, config.partitions)?;
    match read_known_inputs(kafka)?.group() {
        Some(owner) if owner == kafka.group => return Ok(false),
        Some(owner) if owner == from => {}
        Some(owner) => {
            let message = format!("nothing was changed: Shoal's own topics belong to the group {owner}, not to {from}");
            return Err(Failure::Stop(message).into());
        }
        None => {
            let message = "nothing was changed: Shoal's own topics belong to no group yet. Start `shoal run`";
            return Err(Failure::Stop(message.into()).into());
        }
    }
    agreed()?;
    for group in [from, &kafka.group] {
        wait_until_alone(&KafkaSettings { group: group.to_owned(), ..kafka.clone() }, stop)?;
    }
    // Read again: the waiting may have taken a minute.
    let known = read_known_inputs(kafka)?;
    known.check_group(from)?;
    let record = known.moved_to(&kafka.group).expect("the topics belong to a group");
    publish_single(kafka, Own::Control, (&record.key, &record.value), PURPOSE)?;
    check_group(kafka)?;
    Ok(true)
}
