//! Who is in the group. Whoever makes the state anew must be alone: what is published meanwhile would be lost to it.

use super::client::{Logging, REQUEST_WAIT, config, insist, make};
use super::{Failure, GroupProtocol, KafkaSettings, fate, raw_admin};
use rdkafka::admin::AdminClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ASK_AGAIN: Duration = Duration::from_millis(500);
/// On top of a session: the broker looks after those that are over now and then.
const GRACE: Duration = Duration::from_secs(5);
/// With the protocol `consumer` the session is the broker's, at most so long by default.
const CONSUMER_SESSION_MAX: Duration = Duration::from_secs(60);

/// Waits until nobody is in the group. A process that was killed, or has ended lately, is missed only when its session
/// is over; one that runs stays.
pub fn wait_until_alone(settings: &KafkaSettings, stop: &AtomicBool) -> Result<(), Failure> {
    let client: Arc<AdminClient<Logging>> = make(settings, &config(settings), Logging, "the Kafka client")?;
    let session = match settings.group_protocol {
        GroupProtocol::Classic => Duration::from_millis(u64::from(settings.session_timeout_ms)),
        GroupProtocol::Consumer => CONSUMER_SESSION_MAX,
    };
    let deadline = Instant::now() + session + GRACE;
    let mut is_told = false;
    loop {
        let members = members(&client, &settings.group)?;
        if members.is_empty() {
            return Ok(());
        }
        let (group, names) = (&settings.group, members.join(", "));
        if stop.load(Ordering::Relaxed) || Instant::now() > deadline {
            return Err(Failure::Stop(format!(
                "the group {group} has members: {names}. The state can only be made anew while nobody works on it: stop \
                 every `shoal run` of this group first"
            )));
        }
        if !std::mem::replace(&mut is_told, true) {
            let seconds = session.as_secs();
            tracing::info!(
                "the group {group} has members: {names}. If they have ended, that is known in {seconds} s; waiting"
            );
        }
        std::thread::park_timeout(ASK_AGAIN);
    }
}

fn members(client: &AdminClient<Logging>, group: &str) -> Result<Vec<String>, Failure> {
    let what = format!("Kafka does not answer about the group {group}");
    let described =
        insist(|| raw_admin::describe_group(client.inner(), group, REQUEST_WAIT).map_err(fate::of_code(what.clone())))?;
    Ok(described.members)
}
