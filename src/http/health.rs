//! From what the workers say of themselves to three verdicts: started, alive, ready.
//!
//! Pure: reports and their age in, a verdict out. A verdict names what fails, so that whoever is woken knows where to look, and
//! holds nothing that must not be seen without a token.

use crate::worker::board::{Advance, Report};
use crate::worker::{Phase, rfc3339_text};
use serde::Serialize;
use std::time::Duration;

/// A worker's loop turns ten times a second at least. In one turn it may wait for requests to Kafka, 30 s each, and a
/// transaction that fails takes four of them.
pub const TURN_MAX: Duration = Duration::from_secs(180);
/// Recovery is one turn, and says every two seconds how far it has come; but a large snapshot is one object of a store.
pub const RECOVERY_SILENCE_MAX: Duration = Duration::from_secs(900);

/// One worker as it is seen now.
pub struct Seen {
    pub report: Report,
    /// How long ago it last wrote; `None` if it has not begun.
    pub age: Option<Duration>,
}

/// What is asked for, and what stands against it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// `ok` or `failing`.
    pub status: &'static str,
    /// Empty if all is well.
    pub failing: Vec<Failing>,
}

/// One thing that fails.
#[derive(Debug, PartialEq, Serialize)]
pub struct Failing {
    /// What, in words that stay the same.
    pub what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Where the shard stands in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// How far long work has come.
#[derive(Debug, PartialEq, Serialize)]
pub struct Progress {
    pub work: &'static str,
    pub done: u64,
    /// 0 where that cannot be known.
    pub all: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

impl Verdict {
    fn of(failing: Vec<Failing>) -> Self {
        Self { status: if failing.is_empty() { "ok" } else { "failing" }, failing }
    }

    pub fn is_ok(&self) -> bool {
        self.failing.is_empty()
    }
}

impl Failing {
    fn of_process(what: &'static str) -> Self {
        Self { what, worker: None, shard: None, phase: None, since: None, progress: None }
    }

    fn of_worker(what: &'static str, worker: usize) -> Self {
        Self { worker: Some(worker), ..Self::of_process(what) }
    }
}

/// Whether every worker has been through its checks and has been a member of the group.
pub fn started(workers: &[Seen]) -> Verdict {
    Verdict::of(workers.iter().enumerate().filter_map(|(number, seen)| not_joined(number, seen)).collect())
}

/// Whether every shard that this process was given is live. One that is to end takes no part in anything new.
pub fn ready(workers: &[Seen], is_stopping: bool) -> Verdict {
    let mut failing = Vec::new();
    if is_stopping {
        failing.push(Failing::of_process("the process is stopping"));
    }
    for (number, seen) in workers.iter().enumerate() {
        failing.extend(not_joined(number, seen));
        failing.extend(stuck(number, seen));
        failing.extend(not_live(number, &seen.report));
    }
    Verdict::of(failing)
}

/// Whether every worker turns its loop, or recovers. One that has not begun, or is to end, is not expected to: both have ends
/// of their own.
pub fn alive(workers: &[Seen], is_stopping: bool) -> Verdict {
    let workers = workers.iter().enumerate().filter(|_| !is_stopping);
    Verdict::of(workers.filter_map(|(number, seen)| stuck(number, seen)).collect())
}

fn not_joined(number: usize, seen: &Seen) -> Option<Failing> {
    match seen.age {
        None => {
            Some(Failing::of_worker("the worker has not begun: Kafka is being reached, and topics are checked", number))
        }
        Some(_) if !seen.report.has_joined => {
            Some(Failing::of_worker("the worker is no member of the group yet", number))
        }
        Some(_) => None,
    }
}

fn stuck(number: usize, seen: &Seen) -> Option<Failing> {
    let is_recovering = |phase: Phase| matches!(phase, Phase::Assigned | Phase::Recovering);
    let recovers = seen.report.shards.values().any(|shard| is_recovering(shard.phase));
    let (bound, what) = match recovers {
        true => (RECOVERY_SILENCE_MAX, "the worker recovers, and has said nothing of it for 900 s"),
        false => (TURN_MAX, "the worker has not turned its loop for 180 s"),
    };
    let is_silent = seen.age.is_some_and(|age| age > bound);
    let since = Some(moment(seen.report.at));
    is_silent.then(|| Failing { since, ..Failing::of_worker(what, number) })
}

/// A shard that is kept was given up, and is of no concern.
fn not_live(number: usize, report: &Report) -> impl Iterator<Item = Failing> {
    let shards = report.shards.iter();
    let not_live = shards.filter(|(_, shard)| !matches!(shard.phase, Phase::Running | Phase::Kept | Phase::Dropped));
    not_live.map(move |(&shard, found)| Failing {
        shard: Some(shard),
        phase: Some(found.phase.to_string()),
        since: Some(moment(found.since)),
        progress: found.advance.map(Progress::from),
        ..Failing::of_worker("the shard is not live", number)
    })
}

impl From<Advance> for Progress {
    fn from(Advance { work, done, all, seconds_left }: Advance) -> Self {
        Self { work, done, all, seconds_left }
    }
}

/// RFC 3339 of milliseconds.
pub fn moment(milliseconds: i64) -> String {
    String::from_utf8_lossy(&rfc3339_text(milliseconds)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::board::ShardReport;

    const SECOND: Duration = Duration::from_secs(1);

    fn seen(age: Option<Duration>, shards: &[(u32, Phase)]) -> Seen {
        let shard = |phase| ShardReport { since: 5_000, ..ShardReport::in_phase(phase) };
        let shards = shards.iter().map(|&(number, phase)| (number, shard(phase))).collect();
        Seen { report: Report { shards, at: 7_000, has_joined: true, ..Report::default() }, age }
    }

    #[test]
    fn a_process_is_ready_when_all_its_shards_are_live() {
        let live = || seen(Some(SECOND), &[(0, Phase::Running), (2, Phase::Kept)]);
        let standby = || seen(Some(SECOND), &[]);
        assert!(ready(&[live(), standby()], false).is_ok(), "a worker may have nothing to do");
        let verdict = ready(&[live(), seen(Some(SECOND), &[(1, Phase::Running), (3, Phase::Waiting)])], false);
        let [failing]: [Failing; 1] = verdict.failing.try_into().unwrap();
        assert_eq!(
            (failing.worker, failing.shard, failing.phase.as_deref()),
            (Some(1), Some(3), Some("waiting for rules"))
        );
        assert_eq!(failing.since.as_deref(), Some("1970-01-01T00:00:05.000Z"));
        for phase in [Phase::Assigned, Phase::Recovering] {
            assert!(!ready(&[seen(Some(SECOND), &[(0, phase)])], false).is_ok(), "{phase}");
        }
        assert!(!ready(&[seen(None, &[])], false).is_ok(), "it has not begun");
        assert!(!ready(&[live()], true).is_ok(), "it is stopping");
        let mut outside = standby();
        outside.report.has_joined = false;
        assert!(!ready(&[outside], false).is_ok(), "it is no member");
    }

    #[test]
    fn a_worker_that_stands_still_is_not_alive_and_one_that_recovers_has_longer() {
        let after = |seconds: u32, phase| alive(&[seen(Some(SECOND * seconds), &[(0, phase)])], false).is_ok();
        assert!(after(180, Phase::Running) && !after(181, Phase::Running));
        assert!(after(181, Phase::Recovering) && after(900, Phase::Assigned) && !after(901, Phase::Recovering));
        assert!(alive(&[seen(None, &[])], false).is_ok(), "checks end by themselves");
        assert!(alive(&[seen(Some(SECOND * 999), &[])], true).is_ok(), "so do the last snapshots");
        assert!(!ready(&[seen(Some(SECOND * 181), &[(0, Phase::Running)])], false).is_ok());
    }

    #[test]
    fn a_process_has_started_when_all_its_workers_are_members() {
        assert!(started(&[seen(Some(SECOND), &[(0, Phase::Recovering)])]).is_ok());
        assert!(!started(&[seen(Some(SECOND), &[]), seen(None, &[])]).is_ok());
    }
}
