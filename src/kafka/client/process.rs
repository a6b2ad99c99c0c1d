//! Which process a member of the group belongs to.
//!
//! A member's name (`group.instance.id`) is the same for every process of an `instance`, which is what it is for. So a
//! member that is seen under one's own name may be one's own, that of an earlier process whose session has not expired,
//! or that of another process that runs at the same time. Under the classic protocol each member tells which, in the
//! rack that it names when it joins: the broker keeps the client id of the first member of a name for all later ones.
//! The member fetches nothing, and its rack is that of no broker, so nothing follows from it.

use crate::kafka::client::Logging;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Begins a rack that names a process: `shoal-process@HOST:PROCESS:START:NUMBER`.
const MARK: &str = "shoal-process@";
/// A broker makes the id of a member from its name, a hyphen and a UUID.
const UUID_LENGTH: usize = 36;

/// Members made by this process so far.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A process, as its members name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    host: String,
    id: u32,
    /// Clock ticks from the start of the machine to that of the process: ids are used again. 0 if unknown.
    start: u64,
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let id = std::process::id();
        Self { host: host.trim().to_owned(), id, start: start_of(id).unwrap_or(0) }
    }

    /// The process that a rack names; `None` if it is not one of Shoal.
    pub fn of(rack: &str) -> Option<Self> {
        let mut parts = rack.strip_prefix(MARK)?.split(':');
        let (host, id, start) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { host: host.to_owned(), id: id.parse().ok()?, start: start.parse().ok()? })
    }

    /// Whether it runs; `None` if it is on another host, where that cannot be seen.
    pub fn is_alive(&self) -> Option<bool> {
        let own = Self::own();
        let is_here = self.host == own.host && !self.host.is_empty() && self.start > 0;
        is_here.then(|| start_of(self.id) == Some(self.start))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.id, self.host)
    }
}

/// A rack for a new member of the group: each of this process has another one.
pub fn member_rack() -> String {
    let Process { host, id, start } = Process::own();
    format!("{MARK}{host}:{id}:{start}:{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A member that the group knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMemberSeen {
    /// Its `group.instance.id`.
    pub name: String,
    /// The rack that names its process; `None` if it names none, or while the group changes.
    pub rack: Option<String>,
}

/// The static members of a group of the classic protocol.
pub fn members_seen(client: &BaseConsumer<Logging>, group: &str, wait: Duration) -> KafkaResult<Vec<GroupMemberSeen>> {
    let list = client.fetch_group_list(Some(group), wait)?;
    let members = list.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    let seen = members.filter_map(|member| {
        let name = name_of(member.id())?;
        Some(GroupMemberSeen { name: name.to_owned(), rack: member.metadata().and_then(rack_of) })
    });
    Ok(seen.collect())
}

fn name_of(id: &str) -> Option<&str> {
    let name = id.get(..id.len().checked_sub(UUID_LENGTH + 1)?)?;
    id[name.len()..].starts_with('-').then_some(name)
}

/// The rack is the last field of what a member says of itself when it joins.
fn rack_of(metadata: &[u8]) -> Option<String> {
    let at = metadata.windows(MARK.len()).rposition(|window| window == MARK.as_bytes())?;
    Some(String::from_utf8_lossy(&metadata[at..]).into_owned())
}

/// Field 22 of `/proc/PROCESS/stat`; the name of the program before it may contain anything.
fn start_of(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rack_names_its_process_and_whether_it_runs() {
        let (first, second) = (member_rack(), member_rack());
        assert_ne!(first, second);
        let own = Process::of(&first).unwrap();
        assert_eq!((&own, own.is_alive()), (&Process::own(), Some(true)));
        let earlier = Process { start: own.start - 1, ..own.clone() };
        assert_eq!(earlier.is_alive(), Some(false), "its id is used again");
        let elsewhere = Process { host: "elsewhere".into(), ..own };
        assert_eq!(elsewhere.is_alive(), None);
        for foreign in ["", "eu-west-1a", "shoal-process@b:c:d:0"] {
            assert_eq!(Process::of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_name_and_the_rack_of_a_member_are_found() {
        assert_eq!(name_of("shoal-a-0-8f14e45f-ceea-467f-9575-6d8f1a2b3c4d"), Some("shoal-a-0"));
        assert_eq!(name_of("rdkafka"), None);
        let metadata =
            [b"\0\x03\0\0\0\x01\0\x02in\0\0\0\0\xff\xff\xff\xff\0\x1c".as_slice(), b"shoal-process@b:17:4:0"].concat();
        assert_eq!(rack_of(&metadata).as_deref(), Some("shoal-process@b:17:4:0"));
        assert_eq!(rack_of(b"\0\x03eu-west-1a"), None);
    }
}
