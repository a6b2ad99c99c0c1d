//! Warnings are right: on customers and instants at random, what "never" holds never does, and what "always" holds
//! always does. And they are found: cases in warnings.txt, refreshed with `SHOAL_REFRESH=1`.

use super::super::compiled::{range, scalar::Operand};
use super::super::review::domain::{Domain, Known};
use super::super::review::search::{Truthset, is_possible};
use super::super::review::subject::{truths, variables};
use super::super::{Rules, TargetKind, Truth, review_file};
use super::random::{HEAD, comparison, populate};
use super::{World, check_cases, rules};
use crate::engine::event::{DAY, HOUR, MINUTE, Millis};
use crate::random::Random;
use std::path::Path;
use std::sync::Arc;

/// Mistakes and warnings of a file, one per line.
fn found(file: &str) -> String {
    let (read, warnings) = review_file(file);
    let mistakes = read.err().map(|mistakes| format!("{mistakes}\n")).unwrap_or_default();
    let warnings = if warnings.0.is_empty() { String::from("no warning\n") } else { format!("{warnings}\n") };
    mistakes + &warnings
}

#[test]
fn warnings_have_the_expected_messages() {
    check_cases("warnings.txt", found);
}

#[test]
fn shipped_rules_have_no_warnings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["config/rules.toml", "config/demo/rules.toml", "deploy/compose/rules.toml"] {
        let text = std::fs::read_to_string(root.join(file)).expect(file);
        assert_eq!(found(&text), "no warning\n", "{file}");
    }
}

/// A comparison of few features with few numbers: several of them often contradict each other.
fn narrow(random: &mut Random) -> String {
    let operator = random.pick(&["=", "<>", "<", "<=", ">", ">="]);
    let not = random.pick(&["", "NOT "]);
    let (small, other) = (random.below(4) as i64 - 1, random.below(4));
    match random.below(24) {
        0..4 => format!("orders {operator} {small}"),
        4 => format!("orders {not}BETWEEN {other} AND {small}"),
        5 => format!("orders {not}IN ({small}, {other})"),
        6 => format!("orders_30d {operator} {small}"),
        7 | 8 => format!("recency_days {operator} {}", random.pick(&["-1", "0", "30", "60", "399.5"])),
        9 => format!("recency_days {}", random.pick(&["IS NULL", "IS NOT NULL", "BETWEEN 0 AND 30"])),
        10 => format!("since('view') {operator} {}", random.pick(&["0", "30", "400", "401"])),
        11 => format!("cart_idle_minutes {operator} {}", random.pick(&["0", "30", "43200", "50000"])),
        12 => random.pick(&["cart_open", "NOT cart_open", "cart_idle_minutes IS NULL", "cart_value >= 0"]).into(),
        13 => random.pick(&["vip", "vip = FALSE", "vip IS NULL", "vip IS NOT TRUE", "COALESCE(vip, FALSE)"]).into(),
        14 | 15 => format!(
            "top_category {} '{}'",
            random.pick(&["=", "<>", "<", "LIKE"]),
            random.pick(&["shoes", "socks", "s%"])
        ),
        16 => "top_category IN ('shoes', 'hats')".into(),
        17 => format!("revenue {operator} {small}"),
        18 => format!("COALESCE(recency_days, 999) {operator} {}", random.pick(&["30", "999", "1000"])),
        19 => format!("bucket('salt', 4) {operator} {}", random.pick(&["-1", "0", "3", "4", "5"])),
        20 => format!("avg_order_value {operator} {}", random.pick(&["-1", "0", "10"])),
        21 => format!("gap_days {operator} {}", random.pick(&["-1", "0", "5"])),
        22 => format!("last_order_value {operator} {small}"),
        _ => comparison(random),
    }
}

fn condition(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.chance(25) {
        return narrow(random);
    }
    let (one, other) = (condition(random, depth - 1), condition(random, depth - 1));
    match random.below(12) {
        0..5 => format!("({one}) AND ({other})"),
        5..8 => format!("({one}) OR ({other})"),
        8 => format!("NOT ({one})"),
        9 => format!("({one}) IS {}TRUE", random.pick(&["", "NOT "])),
        10 => format!("COALESCE({one}, {other}, FALSE)"),
        _ => format!("(NOT {one}) = (NOT {other})"),
    }
}

/// Customers, some without any event, each with some instants.
fn worlds(rules: &Arc<Rules>, random: &mut Random) -> Vec<(World, Vec<Millis>)> {
    let mut worlds = Vec::new();
    for _ in 0..12 {
        let mut world = World::new(rules.clone());
        if random.chance(90) {
            populate(&mut world, 12, random);
        }
        let after = [0, 1, 30 * MINUTE, 5 * HOUR, 30 * DAY, 30 * DAY + 1, 400 * DAY - 1, 400 * DAY, 401 * DAY];
        let instants = after.iter().map(|after| world.clock + after).collect();
        worlds.push((world, instants));
    }
    worlds
}

/// The truths of the conditions of the first target at an instant.
fn evaluated(rules: &Rules, world: &World, now: Millis) -> Vec<Truth> {
    let truths = rules.truths();
    rules.read_truths(rules.customer_comparisons(), &world.customer(), now, &truths);
    match &rules.targets[0].kind {
        TargetKind::Segmentation { segments, .. } => segments
            .iter()
            .filter_map(|segment| segment.condition.as_ref())
            .map(|of| of.truth(&|index| truths.get(index)))
            .collect(),
        TargetKind::Audience(audience) => [Some(&audience.when), audience.exit.as_ref()]
            .into_iter()
            .flatten()
            .map(|of| of.truth(&|index| truths.get(index)))
            .collect(),
    }
}

#[test]
fn what_never_or_always_holds_is_never_or_always_true() {
    let mut random = Random::of_test();
    let (mut never, mut always, mut neither, mut evaluations) = (0, 0, 0, 0);
    for _ in 0..600 {
        let text = condition(&mut random, 2);
        let file = format!("{HEAD}[audience.a]\nwhen = {text:?}\n");
        let rules = rules(&file);
        let TargetKind::Audience(audience) = &rules.targets[0].kind else { unreachable!("an audience") };
        let may_be = |wanted| {
            let condition = &audience.when;
            let all = variables(&condition.comparisons(), &rules.comparisons, &[]);
            is_possible(&[(condition, wanted)], &all)
        };
        let (may_hold, may_fail) = (may_be(Truthset::TRUE), may_be(Truthset::NOT_TRUE));
        assert!(may_hold || may_fail, "{text}");
        if may_hold && may_fail {
            neither += 1;
            continue;
        }
        if may_hold {
            always += 1
        } else {
            never += 1
        }
        for (world, now) in worlds(&rules, &mut random)
            .iter()
            .flat_map(|(world, instants)| instants.iter().map(move |now| (world, *now)))
        {
            let truth = evaluated(&rules, world, now)[0];
            assert_eq!(truth == Truth::True, may_hold, "{text} is {truth:?} at {now}");
            evaluations += 1;
        }
    }
    println!("{never} never, {always} always, {neither} neither; {evaluations} evaluations");
    assert!(never > 60 && always > 20 && neither > 200, "{never} {always} {neither}");
}

#[test]
fn segments_that_are_never_reached_are_not() {
    let mut random = Random::of_test();
    let (mut unreached, mut last_unreached, mut evaluations) = (0, 0, 0);
    for _ in 0..400 {
        let texts: Vec<_> = (0..3).map(|_| condition(&mut random, 1)).collect();
        let segments = texts.iter().enumerate().map(|(n, text)| format!("{{ name = \"s{n}\", when = {text:?} }},\n"));
        let segments: String = segments.collect();
        let file = format!("{HEAD}[segmentation.a]\nsegments = [\n{segments}{{ name = \"s3\" }},\n]\n");
        let (read, warnings) = review_file(&file);
        let rules = read.expect("the rules are valid");
        let messages: Vec<_> = warnings.0.iter().map(|warning| warning.message.as_str()).collect();
        let named = (0..4).filter(|n| {
            messages.iter().any(|message| message.starts_with(&format!("segment `s{n}` is never reached")))
        });
        let named: Vec<usize> = named.collect();
        unreached += named.len();
        last_unreached += usize::from(named.contains(&3));
        if named.is_empty() {
            continue;
        }
        for (world, now) in worlds(&rules, &mut random)
            .iter()
            .flat_map(|(world, instants)| instants.iter().map(move |now| (world, *now)))
        {
            let truths = evaluated(&rules, world, now);
            let first = truths.iter().position(|truth| *truth == Truth::True).unwrap_or(3);
            assert!(!named.contains(&first), "{file}\n{messages:?}\nat {now}: {truths:?}");
            evaluations += 1;
        }
    }
    println!("{unreached} segments are never reached, {last_unreached} of them the last; {evaluations} evaluations");
    assert!(unreached > 40 && last_unreached > 3, "{unreached} {last_unreached}");
}

/// Sampled values of one feature: the truths of its comparisons are those of one of the cells.
#[test]
fn every_value_is_in_a_cell() {
    let mut random = Random::of_test();
    let mut sampled = 0;
    for _ in 0..300 {
        let feature = random.pick(&[
            "orders",
            "revenue",
            "recency_days",
            "days_since(signed_up)",
            "age",
            "avg_order_value",
            "last_order_value",
        ]);
        let texts: Vec<_> = (0..4)
            .map(|_| {
                let number = random.pick(&["-1", "0", "0.5", "1", "1.005", "2", "30", "59.99999999", "1e3"]);
                let other = random.pick(&["0", "1", "30", "NULL"]);
                match random.below(5) {
                    0 => format!("{feature} BETWEEN {other} AND {number}"),
                    1 => format!("{feature} NOT IN ({number}, {other})"),
                    2 => format!("COALESCE({feature}, {other}) >= {number}"),
                    _ => format!("{feature} {} {number}", random.pick(&["=", "<>", "<", "<=", ">", ">="])),
                }
            })
            .collect();
        let rules = rules(&format!("{HEAD}[audience.a]\nwhen = {:?}\n", texts.join(" OR ")));
        let predicates: Vec<_> = rules.comparisons.iter().map(|comparison| &comparison.predicate).collect();
        let all: Vec<u16> = (0..rules.comparisons.len() as u16).collect();
        let variables = variables(&all, &rules.comparisons, &[]);
        assert_eq!(variables.len(), 1, "all are about {feature}");
        let mut call = None;
        predicates[0].left().for_each_feature(&mut |found| call = Some(found.clone()));
        let call = call.expect("the feature");
        let domain = Domain::of(&call);
        let near = [0, 1, 2, 50, 100, 101, 200, 1_000, DAY, 30 * DAY, 60 * DAY];
        for _ in 0..200 {
            let number = random.pick(&near) + random.below(5) as i64 - 2;
            let number = if random.chance(20) { -number } else { number };
            let value = match range::operand_of(&call) {
                _ if domain.nullable && random.chance(5) => Known::Null,
                Some(operand) if (domain.low..=domain.high).contains(&number) => Known::Is(operand(number, 2)),
                None if domain.low == i64::MIN || number >= domain.low => {
                    Known::Is(Operand::Double(number as f64 / random.pick(&[1.0, 3.0, 100.0])))
                }
                _ => continue,
            };
            let truths: Vec<_> = predicates.iter().map(|predicate| truths(predicate, value)).collect();
            let is_known = variables[0].cells.iter().any(|cell| cell.truths == truths);
            assert!(is_known, "{feature} as {value:?}: {texts:?}");
            sampled += 1;
        }
    }
    println!("{sampled} values");
    assert!(sampled > 20_000);
}

/// The rows of the table under a heading of docs/rules.md: the pieces of code in each of its two cells.
fn rows(heading: &str) -> Vec<[Vec<String>; 2]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules.md");
    let page = std::fs::read_to_string(path).expect("docs/rules.md");
    let section = page.split(&format!("\n## {heading}\n")).nth(1).expect(heading);
    let table = section.split("|---|---|\n").nth(1).expect("a table").split("\n\n").next().expect("its rows");
    let codes = |cell: &str| cell.replace("\\|", "|").split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let cells =
        |row: &str| row.trim_matches('|').trim().split_once(" | ").map(|(one, other)| [codes(one), codes(other)]);
    table.lines().filter_map(cells).collect()
}

#[test]
fn the_page_about_rules_is_right() {
    let file = |when: &str| {
        format!(
            "[attributes]\nplan = \"text\"\nage = \"number\"\nvip = \"boolean\"\n[events]\nsurvey = \"other\"\n\
             [segmentation.lifecycle]\nsegments = [{{ name = \"new\", when = \"orders = 1\" }}, {{ name = \"old\" }}]\n\
             [audience.vip]\nwhen = \"orders > 3 AND plan = 'x' AND age > 3 AND vip OR since('survey') < 3\"\n\
             [audience.page]\nwhen = '''\n{when}'''\n"
        )
    };
    let conditions = rows("Conditions");
    assert!(conditions.len() >= 9);
    for condition in conditions.iter().flat_map(|[written, _]| written) {
        assert_eq!(found(&file(condition)), "no warning\n", "{condition}");
    }
    let (mut warned, mut refused) = (0, 0);
    for [_, examples] in rows("Warnings") {
        if let [example, ..] = &examples[..]
            && ["orders >= 3", "shoal"].iter().all(|other| !example.starts_with(other))
        {
            let found = found(&file(example));
            assert!(found.starts_with("13:"), "{example}: {found}");
            warned += 1;
        }
    }
    for foreign in rows("SQL from elsewhere").iter().flat_map(|[foreign, _]| foreign) {
        let whole = match foreign.as_str() {
            "!" => "!vip".to_owned(),
            "&&" | "||" | "==" => format!("vip {foreign} vip"),
            "ILIKE" => "plan ILIKE 'x'".to_owned(),
            other => other.replace('…', "orders"),
        };
        let found = found(&file(&whole));
        assert!(found.starts_with("13:") && found.contains("expected"), "{whole}: {found}");
        refused += 1;
    }
    assert!(warned >= 8 && refused >= 15, "{warned} {refused}");
}
