//! One worker's side of a [`Cluster`]: what it knows of its partitions, and a producer that asks step by step.

use super::Cluster;
use super::batch::{MemoryBatch, MemoryReader};
use super::faults::Fate;
use super::partition::{Stored, Writer};
use super::requests::{MemberTag, Refusal, Request};
use super::shared::{Place, Shared};
use super::stops::{Never, Point, Stops};
use crate::kafka::{Failure, InputOffset, Log, Moment, News, OutRecord, Own, StartAt, Topic, Transaction};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Records taken at once at most, unless told otherwise.
const BATCH_MAX: usize = 4_096;
/// How long a client waits before it asks again, and for an answer that does not come.
const RETRY_MS: i64 = 10;
const PATIENCE_MS_MAX: u64 = 1_000;
/// How long it asks in vain before it gives up.
const BUSY_MS_MAX: i64 = 5_000;

/// One worker's view of a [`Cluster`].
pub struct MemoryLog<S: Stops = Never> {
    cluster: Cluster,
    client: usize,
    transactional_id: String,
    stops: S,
    writer: Option<Writer>,
    /// Requests of this writer for each partition.
    sequences: BTreeMap<Place, u32>,
    /// Number of the last transaction.
    transaction: u64,
    member: Option<MemberTag>,
    started: BTreeMap<Place, Started>,
    batch_max: usize,
    clock: Instant,
}

/// A partition that is fetched.
#[derive(Default)]
struct Started {
    /// The next offset to take.
    position: i64,
    /// What the last fetch showed, and when that was.
    end: i64,
    answered: Option<u64>,
    /// When the next fetch will be answered.
    next_fetch: i64,
}

impl<S: Stops> MemoryLog<S> {
    pub(super) fn new(cluster: Cluster, client: usize, transactional_id: &str, stops: S) -> Self {
        Self {
            cluster,
            client,
            transactional_id: transactional_id.to_owned(),
            stops,
            writer: None,
            sequences: BTreeMap::new(),
            transaction: 0,
            member: None,
            started: BTreeMap::new(),
            batch_max: BATCH_MAX,
            clock: Instant::now(),
        }
    }

    /// At most so many records are taken at once.
    pub fn with_batch_max(mut self, batch_max: usize) -> Self {
        self.batch_max = batch_max;
        self
    }

    fn pass(&self, at: Point) {
        self.stops.stop(at, self.cluster.clock());
    }

    fn wait(&self, milliseconds: i64) -> bool {
        self.stops.stop(Point::Waiting, self.cluster.clock() + milliseconds)
    }

    /// The process's own monotonic clock: its wall clock may be set, this one not.
    fn monotonic(&self, shared: &Shared) -> u64 {
        if shared.faults.is_planned() { shared.clock() as u64 } else { self.clock.elapsed().as_millis() as u64 }
    }

    /// Lets answers to fetches come in; whether one showed something new.
    fn fetch(&mut self, only: Option<Place>) -> bool {
        let mut shared = self.cluster.lock();
        let now = self.monotonic(&shared);
        let clock = if shared.faults.is_planned() { shared.clock() } else { 0 };
        let is_cut = shared.clients[self.client].is_cut;
        let mut is_new = false;
        for (&place, started) in &mut self.started {
            if only.is_some_and(|only| only != place) || is_cut || clock < started.next_fetch || !shared.answers(place)
            {
                continue;
            }
            let end = shared.stable_end(place);
            is_new |= end > started.end;
            started.end = end;
            started.answered = Some(now);
            started.next_fetch = clock + shared.faults.fetch_delay();
        }
        is_new
    }

    fn news(&mut self) -> Result<Option<News>, Failure> {
        let mut shared = self.cluster.lock();
        let this = &mut shared.clients[self.client];
        if this.is_fenced {
            return Err(Failure::Stop(format!("another process runs under the same `{}`", this.instance)));
        }
        let Some((news, member)) = this.news.pop_front() else { return Ok(None) };
        if matches!(news, News::Assigned(_)) {
            self.member = member;
        }
        shared.note(|| format!("w{} hears {news:?}", self.client));
        Ok(Some(news))
    }

    fn stop_fetching(&mut self, shards: &[u32]) {
        self.started.retain(|(topic, partition), _| matches!(topic, Topic::Own(_)) || !shards.contains(partition));
    }

    /// Asks until there is an answer, or none is to be hoped for.
    fn ask(&mut self, at: Point, request: &Request) -> Result<u32, Failure> {
        let since = self.cluster.clock();
        loop {
            self.pass(at);
            let answer = self.ask_once(request)?;
            match answer {
                Ok(given) => return Ok(given),
                Err(Refusal::Busy) => {
                    if !self.wait(RETRY_MS) || self.cluster.clock() > since + BUSY_MS_MAX {
                        return Err(Failure::Rebuild(format!("{}: the coordinator is busy", request.told())));
                    }
                }
                Err(Refusal::Fenced(words) | Refusal::Invalid(words)) => {
                    return Err(Failure::Rebuild(format!("{}: {words}", request.told())));
                }
            }
        }
    }

    fn ask_once(&mut self, request: &Request) -> Result<Result<u32, Refusal>, Failure> {
        let mut shared = self.cluster.lock();
        let fate = shared.fate_of(self.client, request);
        let mut done = None;
        match fate {
            Fate::Good | Fate::AnswerLost | Fate::Twice => done = Some(shared.execute(request, false)),
            Fate::Lost => {}
            Fate::Late(delay) => shared.later_request(delay, request.clone()),
        }
        if fate == Fate::Twice && !matches!(done, Some(Err(Refusal::Busy))) {
            shared.again(request.clone());
        }
        shared.note(|| format!("w{} {} {fate:?}: {done:?}", self.client, request.told()));
        if let Some(Ok(_)) = done {
            shared.let_ends_arrive(request);
        }
        if let (Fate::Good | Fate::Twice, Some(answer)) = (fate, done) {
            return Ok(answer);
        }
        let is_cut = shared.clients[self.client].is_cut;
        let patience = if is_cut { PATIENCE_MS_MAX } else { 50 + shared.faults.below(PATIENCE_MS_MAX) };
        drop(shared);
        self.wait(patience as i64);
        Err(Failure::Rebuild(format!("{}: no answer ({fate:?})", request.told())))
    }

    /// Stands still on the way to the brokers; nobody who is cut off gets there.
    fn reach(&self, at: Point, what: &str) -> Result<(), Failure> {
        self.pass(at);
        if self.cluster.lock().clients[self.client].is_cut {
            self.wait(PATIENCE_MS_MAX as i64);
            return Err(Failure::Rebuild(format!("{what}: no answer")));
        }
        Ok(())
    }

    /// Everything of a transaction, step by step.
    fn send(&mut self, writer: Writer, transaction: &Transaction<'_>) -> Result<(), Failure> {
        self.transaction += 1;
        let number = self.transaction;
        // Captured once per transaction.
        let member = self.membership();
        for group in self.arrange(transaction) {
            let places: Vec<Place> = group.iter().map(|(place, _)| *place).collect();
            self.ask(Point::Begin, &Request::Partitions { writer, transaction: number, places })?;
            for (place, records) in group {
                let next = self.sequences.entry(place).or_default();
                let sequence = *next;
                *next += 1;
                self.ask(Point::Produce, &Request::Produce { writer, place, sequence, records })?;
            }
        }
        if !transaction.offsets.is_empty() {
            let offsets = transaction.offsets.iter();
            let offsets = offsets.map(|input| ((input.topic, input.partition), input.offset)).collect();
            self.ask(Point::Offsets, &Request::Offsets { writer, transaction: number, member, offsets })?;
        }
        self.ask(Point::End, &Request::End { writer, transaction: number })?;
        self.pass(Point::Ended);
        Ok(())
    }

    /// As whom offsets are committed: as the member that the worker last heard it is, and with the newer protocol as the
    /// one that its client knows it is.
    fn membership(&self) -> Option<MemberTag> {
        let shared = self.cluster.lock();
        if !shared.group.is_incremental {
            return self.member.clone();
        }
        // Nobody's tag is refused; that of a worker outside of the group is not asked for.
        let this = &shared.clients[self.client];
        let nobody = || MemberTag { instance: this.instance.clone(), member: 0, generation: 0 };
        Some(this.tag.clone().unwrap_or_else(nobody))
    }

    /// The requests of a transaction: partitions that are added together, and what is written to each. With faults, in any
    /// order, and a partition's records in up to two requests.
    fn arrange(&self, transaction: &Transaction<'_>) -> Vec<Vec<(Place, Vec<Stored>)>> {
        let mut shared = self.cluster.lock();
        let timestamp = shared.clock();
        let mut by_place: BTreeMap<Place, Vec<Stored>> = BTreeMap::new();
        for record in &transaction.records {
            let place = (Topic::Own(record.topic), record.partition);
            by_place.entry(place).or_default().push(store(record, transaction, timestamp));
        }
        let mut places: Vec<(Place, Vec<Stored>)> = by_place.into_iter().collect();
        shared.faults.shuffle(&mut places);
        let later = if shared.faults.below(2) == 0 { Vec::new() } else { places.split_off(places.len() / 2) };
        let mut groups = vec![places, later];
        groups.retain(|group| !group.is_empty());
        for group in &mut groups {
            let whole = std::mem::take(group);
            let mut rest = Vec::new();
            for (place, mut records) in whole {
                if records.len() > 1 && shared.faults.below(3) == 1 {
                    rest.push((place, records.split_off(records.len() / 2)));
                }
                group.push((place, records));
            }
            group.extend(rest);
        }
        groups
    }
}

fn store(record: &OutRecord<'_>, transaction: &Transaction<'_>, timestamp: i64) -> Stored {
    let headers = &transaction.headers[record.headers.clone()];
    Stored {
        timestamp: Some(timestamp),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect(),
        ..Stored::default()
    }
}

impl<S: Stops> Log for MemoryLog<S> {
    type Batch = MemoryBatch;
    type Reader = MemoryReader<S>;

    fn now(&self) -> Moment {
        let shared = self.cluster.lock();
        Moment { wall: shared.clock() + shared.clients[self.client].skew, monotonic: self.monotonic(&shared) }
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// Waits only where somebody lets time pass: else what is not there now comes only with a later poll.
    fn poll(&mut self, wait: Duration) -> Result<News, Failure> {
        let until = self.cluster.clock() + wait.as_millis() as i64;
        self.pass(Point::Poll);
        loop {
            if let Some(news) = self.news()? {
                return Ok(news);
            }
            if self.fetch(None) || self.cluster.clock() >= until {
                return Ok(News::Nothing);
            }
            let next_fetch = self.started.values().map(|started| started.next_fetch).min();
            let now = self.cluster.clock();
            let next = next_fetch.filter(|&next| next > now).unwrap_or(until).min(until);
            if !self.stops.stop(Point::Idle, next) {
                return Ok(News::Nothing);
            }
        }
    }

    fn has_news(&self) -> bool {
        let shared = self.cluster.lock();
        let this = &shared.clients[self.client];
        this.is_fenced || !this.news.is_empty()
    }

    fn take(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut MemoryBatch,
    ) -> Result<usize, Failure> {
        self.pass(Point::Take);
        let place = (topic, partition);
        self.fetch(Some(place));
        let Some(started) = self.started.get_mut(&place) else { return Ok(0) };
        let before = batch.records.len();
        let room = records_max.min(self.batch_max);
        let shared = self.cluster.lock();
        if let Some(found) = shared.partitions.get(&place) {
            let push = |stored: &std::sync::Arc<Stored>| batch.records.push_back(std::sync::Arc::clone(stored));
            started.position = found.read(started.position, started.end, room, push);
        }
        Ok(batch.records.len() - before)
    }

    fn is_at_end(&self, topic: Topic, partition: u32) -> bool {
        let started = self.started.get(&(topic, partition));
        started.is_some_and(|started| started.answered.is_some() && started.position >= started.end)
    }

    fn answered(&self, topic: u16, partition: u32) -> Option<u64> {
        self.started.get(&(Topic::Input(topic), partition))?.answered
    }

    fn is_silent(&self, topic: u16) -> bool {
        self.cluster.lock().silent.contains(&topic)
    }

    fn start(&mut self, inputs: &[InputOffset]) -> Result<(), Failure> {
        for input in inputs {
            let started = Started { position: input.offset, ..Started::default() };
            self.started.insert((Topic::Input(input.topic), input.partition), started);
        }
        Ok(())
    }

    fn start_control(&mut self, offset: i64) -> Result<(), Failure> {
        let started = Started { position: offset, ..Started::default() };
        self.started.insert((Topic::Own(Own::Control), 0), started);
        Ok(())
    }

    fn pause(&mut self, shards: &[u32]) {
        self.stop_fetching(shards);
    }

    fn release(&mut self, shards: &[u32]) {
        self.pass(Point::Release);
        self.stop_fetching(shards);
        self.cluster.lock().released(self.client, shards);
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.writer = None;
        self.sequences.clear();
        let identity = self.cluster.lock().clients[self.client].identity;
        let epoch = self.ask(Point::Fence, &Request::Init { identity })?;
        self.writer = Some(Writer { identity, epoch });
        Ok(())
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let Some(writer) = self.writer.take() else {
            return Err(Failure::Rebuild(format!("`{}` has no producer", self.transactional_id)));
        };
        self.send(writer, transaction)?;
        self.writer = Some(writer);
        Ok(())
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        self.reach(Point::Committed, "the group's offsets")?;
        while self.cluster.lock().has_pending(shards) {
            if !self.wait(RETRY_MS) {
                return Err(Failure::Rebuild("offsets of the group are in a transaction that does not end".into()));
            }
        }
        let shared = self.cluster.lock();
        let of_shards = shared.committed.iter().filter(|((_, partition), _)| shards.contains(partition));
        Ok(of_shards.map(|(&(topic, partition), &offset)| InputOffset { topic, partition, offset }).collect())
    }

    fn first_offset(&mut self, topic: u16, partition: u32, start: StartAt) -> Result<i64, Failure> {
        let shared = self.cluster.lock();
        let place = (Topic::Input(topic), partition);
        let end = shared.end(place);
        Ok(match start {
            StartAt::Earliest => 0,
            StartAt::Latest => end,
            StartAt::Time(time) => {
                let found = shared.partitions.get(&place);
                let at = found.and_then(|found| found.committed().find(|stored| stored.timestamp >= Some(time)));
                at.map_or(end, |stored| stored.offset)
            }
        })
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<MemoryReader<S>, Failure> {
        self.reach(Point::Read, "the ends of a partition")?;
        let place = (topic, partition);
        let end = self.cluster.lock().end(place);
        let (cluster, client, stops) = (self.cluster.clone(), self.client, self.stops.clone());
        Ok(MemoryReader { cluster, client, stops, place, position: from.min(end), end })
    }
}
