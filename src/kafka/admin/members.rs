//! Waits for other members of the group before this process joins it: a rebuild until there are none, since changes
//! that another process publishes meanwhile would be missing in the rebuilt state; a service until no other process has
//! its `instance`, since it would take the shards of that process away.

use crate::kafka::client::{Logging, Process, REQUEST_WAIT, config, make, members_seen, retry};
use crate::kafka::error_class::classify_code;
use crate::kafka::raw::admin::describe_group;
use crate::kafka::{Failure, GroupProtocol, KafkaSettings};
use rdkafka::admin::AdminClient;
use rdkafka::consumer::BaseConsumer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(500);
/// In addition to a session: the broker removes expired members at intervals.
const GRACE: Duration = Duration::from_secs(5);
/// Under the protocol `consumer` the broker sets the session time-out; this is its default maximum.
const CONSUMER_SESSION_MAX: Duration = Duration::from_secs(60);
/// How long another process of the same `instance` on this host may take to end: a supervisor may be replacing it.
const ENDING_MAX: Duration = Duration::from_secs(3);
/// In addition to a session, for a process of the same `instance` on another host.
const SESSION_GRACE: Duration = Duration::from_secs(2);
const SEEN_WAIT: Duration = Duration::from_secs(5);

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

/// Waits until no other process is in the group under the `instance` of this one, so that none is fenced. An earlier
/// process on this host is known to be dead at once; whether one on another host is, shows the end of its session.
/// Under the protocol `consumer` a member is not fenced by a later one, and there is nothing to wait for here. If the
/// group does not say, there is no reason to wait either: a process that is fenced says so.
///
/// # Errors
/// If the other process is alive.
pub fn wait_until_free(settings: &KafkaSettings, stop: &AtomicBool) -> Result<(), Failure> {
    if settings.group_protocol == GroupProtocol::Consumer {
        return Ok(());
    }
    let client: Arc<BaseConsumer<Logging>> = make(settings, &config(settings), Logging, "the Kafka client")?;
    let session = Duration::from_millis(u64::from(settings.session_timeout_ms));
    let begun = Instant::now();
    let mut is_logged = false;
    while !stop.load(Ordering::Relaxed) {
        let Ok(seen) = members_seen(&client, &settings.group, SEEN_WAIT) else { break };
        let racks = seen.iter().map(|member| (member.name.as_str(), member.rack.as_deref().unwrap_or_default()));
        let holder = racks.into_iter().find_map(|(name, rack)| Holder::of(name, rack, &settings.instance));
        let Some(holder) = holder else { break };
        let instance = &settings.instance;
        let wait = if holder.is_here { ENDING_MAX } else { session + SESSION_GRACE };
        if begun.elapsed() > wait {
            return Err(Failure::Stop(format!(
                "another process runs under the same `instance` {instance:?}: {}. Starting this one would take its shards \
                 away. Stop the other one, or give this one an `instance` of its own; if you know that the other one is \
                 dead, start with --take-over",
                holder.process
            )));
        }
        if !std::mem::replace(&mut is_logged, true) {
            tracing::info!(
                instance,
                holder = %holder.process,
                seconds_max = wait.as_secs(),
                "another process is in the group under the same `instance`; waiting until it ends or its session expires"
            );
        }
        std::thread::park_timeout(INTERVAL);
    }
    Ok(())
}

/// Another process that has the `instance` of this one.
struct Holder {
    process: Process,
    /// It runs on this host; on another one it may be dead.
    is_here: bool,
}

impl Holder {
    /// Whether a member is one of another process of this instance that is not known to be dead. Members of earlier
    /// versions do not say whose they are: they are taken over.
    fn of(name: &str, rack: &str, instance: &str) -> Option<Self> {
        let worker = name.strip_prefix(instance)?.strip_prefix('-')?;
        let is_worker = !worker.is_empty() && worker.bytes().all(|byte| byte.is_ascii_digit());
        let process = Process::of(rack).filter(|process| is_worker && *process != Process::own())?;
        let is_alive = process.is_alive();
        (is_alive != Some(false)).then_some(Self { process, is_here: is_alive == Some(true) })
    }
}

fn members(client: &AdminClient<Logging>, group: &str) -> Result<Vec<String>, Failure> {
    let what = format!("Kafka does not describe the group {group}");
    let description =
        retry(|| describe_group(client.inner(), group, REQUEST_WAIT).map_err(classify_code(what.clone())))?;
    Ok(description.members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_process_that_may_be_alive_holds_the_instance() {
        let is_held = |name: &str, rack: &str| Holder::of(name, rack, "shoal").map(|holder| holder.is_here);
        let own = crate::kafka::client::member_rack();
        let elsewhere = "shoal-process@elsewhere:4711:17:0";
        assert_eq!(is_held("shoal-0", elsewhere), Some(false));
        for (name, rack) in [("shoal-0", own.as_str()), ("shoal-0", ""), ("shoal-b-0", elsewhere), ("shoal", elsewhere)]
        {
            assert_eq!(is_held(name, rack), None, "{name} {rack}");
        }
        let host = own.strip_prefix("shoal-process@").and_then(|rest| rest.split(':').next()).unwrap();
        let dead = format!("shoal-process@{host}:{}:17:0", std::process::id());
        assert_eq!(is_held("shoal-0", &dead), None, "an earlier process of this id is dead");
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero();
        let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
        assert_eq!(is_held("shoal-0", &format!("shoal-process@{host}:{parent}:{start}:0")), Some(true));
    }
}
