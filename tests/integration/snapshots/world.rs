//! A shard of a random shop, and its snapshots.

use shoal::engine::decode::Source;
use shoal::engine::effects::Effects;
use shoal::engine::event::{Millis, Record};
use shoal::engine::rule::{self, Rules};
use shoal::engine::shard::{Bootstrap, Input, Settings, Shard};
use shoal::random::Random;
use shoal::store::{LoadedSnapshot, Piece, ShardPosition, SnapshotHead, SnapshotOutcome, SnapshotStore};
use std::sync::Arc;

pub const SHARD: u32 = 3;
const DAY: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z.
const OPENING: Millis = 1_735_689_600_000;

/// The event settings, the same for all rules.
const MEANING: &str = r#"
[limits]
max_customers = 400
[time]
clock = "events"
[dedup]
horizon = "72h"
max_ids = 900
[currency]
rates = { USD = "0.9" }
[attributes]
country = "text"
age = "number"
vip = "boolean"
signed_up = "time"
tags = "texts"
[events]
wishlist_add = "activity"
"#;

const RULES: [&str; 2] = [
    r#"
[segmentation.lifecycle]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "new", when = "orders = 1 AND recency_days <= 30" },
  { name = "active", when = "recency_days <= 60" },
  { name = "dormant" },
]
min_dwell = "1h"
[audience.browsing]
when = "views_7d >= 3"
[count.big]
of = "purchase"
where = "amount >= 50"
[audience.big_spender]
when = "events('big', 30) >= 2"
"#,
    r#"
[segmentation.lifecycle]
segments = [ { name = "buyer", when = "orders > 0" }, { name = "prospect" } ]
[audience.cart_abandoner]
when = "cart_open AND cart_idle_minutes >= 30"
[count.shoe_view]
of = "view"
where = "has_category('shoes')"
[count.big]
of = "purchase"
where = "amount >= 50"
[audience.shoes]
when = "events('shoe_view', 7) >= 1 OR events('big', 7) >= 1"
"#,
];

/// A shard, and its position for the next snapshot.
pub struct World {
    pub random: Random,
    pub shard: Shard,
    customers: u64,
    now: Millis,
    offset: i64,
    transaction: u64,
    /// All rules that were put into force, in this order.
    rules: Vec<Arc<Rules>>,
}

pub fn settings() -> Settings {
    Settings { source: Source::File, publish_from: Some(OPENING + DAY), bootstrap: Bootstrap::Membership }
}

/// Rules that follow `previous`, as in the service.
fn rules(which: usize, previous: Option<&Rules>) -> Arc<Rules> {
    rule::read_following(&format!("{MEANING}{}", RULES[which]), previous.map(|rules| &rules.event_settings))
        .unwrap_or_else(|mistakes| panic!("the rules of the shop: {mistakes:?}"))
}

impl World {
    pub fn new(seed: u64, customers: u64) -> Self {
        let first = rules(0, None);
        Self {
            random: Random(seed),
            shard: Shard::new(settings(), Arc::clone(&first)),
            customers,
            now: OPENING,
            offset: 0,
            transaction: 0,
            rules: vec![first],
        }
    }

    /// Applies this number of events, and what follows from them.
    pub fn happen(&mut self, events: usize) {
        let mut effects = Effects::default();
        for _ in 0..events {
            self.now += self.random.below(2 * 3_600_000) as i64;
            let line = self.event();
            let record = Record {
                topic: 0,
                partition: 0,
                offset: self.offset,
                arrival: None,
                key: None,
                value: line.as_bytes(),
            };
            self.offset += 1;
            self.shard.apply(Input::Records { now: self.now, records: &[record] }, &mut effects);
            assert!(effects.rejected.is_empty(), "{line}: {:?}", effects.rejected);
            effects.clear();
            while self.shard.has_due() {
                self.shard.apply(Input::Fire(16), &mut effects);
            }
            if self.shard.sweeping() && self.random.chance(30) {
                let customers = 1 + self.random.below(20) as u32;
                self.shard.apply(Input::Sweep { now: self.now, customers }, &mut effects);
            }
        }
    }

    /// Puts new rules into force; a sweep evaluates the customers in slices.
    pub fn change_rules(&mut self) {
        while self.shard.sweeping() {
            self.shard.apply(Input::Sweep { now: self.now, customers: 1_000 }, &mut Effects::default());
        }
        let next = rules(self.rules.len() % RULES.len(), self.rules.last().map(|rules| &**rules));
        self.rules.push(Arc::clone(&next));
        self.shard.apply(Input::Rules(next), &mut Effects::default());
    }

    fn event(&mut self) -> String {
        let random = &mut self.random;
        let customer = random.below(self.customers);
        let long = if customer.is_multiple_of(5) { "-whose-id-does-not-fit-into-a-row" } else { "" };
        let late = if random.one_in(10) { random.below(40 * DAY as u64) as i64 } else { 0 };
        let time = (self.now - late).max(OPENING);
        let category =
            |random: &mut Random| ["shoes", "bags", "hats", "garden \\\"tools\\\"", "böoks"][random.below(5) as usize];
        let order = |random: &mut Random| format!("o-{}", random.below(400));
        let rest = match random.below(100) {
            0..30 => format!(
                r#""type":"purchase","order_id":"{}","amount":"{}.50","category":"{}","items":[{{"category":"{}"}}],"channel":"{}""#,
                order(random),
                random.below(90),
                category(random),
                category(random),
                random.pick(&["web", "shop", "phone"]),
            ),
            30..34 => format!(r#""type":"refund","order_id":"{}","amount":"3.10""#, order(random)),
            34..36 => format!(r#""type":"refund","order_id":"{}","amount":"3.10","currency":"USD""#, order(random)),
            36..38 => r#""type":"refund","amount":"1""#.to_owned(),
            38..40 => format!(r#""type":"cancel","order_id":"{}""#, order(random)),
            40..43 => {
                format!(r#""type":"amend","order_id":"{}","amount":{}"#, order(random), random.below(90))
            }
            43..65 => format!(r#""type":"view","category":"{}""#, category(random)),
            65..75 => format!(r#""type":"cart_add","cart_total":"{}""#, random.below(3) * 20),
            75..79 => format!(r#""type":"cart_remove","cart_total":"{}""#, random.below(2) * 10),
            79..83 => r#""type":"wishlist_add""#.to_owned(),
            83..86 => r#""type":"open""#.to_owned(),
            86..96 => format!(
                r#""type":"profile","attributes":{{"country":{},"age":{},"vip":{},"signed_up":"2024-05-01T00:00:00Z","tags":{}}}"#,
                random.pick(&["\"DE\"", "\"FR\"", "null"]),
                random.pick(&["31.5", "-0.0", "null"]),
                random.pick(&["true", "false", "null"]),
                random.pick(&["[]", "null", "\"gold\"", r#"["gold","\u00d6\"l"]"#, r#"["silver","gold"]"#]),
            ),
            96..98 => r#""type":"erase""#.to_owned(),
            98 => r#""type":"opt_out""#.to_owned(),
            _ => r#""type":"opt_in""#.to_owned(),
        };
        let event_id = format!("e-{}", random.below(5_000));
        format!(r#"{{"customer_id":"c-{customer}{long}","time":{time},"event_id":"{event_id}",{rest}}}"#)
    }

    fn position(&self) -> ShardPosition {
        ShardPosition {
            transaction: self.transaction,
            outputs: self.transaction * 7,
            positions: vec![self.offset, 0],
            inputs: vec!["orders".to_owned(), "browsing".to_owned()],
            partitions: 4,
            control_next: self.rules.len() as i64,
            rules_at: Some(self.rules.len() as i64 - 1),
            old_rules_at: self.rules.len().checked_sub(2).map(|before| before as i64),
            rules_version: self.shard.rules().version.clone(),
            rules: Some(self.shard.rules().bytes.clone()),
            now: self.now,
            ticked: i64::MIN,
            last_arrival: None,
            journal_from: 12,
        }
    }

    /// Stores a capture, with events between its pieces. Returns the shard's fingerprint at its beginning, and the
    /// outcome. The store must have room for all pieces.
    pub fn snapshot(&mut self, store: &mut impl SnapshotStore, events_between: usize) -> (u64, SnapshotOutcome) {
        let (fingerprint, head) = self.begin();
        let mut give = |piece: Piece| store.offer(SHARD, piece).expect("room for a piece");
        give(Piece::Begin(Box::new(head)));
        while let Some(part) = self.shard.capture(1 + self.random.below(40) as usize) {
            give(Piece::Part(part));
            let events = self.random.below(events_between as u64 + 1) as usize;
            self.happen(events);
        }
        give(Piece::End);
        let outcome = store.next_outcome().expect("an outcome");
        assert!(store.next_outcome().is_none());
        self.shard.end_capture(outcome.result.is_ok());
        if outcome.needs_full {
            self.shard.forget_stored();
        }
        (fingerprint, outcome)
    }

    /// Begins a capture. Returns the shard's fingerprint and the head.
    pub fn begin(&mut self) -> (u64, SnapshotHead) {
        self.transaction += 1;
        let fingerprint = self.shard.fingerprint();
        let state = self.shard.begin_capture();
        (fingerprint, SnapshotHead { position: self.position(), state })
    }

    /// Stores a snapshot, which must succeed.
    pub fn store(&mut self, store: &mut impl SnapshotStore) -> u64 {
        let (fingerprint, outcome) = self.snapshot(store, 0);
        outcome.result.expect("a snapshot");
        fingerprint
    }

    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// Restores a shard from a loaded snapshot.
    pub fn restore(&self, loaded: LoadedSnapshot) -> Shard {
        let position = &loaded.head.position;
        let at = |offset: Option<i64>| offset.map(|offset| Arc::clone(&self.rules[offset as usize]));
        let rules = at(position.rules_at).expect("rules");
        assert_eq!(position.rules.as_ref(), Some(&rules.bytes), "the rules at this offset of the control topic");
        Shard::restore(settings(), rules, at(position.old_rules_at), &loaded.head.state, loaded.restored)
    }

    /// Replaces the shard by the loaded one; only allowed right after a snapshot.
    pub fn resume(&mut self, loaded: LoadedSnapshot) {
        assert_eq!(loaded.head.position, self.position());
        self.shard = self.restore(loaded);
    }
}

/// The newest snapshot.
pub fn load(store: &mut impl SnapshotStore) -> Option<LoadedSnapshot> {
    store.load(SHARD, u64::MAX, &|| false).expect("the store answers")
}
