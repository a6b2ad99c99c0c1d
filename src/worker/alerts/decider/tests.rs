//! Decisions compared with the decisions of an oracle that knows all counts, over reports that come late, in lumps, and
//! through starts of the decider in between.

use super::*;
use crate::engine::rule::read;
use crate::random::Random;
use crate::worker::transaction::census::{FlowCount, MinuteFlows};

const SHARDS: u32 = 3;
const BEGIN: i64 = 29_000_000;
const MARKS: i64 = 400;

const RULES: &str = r#"
[segmentation.life]
segments = [{ name = "loyal", when = "orders > 3" }, { name = "at_risk", when = "orders > 1" }, { name = "gone" }]
ladder = ["gone", "at_risk", "loyal"]
[alert.at_once]
segmentation = "life"
from = "loyal"
to = "at_risk"
above = 6
window = "1m"
[alert.down]
segmentation = "life"
direction = "down"
above = 40
window = "10m"
for = "4m"
causes = ["time", "late"]
customer_ids = 4
[alert.gone]
segmentation = "life"
to = "gone"
above = 100
window = "1h"
for = "1m"
"#;

const WAYS: [(Option<&str>, &str); 4] =
    [(Some("loyal"), "at_risk"), (Some("at_risk"), "gone"), (Some("gone"), "loyal"), (None, "gone")];

/// Changes of one minute in one shard: way, cause, count.
type Changes = Vec<(usize, usize, u64)>;

fn in_force_now(rules: &Rules) -> BTreeMap<String, String> {
    rules.alerts.iter().map(|alert| (alert.name.clone(), definition_text(alert.definition))).collect()
}

fn minutes_record(rules: &Rules, shard: u32, mark: i64, minutes: &[(i64, Changes)]) -> CensusRecord {
    let flow = |&(way, cause, count): &(usize, usize, u64)| FlowCount {
        segmentation: "life".into(),
        from: WAYS[way].0.map(str::to_owned),
        to: WAYS[way].1.to_owned(),
        causes: [(CAUSES[cause].to_owned(), count)].into(),
        customers: (0..count).map(|number| format!("c-{way}-{number}")).collect(),
    };
    let minute =
        |(number, changes): &(i64, Changes)| MinuteFlows { minute: *number, flows: changes.iter().map(flow).collect() };
    CensusRecord::Minutes(MinutesRecord {
        schema: 1,
        shard,
        mark,
        at: moment_of(mark),
        rules_version: rules.version.clone(),
        alerts: in_force_now(rules),
        minutes: minutes.iter().map(minute).collect(),
        uncounted: 0,
    })
}

/// Whether an alert counts a way by a cause.
type Selects = fn(usize, usize) -> bool;

/// The expected record of each alert: its name, state, mark and count.
fn expected(changes: &[BTreeMap<i64, Changes>]) -> Vec<(String, AlertState, i64, u64)> {
    let selected: [(&str, Selects, i64, i64, u64); 3] = [
        ("at_once", |way, _| way == 0, 1, 0, 6),
        ("down", |way, cause| way < 2 && cause > 0, 10, 4, 40),
        ("gone", |way, _| way == 1 || way == 3, 60, 1, 100),
    ];
    let mut all = Vec::new();
    for (name, is_selected, window, wait, above) in selected {
        let count = |mark: i64| -> u64 {
            let of = |minutes: &BTreeMap<i64, Changes>| -> u64 {
                let changes = minutes.range(mark - window..mark).flat_map(|(_, changes)| changes);
                changes.filter(|(way, cause, _)| is_selected(*way, *cause)).map(|(.., count)| count).sum()
            };
            changes.iter().map(of).sum()
        };
        let mut is_firing = false;
        for mark in BEGIN..=BEGIN + MARKS {
            let fires = (mark - wait..=mark).all(|mark| count(mark) > above);
            if fires != is_firing {
                let state = if fires { AlertState::Firing } else { AlertState::Resolved };
                all.push((name.to_owned(), state, mark, count(mark)));
                is_firing = fires;
            }
        }
    }
    all.sort_by(|one, other| (one.2, &one.0).cmp(&(other.2, &other.0)));
    all
}

#[test]
fn decisions_are_those_of_who_knows_everything_however_often_it_begins_again() {
    let rules = read(RULES).unwrap();
    for seed in 1..=30 {
        let mut random = Random(seed);
        let mut changes = vec![BTreeMap::new(); SHARDS as usize];
        for minute in BEGIN..BEGIN + MARKS {
            // Calm and busy times.
            let most = if (minute / 30) % 3 == 0 { 9 } else { 2 };
            for minutes in &mut changes {
                let count = random.below(4);
                let draw = |_| (random.below(4) as usize, random.below(3) as usize, random.below(most));
                minutes.insert(minute, (0..count).map(draw).collect::<Changes>());
            }
        }
        let expected = expected(&changes);
        assert!(expected.len() > 20, "seed {seed}: {} decisions", expected.len());

        let mut reported = Vec::new();
        let mut marks = [BEGIN; SHARDS as usize];
        let mut last = BTreeMap::new();
        let mut decider = Decider::new(&rules, SHARDS, &last);
        let mut found = Vec::new();
        while marks.iter().any(|mark| *mark < BEGIN + MARKS) {
            let shard = random.below(u64::from(SHARDS)) as usize;
            let lump = if random.one_in(10) { random.between(1, 20) } else { 1 };
            let to = (marks[shard] + lump).min(BEGIN + MARKS);
            // Nobody is so far behind that the others' marks are too old when it comes.
            if to == marks[shard] || to > marks.iter().min().unwrap() + 40 {
                continue;
            }
            let minutes: Vec<_> =
                changes[shard].range(marks[shard]..to).map(|(minute, changes)| (*minute, changes.clone())).collect();
            marks[shard] = to;
            let report = minutes_record(&rules, shard as u32, to, &minutes);
            decider.add(&report);
            reported.push(report);
            if random.one_in(15) {
                decider = Decider::new(&rules, SHARDS, &last);
                reported.iter().for_each(|record| decider.add(record));
            }
            if random.one_in(2) {
                for record in decider.decide() {
                    last.insert(record.alert.clone(), record.clone());
                    found.push((record.alert, record.state, record.mark, record.count));
                }
            }
        }
        found
            .extend(decider.decide().into_iter().map(|record| (record.alert, record.state, record.mark, record.count)));
        found.sort_by(|one, other| (one.2, &one.0).cmp(&(other.2, &other.0)));
        assert_eq!(found, expected, "seed {seed}");
    }
}

/// Minutes with a number of changes each of the first way, reported by all shards.
fn steady(decider: &mut Decider, rules: &Rules, from: i64, to: i64, count: u64) -> Vec<AlertRecord> {
    let mut records = Vec::new();
    for mark in from + 1..=to {
        for shard in 0..SHARDS {
            let changes = if shard == 0 { vec![(0, 1, count)] } else { Vec::new() };
            decider.add(&minutes_record(rules, shard, mark, &[(mark - 1, changes)]));
        }
        records.extend(decider.decide());
    }
    records
}

#[test]
fn a_record_says_what_was_counted_and_what_is_usual() {
    let rules = read(RULES).unwrap();
    let mut decider = Decider::new(&rules, SHARDS, &BTreeMap::new());
    assert_eq!(steady(&mut decider, &rules, BEGIN, BEGIN + 60, 1), []);
    let hour = (BEGIN + 60).div_euclid(60);
    let hours = |decider: &mut Decider, hours: std::ops::Range<i64>| {
        for number in hours {
            for shard in 0..SHARDS {
                let flow = FlowCount {
                    segmentation: "life".into(),
                    from: Some("loyal".into()),
                    to: "at_risk".into(),
                    causes: [("time".to_owned(), 20)].into(),
                    customers: Vec::new(),
                };
                let alerts = in_force_now(&rules);
                decider.add(&CensusRecord::Hour(HourRecord {
                    schema: 1,
                    shard,
                    hour: number,
                    alerts,
                    flows: vec![flow],
                }));
            }
        }
    };
    // A day is not known yet.
    hours(&mut decider, hour - 23..hour);
    let fired = steady(&mut decider, &rules, BEGIN + 60, BEGIN + 61, 7);
    assert_eq!(fired.len(), 1, "{fired:?}");
    let record = &fired[0];
    assert_eq!((record.state, record.count, record.baseline), (AlertState::Firing, 7, None));
    assert_eq!(record.causes, by_name([0, 7, 0]));
    assert!(record.customers.is_empty() && record.since == record.at && record.window == "1m");
    assert_eq!(
        (record.from.as_deref(), record.to.as_deref(), record.direction.as_deref()),
        (Some("loyal"), Some("at_risk"), None)
    );
    hours(&mut decider, hour - 24..hour - 23);
    let down = steady(&mut decider, &rules, BEGIN + 61, BEGIN + 75, 7);
    let down = down.iter().find(|record| record.alert == "down").expect("above 40 in ten minutes, for four");
    assert_eq!(down.baseline, Some(10.0), "60 an hour");
    assert_eq!(down.customers, ["c-0-0", "c-0-1", "c-0-2", "c-0-3"]);
    assert_ne!(down.since, down.at);
}

#[test]
fn an_alert_that_is_another_begins_anew() {
    let rules = read(RULES).unwrap();
    let changed = read(&RULES.replace("above = 6\n", "above = 3\n")).unwrap();
    let mut decider = Decider::new(&changed, SHARDS, &BTreeMap::new());
    // Reported under the rules before.
    assert_eq!(steady(&mut decider, &rules, BEGIN, BEGIN + 20, 4), []);
    let fired = steady(&mut decider, &changed, BEGIN + 20, BEGIN + 25, 4);
    assert_eq!(
        fired.iter().map(|record| (record.alert.as_str(), record.mark)).collect::<Vec<_>>(),
        [("at_once", BEGIN + 21)]
    );
}

#[test]
fn what_can_only_be_decided_late_is_passed_over() {
    let rules = read(RULES).unwrap();
    let mut decider = Decider::new(&rules, SHARDS, &BTreeMap::new());
    for mark in BEGIN + 1..=BEGIN + 300 {
        let changes = if mark < BEGIN + 100 { vec![(0, 1, 9)] } else { Vec::new() };
        (0..2).for_each(|shard| decider.add(&minutes_record(&rules, shard, mark, &[(mark - 1, changes.clone())])));
        assert_eq!(decider.decide(), [], "a shard has reported nothing");
    }
    decider.add(&minutes_record(&rules, 2, BEGIN + 300, &[]));
    assert_eq!(decider.decide(), []);
    assert_eq!(decider.complete(), Some(BEGIN + 300));
}
