//! Waits until the group has no members. A rebuild must be alone: changes that another process publishes meanwhile
//! would be missing in the rebuilt state.

use crate::kafka::client::{Logging, REQUEST_WAIT, config, make, retry};
use crate::kafka::error_class::classify_code;
use crate::kafka::raw::admin::describe_group;
use crate::kafka::{Failure, GroupProtocol, KafkaSettings};
use rdkafka::admin::AdminClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(500);
/// In addition to a session: the broker removes expired members at intervals.
const GRACE: Duration = Duration::from_secs(5);
/// Under the protocol `consumer` the broker sets the session time-out; this is its default maximum.
const CONSUMER_SESSION_MAX: Duration = Duration::from_secs(60);

/// Waits until the group has no members. A process that was killed or has just ended stays a member until its session
/// expires; a running one stays for good, and is an error after that time.
pub fn wait_until_alone(settings: &KafkaSettings, stop: &AtomicBool) -> Result<(), Failure> {
    let client: Arc<AdminClient<Logging>> = make(settings, &config(settings), Logging, "the Kafka client")?;
    let session = match settings.group_protocol {
        GroupProtocol::Classic => Duration::from_millis(u64::from(settings.session_timeout_ms)),
        GroupProtocol::Consumer => CONSUMER_SESSION_MAX,
    };
    let deadline = Instant::now() + session + GRACE;
    let mut is_logged = false;
    loop {
        let members = members(&client, &settings.group)?;
        if members.is_empty() {
            return Ok(());
        }
        let (group, names) = (&settings.group, members.join(", "));
        if stop.load(Ordering::Relaxed) || Instant::now() > deadline {
            return Err(Failure::Stop(format!(
                "the group {group} has members: {names}. The state can only be rebuilt while no process works on it: stop \
                 every `shoal run` of this group first"
            )));
        }
        if !std::mem::replace(&mut is_logged, true) {
            tracing::info!(
                group,
                members = names,
                seconds_max = (session + GRACE).as_secs(),
                "the group still has members; waiting until their sessions expire"
            );
        }
        std::thread::park_timeout(INTERVAL);
    }
}

fn members(client: &AdminClient<Logging>, group: &str) -> Result<Vec<String>, Failure> {
    let what = format!("Kafka does not describe the group {group}");
    let description =
        retry(|| describe_group(client.inner(), group, REQUEST_WAIT).map_err(classify_code(what.clone())))?;
    Ok(description.members)
}
