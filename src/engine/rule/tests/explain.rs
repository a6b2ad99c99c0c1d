//! Which values follow, why, and what comes next, in small cases worked out by hand.

use super::super::{Decision, ForecastScratch, IN, OUT, TargetChange, Truths, Value};
use super::{START, World, purchase, rules};
use crate::engine::event::{AttributeValue, DAY, EventType, HOUR, Millis, NEVER};
use crate::engine::profile::HeldValue;

/// The file of the documentation, with hysteresis, dwell and references.
const FILE: &str = r#"
include = ["revenue", "orders", "avg_order_value", "plan", "signed_up", "cart_open", "top_category", "segment('life')"]
[attributes]
plan = "text"
signed_up = "time"
[segmentation.life]
min_dwell = "2d"
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "new", when = "orders = 1 AND recency_days <= 30" },
  { name = "active", when = "recency_days <= 60" },
  { name = "dormant" },
]
[audience.big]
when = "revenue >= 100"
exit = "revenue_30d < 50"
min_dwell = { in = "0s", out = "7d" }
[audience.care]
when = "segment('life') = 'dormant' AND audience('big')"
"#;

/// Values of big, care and life, all held since START.
fn held(big: u16, care: u16, life: u16, dwells: bool) -> Vec<HeldValue> {
    [big, care, life].map(|value| HeldValue::new(value, START, dwells)).to_vec()
}

fn decide(world: &World, held: &[HeldValue], now: Millis, obey_dwell: bool) -> (Truths, Vec<Decision>) {
    let (truths, mut decided) = (world.rules.truths(), Vec::new());
    world.rules.read_truths(world.rules.customer_comparisons(), &world.customer(), now, &truths);
    world.rules.decide(&truths, &world.customer(), held, now, obey_dwell, &mut decided);
    (truths, decided)
}

fn values(decided: &[Decision]) -> Vec<u16> {
    decided.iter().map(|decided| decided.value).collect()
}

fn buyer(amounts: &[i64]) -> World {
    let mut world = World::new(rules(FILE));
    for amount in amounts {
        world.apply(&purchase(START, *amount));
    }
    world
}

#[test]
fn targets_stand_in_byte_order_of_their_names() {
    let world = buyer(&[]);
    let names: Vec<_> = world.rules.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["big", "care", "life"]);
    assert_eq!(world.rules.targets[2].value_name(3), "dormant");
    assert_eq!([OUT, IN].map(|value| world.rules.targets[0].value_name(value).to_string()), ["out", "in"]);
    assert_eq!(world.rules.version, "e9e3cc2912208942");
}

#[test]
fn the_first_segment_that_matches_wins_and_audiences_hold_until_exit() {
    let world = buyer(&[12_000]);
    let new = held(OUT, OUT, HeldValue::NULL, false);
    assert_eq!(values(&decide(&world, &new, START, true).1), [IN, OUT, 1]);
    // 30 days later nothing of the revenue is in the window: `exit` holds, so no customer enters, and one who is in
    // leaves.
    let later = START + 30 * DAY;
    for big in [OUT, IN] {
        assert_eq!(values(&decide(&world, &held(big, OUT, 1, false), later, true).1), [OUT, OUT, 1]);
    }
    let dormant = START + 60 * DAY + 1;
    assert_eq!(values(&decide(&world, &held(OUT, OUT, 1, false), dormant, true).1), [OUT, OUT, 3]);
    // Between `when` and `exit` both values stay.
    let world = buyer(&[6_000]);
    for big in [OUT, IN] {
        assert_eq!(decide(&world, &held(big, OUT, 1, false), START, true).1[0].value, big);
    }
}

#[test]
fn a_dwell_holds_values_that_came_from_another() {
    let world = buyer(&[12_000]);
    let until = START + 2 * DAY;
    let of_life = |held: &[HeldValue], now, obey| decide(&world, held, now, obey).1[2];
    assert_eq!(of_life(&held(IN, OUT, 0, true), until - 1, true), Decision { value: 0, waits_until: until });
    assert_eq!(of_life(&held(IN, OUT, 0, true), until, true), Decision { value: 1, waits_until: NEVER });
    assert_eq!(of_life(&held(IN, OUT, 0, false), START, true), Decision { value: 1, waits_until: NEVER });
    assert_eq!(of_life(&held(IN, OUT, 0, true), START, false), Decision { value: 1, waits_until: NEVER });
    assert_eq!(of_life(&held(IN, OUT, 1, true), START, true), Decision { value: 1, waits_until: NEVER });
    // Only `out` is held.
    assert_eq!(decide(&world, &held(OUT, OUT, 1, true), START, true).1[0].waits_until, START + 7 * DAY);
    assert_eq!(decide(&buyer(&[1]), &held(IN, OUT, 1, true), START, true).1[0].value, OUT);
}

/// The reasons of a change, one per line.
fn reasons(
    world: &World,
    target: usize,
    before: (&World, Millis),
    held: &[HeldValue],
    now: Millis,
    by_time: bool,
) -> String {
    let truths = world.rules.truths();
    world.rules.read_truths(world.rules.customer_comparisons(), &before.0.customer(), before.1, &truths);
    world.rules.read_target_truths(held, &truths);
    let (after, decided) = decide(world, held, now, true);
    let (from, to) = (held[target].value, decided[target].value);
    let customers = (before.0.customer(), world.customer());
    let before = world.rules.reading(&customers.0, before.1, &truths);
    let after = world.rules.reading(&customers.1, now, &after);
    let change = TargetChange { target, from, to, by_time, before, after, held, decided: &decided };
    let mut reasons = String::new();
    world.rules.for_each_reason(&change, |text, value, was, now| {
        reasons += &format!("{text}: {value:?}, {was:?} -> {now:?}\n");
    });
    reasons
}

#[test]
fn reasons_are_those_of_both_values_in_order_of_the_file() {
    let (nothing, one, two) = (buyer(&[]), buyer(&[12_000]), buyer(&[12_000, 100]));
    let first = held(OUT, OUT, HeldValue::NULL, false);
    assert_eq!(
        reasons(&one, 2, (&nothing, START), &first, START, false),
        "orders = 1: Integer(1), False -> True\nrecency_days <= 30: Double(0.0), Null -> True\n"
    );
    assert_eq!(
        reasons(&one, 2, (&nothing, START), &held(OUT, OUT, 0, false), START, false),
        "orders = 0: Integer(1), True -> False\norders = 1: Integer(1), False -> True\nrecency_days <= 30: Double(0.0), Null -> True\n"
    );
    assert_eq!(
        reasons(&two, 2, (&one, START), &held(OUT, OUT, 1, false), START, false),
        "orders = 1: Integer(2), True -> False\n"
    );
    assert_eq!(
        reasons(&one, 0, (&nothing, START), &first, START, false),
        "revenue >= 100: Money(12000, 2), False -> True\nrevenue_30d < 50: Money(12000, 2), True -> False\n"
    );
    let dormant = START + 60 * DAY + 1;
    assert_eq!(
        reasons(&two, 2, (&two, dormant - 1), &held(OUT, OUT, 2, false), dormant, true),
        "recency_days <= 60: Double(60.00000001157407), True -> False\n"
    );
}

#[test]
fn references_are_reasons_with_the_values_before_and_after() {
    let file = "[segmentation.life]\nsegments = [{ name = \"none\", when = \"orders = 0\" }, { name = \"some\" }]\n\
                [audience.x]\nwhen = \"segment('life') IN ('some') OR segment('life') IS NULL\"\n";
    let (nothing, mut world) = (World::new(rules(file)), World::new(rules(file)));
    world.apply(&purchase(START, 100));
    let held = [HeldValue::new(0, START, false), HeldValue::new(OUT, START, false)];
    assert_eq!(
        reasons(&world, 1, (&nothing, START), &held, START, false),
        "segment('life') IN ('some'): Text(\"some\"), False -> True\n"
    );
    let first = [HeldValue::NONE, HeldValue::new(OUT, START, false)];
    assert_eq!(
        reasons(&world, 1, (&nothing, START), &first, START, false),
        "segment('life') IN ('some'): Text(\"some\"), Null -> True\nsegment('life') IS NULL: Text(\"some\"), True -> False\n"
    );
}

#[test]
fn an_expired_dwell_is_a_reason_when_time_ended_it() {
    let world = buyer(&[12_000]);
    let end = START + 2 * DAY;
    let dwell = "min_dwell: Integer(172800000), False -> True\n";
    let found = |held: Vec<HeldValue>, now, by_time| reasons(&world, 2, (&world, now - 1), &held, now, by_time);
    assert_eq!(found(held(IN, OUT, 0, true), end, true), dwell);
    assert_eq!(found(held(IN, OUT, 0, true), end, false), "");
    assert_eq!(found(held(IN, OUT, 0, true), end + 1, true), "");
    assert_eq!(found(held(IN, OUT, 0, false), end, true), "");
}

#[test]
fn at_most_eight_reasons_are_given() {
    let many: Vec<_> = (1..=12).map(|n| format!("orders_{n}h = 1")).collect();
    let file = format!("[audience.a]\nwhen = \"{} OR orders_1h = 1\"\n", many.join(" OR "));
    let (nothing, mut world) = (World::new(rules(&file)), World::new(rules(&file)));
    world.apply(&purchase(START, 100));
    let held = [HeldValue::new(OUT, START, false)];
    let found = reasons(&world, 0, (&nothing, START), &held, START, false);
    assert_eq!(found.lines().count(), 8);
    assert!(found.starts_with("orders_1h = 1: Integer(1), False -> True\norders_2h"), "{found}");
}

#[test]
fn included_features_have_their_own_types() {
    let mut world = buyer(&[12_000, 5]);
    world.attribute("plan", AttributeValue::Text("pro".into()));
    world.attribute("signed_up", AttributeValue::Time(START - 5));
    let mut found = Vec::new();
    world.rules.for_each_included(&world.customer(), &held(IN, OUT, 1, false), START, |name, value| {
        found.push((name.to_string(), format!("{value:?}")));
    });
    let expected = [
        ("revenue", format!("{:?}", Value::Money(12_005, 2))),
        ("orders", "Integer(2)".into()),
        ("avg_order_value", "Double(60.025)".into()),
        ("plan", "Text(\"pro\")".into()),
        ("signed_up", format!("{:?}", Value::Time(START - 5))),
        ("cart_open", "Boolean(false)".into()),
        ("top_category", "Null".into()),
        ("segment('life')", "Text(\"new\")".into()),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name.to_string(), value)));
}

fn forecast(world: &World, target: usize, held: &[HeldValue], now: Millis) -> Option<(u16, Millis)> {
    world.rules.forecast(target, &world.customer(), held, now, &mut ForecastScratch::default())
}

#[test]
fn forecasts_follow_flips_dwell_and_references() {
    let world = buyer(&[12_000]);
    let now = held(IN, OUT, 1, true);
    assert_eq!(forecast(&world, 2, &now, START), Some((2, START + 30 * DAY + 1)));
    assert_eq!(forecast(&world, 0, &now, START), Some((OUT, START + 30 * DAY)));
    assert_eq!(forecast(&world, 1, &now, START), None);
    assert_eq!(forecast(&buyer(&[]), 2, &held(OUT, OUT, 0, false), START), None);
    // A dwell that began late holds the segment beyond the flip.
    let later = START + 30 * DAY;
    let held = vec![now[0], now[1], HeldValue::new(1, later, true)];
    assert_eq!(forecast(&world, 2, &held, later), Some((2, later + 2 * DAY)));
}

#[test]
fn a_forecast_tries_64_instants() {
    // Each order leaves the window an hour after the one before: a flip each.
    let flipping = |orders: i64| {
        let conditions: Vec<_> = (1..orders).map(|n| format!("orders_400d > {n}")).collect();
        let file = format!("[audience.a]\nwhen = \"({}) IS NULL OR orders_400d = 0\"\n", conditions.join(" AND "));
        let mut world = World::new(rules(&file));
        for n in 0..orders {
            world.apply(&purchase(START - 399 * DAY + n * HOUR, 100));
        }
        (forecast(&world, 0, &[HeldValue::new(OUT, START, false)], START), START + DAY + (orders - 1) * HOUR)
    };
    let (found, last) = flipping(64);
    assert_eq!(found, Some((IN, last)));
    assert_eq!(flipping(65).0, None);
}

#[test]
fn only_events_that_can_change_a_comparison_affect_it() {
    let file = "[attributes]\nplan = \"text\"\n[events]\nsurvey = \"other\"\napp = \"browsing\"\n[audience.a]\nwhen = \"orders > 1 OR views_7d > 2 OR plan = 'x' OR since('survey') < 3 OR sessions_1d > 1 OR cart_open OR tenure_days > 1 OR bucket('a', 2) = 1 OR inactive_days > 1\"\n[audience.b]\nwhen = \"audience('a')\"\n";
    let rules = rules(file);
    let affected = |event_type: EventType| {
        let texts = rules
            .affected_comparisons(event_type)
            .iter()
            .map(|index| rules.text(*index).split(' ').next().unwrap_or(""));
        texts.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(affected(EventType::PURCHASE), "orders cart_open tenure_days inactive_days");
    assert_eq!(affected(EventType::REFUND), "orders cart_open tenure_days");
    assert_eq!(affected(EventType::CANCEL), "orders cart_open tenure_days");
    assert_eq!(affected(EventType::VIEW), "views_7d sessions_1d tenure_days inactive_days");
    assert_eq!(affected(EventType::CHECKOUT), "sessions_1d cart_open tenure_days inactive_days");
    assert_eq!(affected(EventType::PROFILE), "plan tenure_days");
    assert_eq!(affected(EventType::OPEN), "tenure_days");
    assert_eq!(affected(EventType::declared(0)), "since('survey') tenure_days");
    assert_eq!(affected(EventType::declared(1)), "sessions_1d tenure_days inactive_days");
    assert_eq!(rules.customer_comparisons().len(), 9);
}

#[test]
fn the_top_text_is_of_most_orders_then_of_the_latest_then_the_smallest() {
    let file = "include = [\"top_category\"]\n[audience.a]\nwhen = \"orders > 1\"\n";
    let top = |orders: &[&[&'static str]]| {
        let mut world = World::new(rules(file));
        for (categories, number) in orders.iter().zip(0..) {
            let mut order = purchase(START + number / 2, 100);
            categories.iter().for_each(|category| order.categories.add((*category).into()));
            world.apply(&order);
        }
        let mut found = String::new();
        world.rules.for_each_included(&world.customer(), &[HeldValue::NONE], world.clock, |_, value| {
            found = format!("{value:?}")
        });
        found
    };
    assert_eq!(top(&[]), "Null");
    assert_eq!(top(&[&[]]), "Null");
    assert_eq!(top(&[&["a"], &["b"], &["a"], &["c"]]), "Text(\"a\")");
    assert_eq!(top(&[&["b"], &["a"]]), "Text(\"a\")", "of one time, in whatever order they arrived");
    assert_eq!(top(&[&["a"], &["c"], &["b"]]), "Text(\"b\")");
    assert_eq!(top(&[&["b", "a"], &["a", "b"]]), "Text(\"a\")");
    assert_eq!(top(&[&["b"], &["c"], &["c", "b", "a"]]), "Text(\"b\")");
}
