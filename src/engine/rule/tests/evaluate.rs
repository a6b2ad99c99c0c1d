//! What conditions mean: SQL's three-valued logic, exact numbers, durations as doubles.

use super::super::{Decision, IN, OUT, Truth};
use super::{START, World, event, purchase, rules};
use crate::engine::event::{AttributeValue, DAY, EventType, MINUTE, Millis};
use crate::engine::profile::HeldValue;

const ATTRIBUTES: &str = "[attributes]\ncountry = \"text\"\nplan = \"text\"\nage = \"number\"\nheight = \"number\"\nvip = \"boolean\"\nstaff = \"boolean\"\nsigned_up = \"time\"\n";

/// The truth of a condition, derived from an audience with it and one with its negation.
fn truth(condition: &str, prepare: impl Fn(&mut World), after: Millis) -> Truth {
    let quoted = |sql: &str| format!("{sql:?}");
    let file = format!(
        "{ATTRIBUTES}[audience.yes]\nwhen = {}\n[audience.no]\nwhen = {}\n",
        quoted(condition),
        quoted(&format!("NOT ({condition})"))
    );
    let mut world = World::new(rules(&file));
    prepare(&mut world);
    let now = world.clock + after;
    let truths = world.rules.truths();
    world.rules.read_truths(world.rules.customer_comparisons(), &world.customer(), now, &truths);
    let mut decided = Vec::new();
    let held = [HeldValue::new(OUT, START, false); 2];
    world.rules.decide(&truths, &world.customer(), &held, now, true, &mut decided);
    match decided[..] {
        [Decision { value: OUT, .. }, Decision { value: IN, .. }] => Truth::True,
        [Decision { value: IN, .. }, Decision { value: OUT, .. }] => Truth::False,
        [Decision { value: OUT, .. }, Decision { value: OUT, .. }] => Truth::Null,
        _ => panic!("{condition} is true and false: {decided:?}"),
    }
}

#[track_caller]
fn check(cases: &[(&str, Truth)], prepare: impl Fn(&mut World), after: Millis) {
    for (condition, expected) in cases {
        assert_eq!(truth(condition, &prepare, after), *expected, "{condition}");
    }
}

use Truth::{False, Null, True};

#[test]
fn connectives_follow_sqls_truth_tables() {
    let written =
        [("TRUE", True), ("vip", True), ("FALSE", False), ("staff", False), ("NULL", Null), ("age > 1", Null)];
    let prepare = |world: &mut World| {
        world.attribute("vip", AttributeValue::Boolean(true));
        world.attribute("staff", AttributeValue::Boolean(false));
    };
    for (left, left_truth) in written {
        check(&[(left, left_truth), (&format!("NOT {left}"), !left_truth)], prepare, 0);
        for (of, truth) in [("NULL", Null), ("TRUE", True), ("FALSE", False)] {
            let is = |condition: &str, negated: bool| {
                let asked: Truth = ((left_truth == truth) != negated).into();
                check(&[(condition, asked)], prepare, 0);
            };
            is(&format!("(NOT NOT {left}) IS {of}"), false);
            is(&format!("({left}) IS NOT {of}"), true);
        }
        for (right, right_truth) in written {
            check(&[(&format!("{left} AND {right}"), left_truth.and(right_truth))], prepare, 0);
            check(&[(&format!("{left} OR {right}"), left_truth.or(right_truth))], prepare, 0);
            let first = if left_truth == Null { right_truth } else { left_truth };
            let equal = match (left_truth, right_truth) {
                (Null, _) | (_, Null) => Null,
                (left, right) => (left == right).into(),
            };
            for (left, right) in [
                (format!("(NOT NOT {left})"), format!("({right})")),
                (format!("({left})"), format!("(NOT NOT {right})")),
            ] {
                check(&[(&format!("COALESCE({left}, {right})"), first)], prepare, 0);
                check(&[(&format!("{left} = {right}"), equal), (&format!("{left} <> {right}"), !equal)], prepare, 0);
                check(&[(&format!("COALESCE({left} = {right}, {left}, TRUE) IS NULL"), False)], prepare, 0);
            }
        }
    }
    assert_eq!([True.and(Null), False.and(Null), True.or(Null), False.or(Null)], [Null, False, True, Null]);
}

#[test]
fn comparisons_with_null_are_null() {
    check(
        &[
            ("orders = NULL", Null),
            ("plan = 'pro'", Null),
            ("plan <> 'pro'", Null),
            ("plan IN ('pro')", Null),
            ("plan NOT IN ('pro')", Null),
            ("plan LIKE '%'", Null),
            ("plan NOT LIKE '%'", Null),
            ("country LIKE NULL", Null),
            ("country IN ('DE', NULL)", True),
            ("country IN ('FR', NULL)", Null),
            ("country NOT IN ('FR', NULL)", Null),
            ("country NOT IN ('DE', NULL)", False),
            ("country NOT IN ('FR', 'IT')", True),
            ("country IN ('FR', plan)", Null),
            ("orders BETWEEN 1 AND NULL", Null),
            ("orders BETWEEN 3 AND NULL", False),
            ("orders NOT BETWEEN 3 AND NULL", True),
            ("orders BETWEEN NULL AND 1", False),
            ("age BETWEEN 1 AND 2", Null),
            ("age IS NULL", True),
            ("age IS NOT NULL", False),
            ("orders IS NULL", False),
            ("signed_up IS NULL", True),
            ("NULL IS NULL", True),
            ("age + 1 IS NULL", True),
            ("orders / 0 IS NULL", True),
            ("vip IS TRUE", False),
            ("vip IS NOT TRUE", True),
            ("vip IS FALSE", False),
            ("vip IS NOT FALSE", True),
            ("COALESCE(vip, TRUE)", True),
            ("COALESCE(plan, 'none') = 'none'", True),
            ("COALESCE(NULL, NULL) IS NULL", True),
            ("COALESCE(age, orders) = 2", True),
        ],
        |world| {
            world.attribute("country", AttributeValue::Text("DE".into()));
            world.apply(&purchase(START, 100));
            world.apply(&purchase(START, 250));
        },
        0,
    );
}

#[test]
fn numbers_compare_exactly() {
    check(
        &[
            ("orders = 2", True),
            ("orders = 2.0", True),
            ("orders > 2.00000000000000000", False),
            ("orders > 1.99999999999999999", True),
            ("orders < 2.00000000000000001", True),
            ("orders <= 2.5", True),
            ("2 <= orders", True),
            ("3 < orders", False),
            ("2 <> orders", False),
            ("orders != 1.5", True),
            ("orders = 2e0", True),
            ("orders = -2", False),
            ("orders > -0.5", True),
            ("-orders = -2", True),
            ("+orders = 2", True),
            ("orders BETWEEN 2 AND 2", True),
            ("orders BETWEEN 3 AND 1", False),
            ("orders NOT BETWEEN 3 AND 1", True),
            ("orders IN (1, 2.0, 3)", True),
            ("orders * 2 = 4", True),
            ("orders / 4 = 0.5", True),
            ("1 / orders = 0.5", True),
            ("orders + 1 - 1 = orders", True),
            ("orders > 1 + 0.5", True),
            ("orders > 1 / 0", Null),
            ("revenue = 3.50", True),
            ("revenue >= 3.505", False),
            ("revenue > 3.495", True),
            ("revenue < 3.51", True),
            ("revenue > orders", True),
            ("revenue * 2 = 7", True),
            ("revenue + 0.0 = 3.5", True),
            ("last_order_value = 2.50", True),
            ("avg_order_value = 1.75", True),
            ("last_order_value > avg_order_value", True),
            ("revenue > 999999999999999999", False),
            ("revenue > -999999999999999999", True),
            ("age = 0.1", True),
            ("age + 0.2 = 0.3", False),
            ("age < orders", True),
            ("height = 1.7", False),
        ],
        |world| {
            world.apply(&purchase(START, 100));
            world.apply(&purchase(START + 1, 250));
            world.attribute("age", AttributeValue::Number(0.1));
            world.attribute("height", AttributeValue::Number(1.700_000_000_000_000_2));
        },
        0,
    );
}

#[test]
fn text_compares_by_bytes() {
    check(
        &[
            ("country = 'DE'", True),
            ("COUNTRY = 'DE'", True),
            ("country = 'de'", False),
            ("country < 'DEU'", True),
            ("country > 'D'", True),
            ("country < 'ä'", True),
            ("country LIKE 'D_'", True),
            ("country LIKE 'd%'", False),
            ("country NOT LIKE '%E'", False),
            ("plan = 'it''s'", True),
            ("plan > country", True),
            ("vip = TRUE", True),
            ("vip > FALSE", True),
            ("country LIKE 'D!E' ESCAPE '!'", True),
            ("country LIKE 'D!_' ESCAPE '!'", False),
            ("country NOT LIKE 'D!%' ESCAPE '!'", True),
            ("country LIKE NULL ESCAPE '!'", Null),
            ("vip", True),
            ("NOT vip", False),
        ],
        |world| {
            world.attribute("country", AttributeValue::Text("DE".into()));
            world.attribute("plan", AttributeValue::Text("it's".into()));
            world.attribute("vip", AttributeValue::Boolean(true));
        },
        0,
    );
}

#[test]
fn durations_flip_at_the_millisecond() {
    let bought = |world: &mut World| {
        world.apply(&event(EventType::CART_ADD, START - 2 * DAY));
        world.apply(&purchase(START, 100));
        world.apply(&event(EventType::CART_ADD, START));
        world.apply(&event(EventType::CART_ADD, START + 1));
        world.attribute("signed_up", AttributeValue::Time(START + 10 * DAY));
        world.clock = START;
    };
    check(&[("recency_days <= 60", True), ("recency_days >= 60", False)], bought, 60 * DAY - 1);
    check(&[("recency_days <= 60", True), ("recency_days >= 60", True), ("recency_days = 60", True)], bought, 60 * DAY);
    check(&[("recency_days <= 60", False), ("recency_days > 60", True)], bought, 60 * DAY + 1);
    check(&[("orders_30d = 1", True), ("revenue_30d = 1", True)], bought, 30 * DAY - 1);
    check(
        &[("orders_30d = 0", True), ("revenue_30d = 0", True), ("avg_order_value_30d IS NULL", True)],
        bought,
        30 * DAY,
    );
    check(&[("cart_open AND cart_idle_minutes >= 30", False)], bought, 30 * MINUTE);
    check(&[("cart_open AND cart_idle_minutes >= 30", True)], bought, 30 * MINUTE + 1);
    check(&[("cart_open", False), ("cart_idle_minutes IS NULL", True)], bought, 30 * DAY + 1);
    check(&[("days_since(signed_up) = -9", True), ("days_since(signed_up) < 0", True)], bought, DAY);
    check(&[("tenure_days = 3", True), ("inactive_days < recency_days", True)], bought, DAY);
    check(&[("since('purchase') = 400 OR TRUE", True), ("since('purchase') IS NULL", True)], bought, 400 * DAY);
    check(&[("since('purchase') > 399.999", True), ("recency_days > 399.999", True)], bought, 400 * DAY - 1);
    check(&[("since('cart_add') < recency_days", True), ("since('view') < recency_days", Null)], bought, 5);
}
