//! The SQL of docs/sql.md, run by DuckDB unchanged, computes the values that Shoal exports.
//!
//! The events are generated: in order of time except for late ones, with refunds before and after their orders,
//! cancelled and repeated orders, repeated events, several currencies, and hours with many events.

use crate::support;
use crate::support::program::{shoal, text};
use shoal::random::Random;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const DAY: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z; the time at which the page evaluates is a year later.
const OPENING: i64 = 1_735_689_600_000;
const CUSTOMERS: u64 = 500;
const EVENTS: i64 = 16_000;

const RULES: &str = r#"
[currency]
base = "EUR"
rates = { GBP = "1.17" }
[time]
utc_offset = "+01:00"
[attributes]
born = "time"
[properties]
duration_s = "number"
[count.big_basket]
of = "purchase"
where = "amount >= 100 AND coupon IS NOT NULL"
[count.long_view]
of = "view"
where = "duration_s >= 60"
[segmentation.lifecycle]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "new", when = "orders = 1 AND recency_days <= 30" },
  { name = "active", when = "recency_days <= 60 AND orders_30d >= 0 AND revenue_90d > -1000000" },
  { name = "at_risk", when = "recency_days <= 180 AND views_7d >= 0 AND sessions_30d >= 0" },
  { name = "dormant" },
]
[audience.cart_abandoner]
when = "cart_open AND cart_idle_minutes >= 30"
[audience.shoes]
when = "revenue_in('shoes', 365) > 100 AND largest_order_90d > 10"
[audience.bargain_hunter]
when = "events('big_basket', 90) >= 2 AND events('long_view', 30) >= 3 OR top_viewed_category_30d = 'shoes'"
[audience.black_friday]
when = """
orders_between('2025-11-27', '2025-12-01') > 0 AND revenue_between('2025-11-27', '2025-12-01') > 10
OR events_between('view', '2025-06-01T06:00:00Z', '2025-09-01') > 5 OR days_to_anniversary(born) <= 7"""
"#;

/// The comparison of anniversaries: the example rules have no attribute for them.
const ANNIVERSARIES: &str = r#"
```sql
SELECT 'anniversaries' AS what, *
FROM (SELECT customer_id, days FROM features LEFT JOIN anniversaries USING (customer_id)) AS ours
FULL JOIN (SELECT customer_id, "days_to_anniversary(born)" AS days FROM 'tables/customers.parquet') AS theirs
USING (customer_id)
WHERE ours IS DISTINCT FROM theirs;
```
"#;

/// Runs the page's blocks in one session. The last ones search for differences and must return no row; the printed
/// counts show that there was data to compare.
const RUNNER: &str = r#"
import duckdb, re, sys
blocks = re.findall(r"```sql\n(.*?)```", open(sys.argv[1]).read(), re.S)
database = duckdb.connect()
compared = 0
for block in blocks:
    result = database.execute(block)
    if block.startswith("SELECT"):
        compared += 1
        rows = result.fetchmany(5)
        for row in rows:
            print("differs:", *row)
        if rows:
            sys.exit(1)
print("compared", compared)
tell = "SELECT count(*), sum(orders), count(revenue) FILTER (revenue < 0), sum(views_7d), sum(sessions_30d), " \
       "count(*) FILTER (cart_open), count(cart_value), count(gap_days), count(DISTINCT largest_order) FROM features"
print("features", *database.execute(tell).fetchone())
tell = "SELECT sum(orders_between), sum(revenue_between), (SELECT sum(views_between) FROM views_between), " \
       "(SELECT count(days) FROM anniversaries) FROM moments"
print("moments", *database.execute(tell).fetchone())
tell = "SELECT sum(big_baskets_90d), count(since_big_basket), sum(long_views_30d), " \
       "(SELECT count(*) FROM top_viewed WHERE top_viewed_category_30d = 'hats') FROM own_counts"
print("own", *database.execute(tell).fetchone())
tell = "SELECT count(DISTINCT lifecycle), count(*) FILTER (cart_abandoner = 'in') FROM segments"
print("segments", *database.execute(tell).fetchone())
"#;

/// A type with its fields, for a customer with this number of orders.
fn content(random: &mut Random, orders: &mut i64) -> String {
    // Mostly an existing order, sometimes the next one.
    let known = (*orders + 1 - random.between(0, 5)).max(0);
    match random.below(100) {
        0..22 => {
            let currency = if random.one_in(4) { ",\"currency\":\"GBP\"" } else { "" };
            let amount = random.below(20_000) as f64 / 1_000.0;
            if !random.one_in(12) {
                *orders += 1;
            }
            let amount = if random.one_in(4) { amount * 10.0 } else { amount };
            let category = ["", r#","category":"shoes""#, r#","category":"hats""#][random.below(3) as usize];
            let coupon = random.pick(&["", "", r#","coupon":"spring""#, r#","coupon":"""#, r#","coupon":null"#]);
            format!(r#""purchase","order_id":"o-{orders}","amount":"{amount:.3}"{currency}{category}{coupon}"#)
        }
        22..26 => r#""purchase","amount":0"#.to_owned(),
        26..52 => {
            // Numbers, also as texts, and what is none.
            let duration = random.pick(&["", "30", "60", "\"60\"", "\"75.5\"", "\"6e1\"", "\"long\"", "true", "null"]);
            let properties = match duration {
                "" => String::new(),
                duration => format!(r#","properties":{{"duration_s":{duration}}}"#),
            };
            let category = random.pick(&["", r#","category":"shoes""#, r#","category":"hats""#, r#","category":"""#]);
            let items = random.pick(&["", r#","items":[{"category":"hats"},{"sku":"1"},{"category":"bags"}]"#]);
            format!(r#""view"{category}{items}{properties}"#)
        }
        52..56 => r#""search""#.to_owned(),
        56..68 => format!(r#""cart_add","cart_total":"{}""#, random.below(6)),
        68..72 => r#""cart_add""#.to_owned(),
        72..76 => format!(r#""cart_remove","cart_total":{}"#, random.below(3)),
        76..80 => r#""checkout""#.to_owned(),
        80..82 => format!(r#""cancel","order_id":"o-{known}""#),
        82..84 => format!(r#""refund","order_id":"o-{known}""#),
        84..86 => format!(r#""amend","order_id":"o-{known}","amount":"{}.3""#, random.below(9)),
        86..88 => format!(r#""amend","order_id":"o-{known}","amount":{},"currency":"GBP""#, random.below(4)),
        88..93 => format!(r#""refund","order_id":"o-{known}","amount":"{}.25""#, random.below(9)),
        93..96 => format!(r#""refund","amount":"{}.5","currency":"GBP""#, random.below(30)),
        96..98 => r#""click""#.to_owned(),
        98 => match random.below(8) {
            0 => r#""profile","attributes":{"born":null}"#.to_owned(),
            1 => r#""profile","attributes":{"born":"1996-02-29T12:00:00Z"}"#.to_owned(),
            2 => r#""profile","attributes":{"born":"1975-01-01T00:00:00Z"}"#.to_owned(),
            _ => {
                let born =
                    jiff::Timestamp::from_millisecond(random.between(-600, 1_200) * 10 * DAY + 7_777_777).unwrap();
                format!(r#""profile","attributes":{{"born":"{born}"}}"#)
            }
        },
        _ => r#""open""#.to_owned(),
    }
}

fn events(seed: u64) -> String {
    let mut random = Random(seed);
    let mut orders = vec![0; CUSTOMERS as usize];
    let (mut customer, mut time) = (0, OPENING);
    let mut lines = String::new();
    for n in 0..EVENTS {
        if random.one_in(3) {
            // The same event again, possibly in the same hour.
            time += random.between(0, DAY / 40);
        } else {
            // Some customers are active often, some rarely, and some become inactive.
            customer = random.below(CUSTOMERS).max(random.below(CUSTOMERS));
            if customer % 3 == 0 && n * CUSTOMERS as i64 > EVENTS * (customer as i64 + 1) {
                customer += 1;
            }
            time = OPENING + n * (365 * DAY / EVENTS) + random.between(0, 365 * DAY / EVENTS);
        }
        match random.below(20) {
            0 => time -= random.between(0, 40 * DAY),
            1..4 => time -= time % 3_600_000,
            _ => {}
        }
        time = time.max(OPENING);
        let moment = match random.one_in(2) {
            true => time.to_string(),
            false => format!("\"{}\"", jiff::Timestamp::from_millisecond(time).unwrap()),
        };
        let content = content(&mut random, &mut orders[customer as usize]);
        let line = format!(r#"{{"event_id":"e-{n}","customer_id":"c-{customer}","time":{moment},"type":{content}}}"#);
        for _ in 0..if random.one_in(25) { 2 } else { 1 } {
            writeln!(lines, "{line}").unwrap();
        }
    }
    lines
}

/// The page's list of features for the export.
fn features(page: &str) -> String {
    let (_, list) = page.split_once("--features \"").expect("the page has a command for the export");
    list.split('"').next().unwrap().to_owned()
}

#[test]
fn the_page_computes_what_is_exported_with_the_example_rules() {
    let rules = include_str!("../../../config/rules.toml");
    compare(rules, |page| page.to_owned(), "currency ", &[("orders = 1 AND recency_days <= 30", "orders = 1")]);
}

#[test]
fn the_page_computes_what_is_exported_with_rates() {
    let with_rates = |page: &str| {
        let page = page.replace("VALUES ('EUR', 1);", "VALUES ('EUR', 1), ('GBP', 1.17);");
        page.replace("--features \"", "--features \"days_to_anniversary(born), ") + ANNIVERSARIES
    };
    let wrong = [
        ("is_within(newest, 7)", "is_within(newest, 6)"),
        ("latest + 30 * 60000", "latest + 29 * 60000"),
        ("greatest(worth - given, 0)::", "greatest(worth - given, 1)::"),
        ("AND change.ms >= amended_ms", "AND false"),
        ("THEN 0.05 ELSE 0", "THEN 5 ELSE 0"),
        ("amount >= 100 AND coupon", "amount > 110 AND coupon"),
        ("duration_s >= 60", "duration_s > 60"),
        ("AND coupon IS NOT NULL", ""),
        ("is_within(newest, 90)", "is_within(newest, 85)"),
        ("views DESC, latest DESC, category", "views DESC, latest, category"),
        ("latest DESC, category)", "latest DESC, category DESC)"),
        ("max(net) FILTER (is_within(ms, 90))", "max(net) FILTER (is_within(ms, 80))"),
        ("total_before = 0", "total_before = 1"),
        ("recency_days <= 180", "recency_days <= 170"),
        ("days(count(*) - 1)", "days(count(*))"),
        ("('GBP', 1.17)", "('GBP', 1.16)"),
        ("ms < epoch_ms(b::TIMESTAMP)", "ms < epoch_ms(b::TIMESTAMP) + 86400000"),
        ("least(day(born), day(", "least(day(born) % 28 + 1, day("),
        ("getvariable('now') + 3600000", "getvariable('now') - 3600000"),
    ];
    compare(RULES, with_rates, "rejected ", &wrong);
}

/// Runs the page, changed to fit the rules, on an export with these rules; with each of the mistakes it must find
/// differences. The summary of the seed contains `said`.
fn compare(rules: &str, change: impl Fn(&str) -> String, said: &str, mistakes: &[(&str, &str)]) {
    // The newest on PyPI on 2026-12-01.
    let Some(python) = support::python::python(&["duckdb==2.0.1"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("rules.toml"), rules).unwrap();
    std::fs::write(folder.join("runner.py"), RUNNER).unwrap();
    std::fs::write(folder.join("events.jsonl"), events(7)).unwrap();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sql.md")).unwrap();
    let run = |arguments: &str, more: &[&str]| {
        let arguments: Vec<&str> = arguments.split(' ').chain(more.iter().copied()).collect();
        let out = shoal(folder, &arguments);
        assert!(out.status.success(), "{}", text(&out.stderr));
        text(&out.stderr)
    };
    let seed = "seed --rules rules.toml --partitions 3 --until 2026-01-01T00:00:00Z --snapshot s events.jsonl";
    let output = run(seed, &[]);
    assert!(["duplicate ", "duplicate_order ", said].iter().all(|said| output.contains(said)), "{output}");
    let export = "snapshot export --snapshot s --at 2026-01-01T00:00:00Z --out tables --features";
    let page = change(&page);
    run(export, &[&features(&page)]);

    let compute = |page: &str| {
        std::fs::write(folder.join("page.md"), page).unwrap();
        let out = Command::new(&python).current_dir(folder).args(["runner.py", "page.md"]).output().unwrap();
        (out.status.success(), text(&out.stdout) + &text(&out.stderr))
    };
    let (is_same, output) = compute(&page);
    assert!(is_same, "{output}");
    println!("{output}");
    for (right, wrong) in mistakes {
        let sabotaged = page.replace(right, wrong);
        assert_ne!(sabotaged, page, "{right}");
        let (is_same, output) = compute(&sabotaged);
        assert!(!is_same && output.contains("differs:"), "{wrong} is not noticed: {output}");
    }
    let numbers = |of: &str| -> Vec<f64> {
        let line = output.lines().find_map(|line| line.strip_prefix(of)).expect("it is printed");
        line.split_whitespace().map(|number| number.parse().unwrap()).collect()
    };
    assert_eq!(numbers("compared"), [page.matches("\n```sql\nSELECT").count() as f64]);
    assert!(numbers("own").iter().all(|number| *number >= 20.0), "{output}");
    assert!(numbers("moments").iter().all(|number| *number >= 20.0), "{output}");
    let features = numbers("features");
    // Refunds without an order are in pounds, and without them no revenue is below 0.
    let counted = features.iter().enumerate().filter(|(index, _)| *index != 2 || !rules.contains("rates = {}"));
    assert!(counted.map(|(_, number)| number).all(|number| *number >= 20.0), "{output}");
    assert_eq!(numbers("segments")[0], 5.0, "{output}");
    assert!(numbers("segments")[1] >= 5.0, "{output}");
}
