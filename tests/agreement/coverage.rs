//! What the random streams covered: every rule number, feature, operator, cause and reason must occur often enough.
//!
//! The required counts scale with the number of streams.

use crate::generate::Placed;
use crate::model::expression::{Comparison, Condition, Is, Scalar, Test};
use crate::model::feature::Feature;
use crate::model::rules::{Kind, Rules};
use crate::model::shard::{Input, Outcome, Scenario};
use crate::model::value::Value::Moment;
use crate::rules_text::COUNTS;
use serde_json::Value;
use std::collections::BTreeMap;

/// Number of streams in which each item must occur the stated number of times; for fewer streams the numbers are scaled
/// down, less an allowance for chance.
const STREAMS: f64 = 3_500.0;
const OCCURRENCES: f64 = 50.0;
/// The allowance, in standard deviations.
const DEVIATIONS: f64 = 4.0;

/// All but T7, which belongs to logs and files: a shard receives its records merged.
const RULES: &str = "T1 T2 T3 T4 T5 T6 T8 E1 E2 E3 E3-returns E4 E5 E6 O1 O2 O3 O4 O4-dust O5 O6 O7 O8 O9 O9-twice \
    B1 B2 B3 B4 B5 B6 B7 B8 F1 F2 F3 F4 \
    R1 R2 R3 R4 R5 R6 R7 R8 R9 R9-rules R10 R11 R12 R13 R14";
/// What happened to a customer while a dwell held a value back. `late`: a late event changed nothing. `passed-late`: so
/// it did, and the watermark was past the end of the dwell already. `tick`: a tick passed the end of the dwell.
const HELD_BACK: &str = "dwell-late dwell-passed-late dwell-tick dwell-sweep dwell-erase";
const CAUSES: &str = "event time late rules erase opt_out forgotten bootstrap";
const REASONS: &str = "too_large decode key partition type schema time time_unit time_future amount currency";
const DROPS: &str = "duplicate duplicate_order erased opted_out";
/// Counted in rules, whether or not they decided something.
const CONNECTIVES: &str = "AND OR NOT IS COALESCE-of-conditions conditions-= conditions-<> ESCAPE exit min_dwell include bucket segment audience \
    customer_id";
/// Counted in comparisons that a change lists.
const OPERATORS: &str = "= <> < <= > >= BETWEEN IN LIKE IS-NULL IS-TRUE IS-FALSE bare NOT-BETWEEN NOT-IN NOT-LIKE \
    IS-NOT-NULL IS-NOT-TRUE IS-NOT-FALSE + - * / COALESCE";
const FEATURES: &str = "orders orders_w orders_placed orders_placed_w orders_returned orders_returned_w discounted_orders \
    discounted_orders_w last_order_value largest_order largest_order_w revenue revenue_w revenue_in avg_order_value \
    avg_order_value_w refunded refunded_w \
    top_viewed_category of_feature of_segment \
    recency_days inactive_days since days_since tenure_days gap_days overdue_ratio views searches cart_adds cart_removes \
    checkouts sessions opens clicks exposures events cart_open cart_idle_minutes cart_value orders_in views_in orders_via \
    events_own since_own segment audience top_category top_channel country plan age vip first_order_days first_order_at \
    last_order_at first_seen_at last_seen_at days_to_anniversary signed_up \
    tags has orders_between revenue_between events_between";

#[derive(Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
    events: u64,
    at_boundary: u64,
}

impl Coverage {
    pub fn add(&mut self, scenario: &Scenario, placed: Placed, outcome: &Outcome, seen: &BTreeMap<&'static str, u64>) {
        self.events += placed.events;
        self.at_boundary += placed.at_boundary;
        for (rule, count) in seen {
            self.count(format!("rule {rule}"), *count);
        }
        for (_, reason) in &outcome.rejected {
            self.once(format!("reason {reason}"));
            self.once(if reason == "time_future" { "rule T8" } else { "rule E1" });
        }
        for (kind, count) in &outcome.dropped {
            self.count(format!("dropped {kind}"), *count);
        }
        self.count("rule E3", outcome.dropped.get("duplicate").copied().unwrap_or(0));
        self.count("rule O2", outcome.dropped.get("duplicate_order").copied().unwrap_or(0));
        self.rules(&scenario.rules);
        for input in &scenario.inputs {
            if let Input::Rules(text) = input {
                self.rules(text);
            }
        }
        for change in outcome.changes.values().flatten() {
            self.change(&serde_json::from_str(change).expect("a change is JSON"));
        }
    }

    pub fn merge(&mut self, other: Coverage) {
        self.events += other.events;
        self.at_boundary += other.at_boundary;
        for (name, count) in other.counts {
            self.count(name, count);
        }
    }

    /// Prints all counts of a run of this many streams, and returns those that are too low.
    pub fn report(&self, streams: u64) -> Vec<String> {
        let groups = [
            ("rule", RULES),
            ("rule", HELD_BACK),
            ("cause", CAUSES),
            ("reason", REASONS),
            ("dropped", DROPS),
            ("in rules", CONNECTIVES),
            ("operator", OPERATORS),
            ("feature", FEATURES),
        ];
        let required = required(streams);
        let mut rare = Vec::new();
        for (group, names) in groups {
            let mut line = format!("{group}:");
            for name in names.split_whitespace() {
                let count = self.of(&format!("{group} {name}"));
                line += &format!(" {name} {count}");
                if count < required {
                    rare.push(format!("{group} {name} occurred {count} times, expected at least {required}"));
                }
            }
            println!("{line}");
        }
        let bounds = [
            "E3 max_ids",
            "E3 returns bound",
            "O6 bound",
            "B5 bound",
            "B6 late",
            "B8 anew",
            "R7 opt_in",
            "O3 interval",
            "B1 interval",
            "R6 interval",
        ];
        println!("bounds: {}", bounds.map(|name| format!("{name} {}", self.of(&format!("rule {name}")))).join(", "));
        let late = self.of("rule T5");
        println!("events: {}, at a boundary {}, late {late}", self.events, self.at_boundary);
        if required > 0 && (late * 20 < self.events || self.at_boundary * 20 < self.events) {
            rare.push("expected at least 5 % of events to be late and 5 % at a boundary".into());
        }
        rare
    }

    fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn once(&mut self, name: impl Into<String>) {
        self.count(name, 1);
    }

    fn count(&mut self, name: impl Into<String>, count: u64) {
        *self.counts.entry(name.into()).or_default() += count;
    }

    /// Counts what a rules file contains.
    fn rules(&mut self, text: &str) {
        let rules = Rules::parse(text);
        self.count("in rules include", rules.include.len() as u64);
        for target in rules.targets.values() {
            if matches!(target.kind, Kind::Audience { exit: Some(_), .. }) {
                self.once("in rules exit");
            }
            if target.dwell_in + target.dwell_out > 0 {
                self.once("in rules min_dwell");
            }
            for (_, condition) in target.conditions() {
                self.connectives(condition);
                for leaf in condition.comparisons().into_iter().flat_map(Comparison::scalars).flat_map(Scalar::leaves) {
                    self.once(format!("in rules {}", name_of(leaf)));
                }
            }
        }
    }

    fn connectives(&mut self, condition: &Condition) {
        match condition {
            Condition::Comparison(comparison) => {
                if comparison.text.contains(" ESCAPE ") {
                    self.once("in rules ESCAPE");
                }
            }
            Condition::And(left, right) | Condition::Or(left, right) => {
                self.once(if matches!(condition, Condition::And(..)) { "in rules AND" } else { "in rules OR" });
                self.connectives(left);
                self.connectives(right);
            }
            Condition::Not(of) => {
                self.once("in rules NOT");
                self.connectives(of);
            }
            Condition::Is { of, .. } => {
                self.once("in rules IS");
                self.connectives(of);
            }
            Condition::Coalesce(operands) => {
                self.once("in rules COALESCE-of-conditions");
                operands.iter().for_each(|operand| self.connectives(operand));
            }
            Condition::Same { negated, left, right } => {
                self.once(if *negated { "in rules conditions-<>" } else { "in rules conditions-=" });
                self.connectives(left);
                self.connectives(right);
            }
            Condition::Constant(_) => {}
        }
    }

    /// Counts a change and the comparisons that it lists.
    fn change(&mut self, change: &Value) {
        let text = |name: &str| change[name].as_str().unwrap_or_default();
        self.once(format!("cause {}", text("cause")));
        self.once("rule R8");
        let because = change["because"].as_array().expect("a list");
        if !because.is_empty() && !change["next"].is_null() {
            self.once("rule R9");
        }
        if text("cause") == "time" {
            self.once("rule F3");
        }
        if text("cause") == "rules" && !because.is_empty() {
            self.once("rule R9-rules");
        }
        for entry in because {
            let rule = entry["rule"].as_str().expect("a text");
            if rule == "min_dwell" {
                self.once("rule R5");
                continue;
            }
            self.once("rule R1");
            self.once("rule R2");
            for comparison in Condition::parse(rule).comparisons() {
                self.comparison(comparison);
            }
        }
    }

    fn comparison(&mut self, comparison: &Comparison) {
        self.once(format!("operator {}", operator_of(&comparison.test)));
        for scalar in comparison.scalars() {
            self.scalar(scalar);
        }
        let moving = |scalar: &Scalar| {
            let days = ["recency_days", "inactive_days", "since", "days_since", "tenure_days", "cart_idle_minutes"];
            scalar.leaves().into_iter().any(|leaf| days.contains(&name_of(leaf).as_str()))
        };
        let moments = ["first_order_at", "last_order_at", "first_seen_at", "last_seen_at", "signed_up"];
        if comparison
            .partners()
            .into_iter()
            .flat_map(Scalar::leaves)
            .any(|leaf| matches!(leaf, Scalar::Literal(Moment(_))) || moments.contains(&name_of(leaf).as_str()))
        {
            self.once("rule F4");
        }
        let moving_sides = comparison.scalars().into_iter().filter(|scalar| moving(scalar)).count();
        let computes = comparison.scalars().into_iter().any(|scalar| matches!(scalar, Scalar::Arithmetic(..)));
        if moving_sides > 0 {
            self.once("rule F1");
        }
        if moving_sides > 1 || computes {
            self.once("rule F2");
        }
    }

    fn scalar(&mut self, scalar: &Scalar) {
        match scalar {
            Scalar::Arithmetic(operator, left, right) => {
                self.once(format!("operator {operator}"));
                self.scalar(left);
                self.scalar(right);
            }
            Scalar::Coalesce(parts) => {
                self.once("operator COALESCE");
                parts.iter().for_each(|part| self.scalar(part));
            }
            leaf => {
                let name = name_of(leaf);
                if name.starts_with("cart_") && !name.ends_with('s') || name == "cart_idle_minutes" {
                    self.once("rule B3");
                }
                if name == "inactive_days" {
                    self.once("rule B4");
                }
                self.once(format!("feature {name}"));
            }
        }
    }
}

/// How often each item must occur in a run of this many streams.
fn required(streams: u64) -> u64 {
    let expected = streams as f64 * OCCURRENCES / STREAMS;
    (expected - DEVIATIONS * expected.sqrt()).max(0.0) as u64
}

fn operator_of(test: &Test) -> String {
    let not = |negated: bool, name: &str| if negated { format!("NOT-{name}") } else { name.to_string() };
    match test {
        Test::Compare(operator, _) => operator.to_string(),
        Test::Between { negated, .. } => not(*negated, "BETWEEN"),
        Test::In { negated, .. } => not(*negated, "IN"),
        Test::Like { negated, .. } => not(*negated, "LIKE"),
        Test::Is { negated, what } => {
            let what = match what {
                Is::Null => "NULL",
                Is::True => "TRUE",
                Is::False => "FALSE",
            };
            format!("IS-{}", not(*negated, what))
        }
        Test::Bare => "bare".into(),
    }
}

/// The name of a leaf as in the lists above.
fn name_of(leaf: &Scalar) -> String {
    match leaf {
        Scalar::Segment(_) => "segment".into(),
        Scalar::Audience(_) => "audience".into(),
        Scalar::Feature(Feature::Since(of)) if COUNTS.contains(&of.as_str()) => "since_own".into(),
        Scalar::Feature(Feature::Count(of, _)) if COUNTS.contains(&of.as_str()) => "events_own".into(),
        Scalar::Feature(feature) => feature.name(),
        _ => "literal".into(),
    }
}
