//! What a lost process and a restarted one hold up, as a consumer of changes sees it: two processes with a worker each.

use super::Size;
use super::load::Load;
use super::observer::{Observer, Seen};
use super::service::{Service, Setup};
use super::setup;
use super::support::Broker;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);
/// What a takeover may take longer than the session time-out.
const GOAL_TAKEOVER: Duration = Duration::from_secs(2);
/// A restart must be over before the group gives the shards to others.
const RESTART_SESSION_MS: u32 = 45_000;

/// What was seen of one shard.
struct Progress {
    publisher: String,
    last: Instant,
    longest_gap: Duration,
    /// How often another worker went on with it.
    moves: usize,
}

/// Two processes under load, and what their shards do.
struct Pair<'a> {
    setup: &'a Setup,
    partitions: i32,
    observer: Observer,
    services: Vec<Service>,
    shards: BTreeMap<i32, Progress>,
    _load: Load,
}

impl<'a> Pair<'a> {
    fn start(broker: &Broker, setup: &'a Setup, size: Size) -> Self {
        let services = vec![setup.start("a", 1), setup.start("b", 1)];
        let observer = Observer::start(broker, &setup.changes);
        let load = Load::start(broker, &setup.input, size, Instant::now(), Duration::from_secs(600));
        let (partitions, shards) = (size.partitions, BTreeMap::new());
        let mut pair = Self { setup, partitions, observer, services, shards, _load: load };
        pair.wait_until_shared();
        pair
    }

    /// Waits until each process has shards, and every shard goes on.
    fn wait_until_shared(&mut self) {
        self.shards.clear();
        self.watch("both processes publish changes of all shards", |pair| {
            let publishers: BTreeSet<&str> = pair.shards.values().map(|shard| shard.publisher.as_str()).collect();
            pair.shards.len() as i32 == pair.partitions && publishers.len() == 2
        });
    }

    /// Notes what comes until something is so.
    fn watch(&mut self, what: &str, mut is_done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_done(self) {
            if let Ok(seen) = self.observer.seen.recv_timeout(Duration::from_millis(50)) {
                self.note(seen);
            }
            let logs = || self.services.iter().map(Service::tail).collect::<Vec<_>>().join("\n---\n");
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; they said:\n{}", logs());
        }
    }

    fn watch_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.watch("time passes", |_| Instant::now() >= end);
    }

    fn note(&mut self, seen: Seen) {
        match self.shards.get_mut(&seen.shard) {
            Some(shard) => {
                shard.longest_gap = shard.longest_gap.max(seen.at - shard.last);
                shard.last = seen.at;
                if let Some(publisher) = seen.publisher.filter(|publisher| *publisher != shard.publisher) {
                    shard.publisher = publisher;
                    shard.moves += 1;
                }
            }
            None => {
                let Some(publisher) = seen.publisher else { return };
                let progress = Progress { publisher, last: seen.at, longest_gap: Duration::ZERO, moves: 0 };
                self.shards.insert(seen.shard, progress);
            }
        }
    }

    /// Gaps and moves are counted from now.
    fn count_from_now(&mut self) {
        let now = Instant::now();
        for shard in self.shards.values_mut() {
            (shard.last, shard.longest_gap, shard.moves) = (now, Duration::ZERO, 0);
        }
    }

    fn shards_of(&self, worker: &str) -> Vec<i32> {
        let own = self.shards.iter().filter(|(_, shard)| shard.publisher == worker);
        own.map(|(&shard, _)| shard).collect()
    }

    /// The longest time without a readable change of one of these shards, up to now.
    fn longest_gap<'s>(&self, shards: impl IntoIterator<Item = &'s i32>) -> Duration {
        let gap = |shard: &i32| self.shards[shard].longest_gap.max(self.shards[shard].last.elapsed());
        shards.into_iter().map(gap).max().unwrap_or_default()
    }

    fn others(&self, shards: &[i32]) -> Vec<i32> {
        self.shards.keys().copied().filter(|shard| !shards.contains(shard)).collect()
    }
}

pub fn measure_takeovers(broker: &Broker, size: Size) {
    let session = Duration::from_millis(size.session_timeout_ms.into());
    let setup = setup(broker, "takeover", size, size.session_timeout_ms);
    let mut pair = Pair::start(broker, &setup, size);
    let mut longest = Duration::ZERO;
    for repeat in 0..size.takeovers {
        pair.watch_for(size.calm);
        let victim = pair.services.remove(0);
        let (name, worker) = (victim.instance.clone(), setup.worker_of(&victim.instance));
        let lost = pair.shards_of(&worker);
        pair.count_from_now();
        let killed = Instant::now();
        victim.kill_9();
        let is_taken = |pair: &Pair<'_>, shard: &i32| pair.shards[shard].publisher != worker;
        pair.watch("a shard of the killed process goes on", |pair| lost.iter().any(|shard| is_taken(pair, shard)));
        let first = killed.elapsed();
        pair.watch("all its shards go on", |pair| lost.iter().all(|shard| is_taken(pair, shard)));
        let (all, others) = (killed.elapsed(), pair.others(&lost));
        longest = longest.max(first);
        println!(
            "takeover {}: from kill -9 to the first change of one of its {} shards by the other process {:.1} s, of all {:.1} s; \
             the other's own shards without a change for at most {:.1} s",
            repeat + 1,
            lost.len(),
            first.as_secs_f64(),
            all.as_secs_f64(),
            pair.longest_gap(&others).as_secs_f64()
        );
        if repeat + 1 < size.takeovers {
            pair.services.push(setup.start(&name, 1));
            pair.wait_until_shared();
        }
    }
    let goal = session + GOAL_TAKEOVER;
    println!(
        "takeover, session time-out {:.0} s: longest of {} {:.1} s (goal {:.0} s: {})",
        session.as_secs_f64(),
        size.takeovers,
        longest.as_secs_f64(),
        goal.as_secs_f64(),
        if longest <= goal { "met" } else { "missed" }
    );
}

pub fn measure_restart(broker: &Broker, size: Size) {
    let setup = setup(broker, "restart", size, RESTART_SESSION_MS);
    let mut pair = Pair::start(broker, &setup, size);
    pair.count_from_now();
    pair.watch_for(size.calm);
    let usual = pair.longest_gap(pair.shards.keys());
    println!("rolling restart, before: longest time without a change of a shard {:.0} ms", usual.as_secs_f64() * 1e3);
    let mut moves = 0;
    for _ in 0..2 {
        let old = pair.services.remove(0);
        let (name, worker) = (old.instance.clone(), setup.worker_of(&old.instance));
        let own = pair.shards_of(&worker);
        pair.count_from_now();
        let stopped = old.stop();
        pair.services.push(pair.setup.start(&name, 1));
        let begin = Instant::now();
        pair.watch("all its shards go on", |pair| own.iter().all(|shard| pair.shards[shard].last > begin));
        pair.watch_for(size.calm);
        let others = pair.others(&own);
        moves += pair.shards.values().map(|shard| shard.moves).sum::<usize>();
        println!(
            "rolling restart of one of two processes: it ends {:.2} s after SIGTERM; its {} shards without a change for at \
             most {:.2} s, the other's {} for at most {:.0} ms",
            stopped.as_secs_f64(),
            own.len(),
            pair.longest_gap(&own).as_secs_f64(),
            others.len(),
            pair.longest_gap(&others).as_secs_f64() * 1e3
        );
    }
    println!("rolling restart: {moves} shards moved (goal 0: {})", if moves == 0 { "met" } else { "missed" });
}
