//! Three verdicts on the process, from the reports of its workers: started, alive, ready.
//!
//! Pure functions of the reports and their age. A verdict names what fails and why, so that an operator knows where to
//! look. It needs no token: it contains names of topics and the client's errors, but no addresses and nothing of
//! events.

use crate::worker::observe::rejects::{RecentRejects, SHARE_OF};
use crate::worker::observe::status::{DifferentRules, Report, RulesName, Unanswered, WorkProgress};
use crate::worker::{Phase, rfc3339_text};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Maximum time between two turns of a worker's loop. It normally turns at least ten times a second; one turn may wait
/// for requests to Kafka of 30 s each, and a failed transaction takes four of them.
pub const LOOP_SILENCE_MAX: Duration = Duration::from_secs(180);
/// Maximum time between two reports of a recovery. A recovery is one turn and reports its progress every two seconds,
/// but a large file of a snapshot is one object.
pub const RECOVERY_SILENCE_MAX: Duration = Duration::from_secs(900);

/// A worker's last report and its age.
pub struct ObservedWorker {
    pub report: Report,
    /// Time since the report; `None` if the worker has not reported yet.
    pub age: Option<Duration>,
    /// What the start waits for, before the first report.
    pub waits_for: Option<String>,
}

/// The answer to a health request.
#[derive(Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// `ok` or `failing`.
    pub status: &'static str,
    /// Empty if the status is `ok`.
    pub failing: Vec<Failing>,
    /// Only in the answer about readiness, which it does not change: the process works, under other rules than those of
    /// its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesWarning>,
    /// What was rejected lately; only in the answer about readiness, which it does not change: the process works, its
    /// input is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedShare>,
}

/// The rules file of the process is not in force.
#[derive(Debug, PartialEq, Serialize)]
pub struct RulesWarning {
    pub warning: &'static str,
    pub why: &'static str,
    pub what_to_do: &'static str,
    pub file: RulesName,
    pub in_force: RulesName,
}

impl From<&DifferentRules> for RulesWarning {
    fn from(DifferentRules { why, file, in_force }: &DifferentRules) -> Self {
        let (why, what_to_do) = why.texts();
        let warning = "the rules file of this process is not in force";
        Self { warning, why, what_to_do, file: file.clone(), in_force: in_force.clone() }
    }
}

/// The share of rejected records among the last ones.
#[derive(Debug, PartialEq, Serialize)]
pub struct RejectedShare {
    /// From 0 to 1.
    pub share: f64,
    pub records: u64,
    /// The time over which the records are counted.
    pub seconds: u64,
    /// Rejected records by reason; reasons without any are left out.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl From<RecentRejects> for RejectedShare {
    fn from(recent: RecentRejects) -> Self {
        Self {
            share: (recent.share() * 10_000.0).round() / 10_000.0,
            records: recent.records,
            seconds: SHARE_OF.as_secs(),
            reasons: recent.by_reason().collect(),
        }
    }
}

/// One reason why the status is `failing`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Failing {
    /// What fails: a static text.
    pub what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// The phase of the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why, as far as it is known: the error of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The progress of a recovery.
#[derive(Debug, PartialEq, Serialize)]
pub struct Progress {
    pub work: &'static str,
    pub done: u64,
    /// 0 if it is not known.
    pub all: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

impl Verdict {
    fn of(failing: Vec<Failing>) -> Self {
        Self { status: if failing.is_empty() { "ok" } else { "failing" }, failing, rules: None, rejected: None }
    }

    pub fn is_ok(&self) -> bool {
        self.failing.is_empty()
    }
}

impl Failing {
    fn of_process(what: &'static str) -> Self {
        Self { what, worker: None, shard: None, phase: None, since: None, progress: None, reason: None }
    }

    fn of_worker(what: &'static str, worker: usize) -> Self {
        Self { worker: Some(worker), ..Self::of_process(what) }
    }
}

/// Whether every worker has finished its checks and has joined the group.
pub fn started(workers: &[ObservedWorker]) -> Verdict {
    Verdict::of(workers.iter().enumerate().filter_map(|(number, seen)| not_joined(number, seen)).collect())
}

/// Whether every shard that is assigned to this process is live. A process that is stopping is not ready.
pub fn ready(workers: &[ObservedWorker], is_stopping: bool) -> Verdict {
    let mut failing = Vec::new();
    if is_stopping {
        failing.push(Failing::of_process("the process is stopping"));
    }
    for (number, seen) in workers.iter().enumerate() {
        failing.extend(not_joined(number, seen));
        failing.extend(stuck(number, seen));
        failing.extend(in_trouble(number, &seen.report));
        failing.extend(unanswered(number, &seen.report));
        failing.extend(not_live(number, &seen.report));
    }
    let rules = workers.iter().find_map(|seen| seen.report.different_rules.as_ref()).map(RulesWarning::from);
    Verdict { rules, ..Verdict::of(failing) }
}

/// Whether every worker turns its loop or recovers. A worker that has not started yet, or whose process is stopping,
/// counts as alive: both states have time-outs of their own.
pub fn alive(workers: &[ObservedWorker], is_stopping: bool) -> Verdict {
    let workers = workers.iter().enumerate().filter(|_| !is_stopping);
    Verdict::of(workers.filter_map(|(number, seen)| stuck(number, seen)).collect())
}

fn not_joined(number: usize, seen: &ObservedWorker) -> Option<Failing> {
    match seen.age {
        None => {
            let what = "the worker has not started: it connects to Kafka and checks its topics";
            let reason = seen.waits_for.as_deref().map(without_addresses);
            Some(Failing { reason, ..Failing::of_worker(what, number) })
        }
        Some(_) if !seen.report.has_joined || seen.report.client.waits_for.is_some() => {
            let what = match seen.report.has_joined {
                false => "the worker has not joined the group yet",
                true => "the worker is no member of the group and joins it again",
            };
            let reason = seen.report.client.waits_for.as_deref().map(without_addresses);
            Some(Failing { reason, ..Failing::of_worker(what, number) })
        }
        Some(_) => None,
    }
}

/// A transaction or a recovery that has failed and is tried again.
fn in_trouble(number: usize, report: &Report) -> Option<Failing> {
    let trouble = report.trouble.as_ref()?;
    let what = "a transaction or a recovery has failed and is tried again";
    let (since, reason) = (Some(moment(trouble.since)), Some(without_addresses(&trouble.message)));
    Some(Failing { since, reason, ..Failing::of_worker(what, number) })
}

/// Time does not pass for the customers of a shard whose broker does not answer.
fn unanswered(number: usize, report: &Report) -> Option<Failing> {
    let Unanswered { shard, topic, milliseconds } = report.unanswered.as_ref()?;
    let since = Some(moment(report.at.saturating_sub_unsigned(*milliseconds)));
    let reason = Some(format!("no fetch of {topic}[{shard}] was answered for {} s", milliseconds / 1_000));
    let what = "the broker of an input partition has not answered for 60 s";
    Some(Failing { shard: Some(*shard), since, reason, ..Failing::of_worker(what, number) })
}

/// An error of the client without the words that contain an address.
fn without_addresses(message: &str) -> String {
    let has_port = |word: &str| {
        let ports = word.match_indices(':').map(|(at, _)| &word[at + 1..]);
        ports.into_iter().any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let words = message.split_whitespace().map(|word| if has_port(word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn stuck(number: usize, seen: &ObservedWorker) -> Option<Failing> {
    let is_recovering = |phase: Phase| matches!(phase, Phase::Assigned | Phase::Recovering);
    let recovers = seen.report.shards.values().any(|shard| is_recovering(shard.phase));
    let (bound, what) = match recovers {
        true => (RECOVERY_SILENCE_MAX, "the worker has reported no progress of its recovery for 900 s"),
        false => (LOOP_SILENCE_MAX, "the worker has not turned its loop for 180 s"),
    };
    let is_silent = seen.age.is_some_and(|age| age > bound);
    let since = Some(moment(seen.report.at));
    is_silent.then(|| Failing { since, ..Failing::of_worker(what, number) })
}

/// Shards in the phase `kept` belong to another worker now and do not count.
fn not_live(number: usize, report: &Report) -> impl Iterator<Item = Failing> {
    let shards = report.shards.iter();
    let not_live = shards.filter(|(_, shard)| !matches!(shard.phase, Phase::Running | Phase::Kept | Phase::Dropped));
    not_live.map(move |(&shard, found)| Failing {
        shard: Some(shard),
        phase: Some(found.phase.to_string()),
        since: Some(moment(found.since)),
        progress: found.progress.map(Progress::from),
        ..Failing::of_worker("the shard is not live", number)
    })
}

impl From<WorkProgress> for Progress {
    fn from(WorkProgress { work, done, all, seconds_left }: WorkProgress) -> Self {
        Self { work, done, all, seconds_left }
    }
}

/// Milliseconds since 1970 as RFC 3339.
pub fn moment(milliseconds: i64) -> String {
    String::from_utf8_lossy(&rfc3339_text(milliseconds)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::observe::status::{ShardReport, Trouble};

    const SECOND: Duration = Duration::from_secs(1);

    fn seen(age: Option<Duration>, shards: &[(u32, Phase)]) -> ObservedWorker {
        let shard = |phase| ShardReport { since: 5_000, ..ShardReport::in_phase(phase) };
        let shards = shards.iter().map(|&(number, phase)| (number, shard(phase))).collect();
        let report = Report { shards, at: 7_000, has_joined: true, ..Report::default() };
        ObservedWorker { report, age, waits_for: None }
    }

    #[test]
    fn a_process_is_ready_when_all_its_shards_are_live() {
        let live = || seen(Some(SECOND), &[(0, Phase::Running), (2, Phase::Kept)]);
        let standby = || seen(Some(SECOND), &[]);
        assert!(ready(&[live(), standby()], false).is_ok(), "a worker may have no shards");
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
        assert!(!ready(&[seen(None, &[])], false).is_ok(), "it has not started");
        assert!(!ready(&[live()], true).is_ok(), "it is stopping");
        let mut outside = standby();
        outside.report.has_joined = false;
        assert!(!ready(&[outside], false).is_ok(), "it has not joined");
    }

    #[test]
    fn a_process_that_waits_for_kafka_is_not_ready_and_says_why_without_an_address() {
        let reasons = |seen: ObservedWorker| -> Vec<(&'static str, Option<String>)> {
            ready(&[seen], false).failing.into_iter().map(|failing| (failing.what, failing.reason)).collect()
        };
        let mut waiting = seen(None, &[]);
        waiting.waits_for = Some("127.0.0.1:9092: Connect failed: Connection refused".into());
        let [(what, reason)]: [_; 1] = reasons(waiting).try_into().unwrap();
        assert!(what.starts_with("the worker has not started"), "{what}");
        assert_eq!(reason.as_deref(), Some("… Connect failed: Connection refused"));
        let mut failing = seen(Some(SECOND), &[(0, Phase::Running)]);
        failing.report.trouble = Some(Trouble { since: 5_000, message: "a commit: Local: Timed out".into() });
        failing.report.unanswered = Some(Unanswered { shard: 0, topic: "events".into(), milliseconds: 61_000 });
        let [trouble, unanswered]: [_; 2] = reasons(failing).try_into().unwrap();
        assert_eq!(trouble.1.as_deref(), Some("a commit: Local: Timed out"));
        assert_eq!(unanswered.1.as_deref(), Some("no fetch of events[0] was answered for 61 s"));
        let mut outside = seen(Some(SECOND), &[]);
        outside.report.client.waits_for = Some("its name is taken".into());
        assert_eq!(reasons(outside)[0].1.as_deref(), Some("its name is taken"));
    }

    #[test]
    fn a_worker_whose_loop_stands_still_is_not_alive_and_a_recovery_has_more_time() {
        let after = |seconds: u32, phase| alive(&[seen(Some(SECOND * seconds), &[(0, phase)])], false).is_ok();
        assert!(after(180, Phase::Running) && !after(181, Phase::Running));
        assert!(after(181, Phase::Recovering) && after(900, Phase::Assigned) && !after(901, Phase::Recovering));
        assert!(alive(&[seen(None, &[])], false).is_ok(), "the checks have a time-out");
        assert!(alive(&[seen(Some(SECOND * 999), &[])], true).is_ok(), "so do the last snapshots");
        assert!(!ready(&[seen(Some(SECOND * 181), &[(0, Phase::Running)])], false).is_ok());
    }

    #[test]
    fn a_process_has_started_when_all_its_workers_have_joined() {
        assert!(started(&[seen(Some(SECOND), &[(0, Phase::Recovering)])]).is_ok());
        assert!(!started(&[seen(Some(SECOND), &[]), seen(None, &[])]).is_ok());
    }
}
