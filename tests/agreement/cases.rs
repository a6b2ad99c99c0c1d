//! The model itself on cases computed by hand: the comparison needs one side that is known to be right.

use crate::model::decode::Record;
use crate::model::partition::Source;
use crate::model::shard::{Input, Model, Outcome, PublishFrom, Scenario};
use serde_json::Value;

/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

const LIFECYCLE: &str = r#"
[segmentation.lifecycle]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "active", when = "recency_days <= 60" },
  { name = "dormant" },
]
"#;

/// A line of a file at `START + after`.
fn line(after: i64, fields: &str) -> Input {
    let time = START + after;
    let value = format!(r#"{{"customer_id":"c","time":{time},{fields}}}"#).into_bytes();
    Input::Record(Record {
        topic: "f".into(),
        partition: 0,
        offset: 0,
        arrival: None,
        key: None,
        value,
        now: START + 2_000 * DAY,
    })
}

fn run(rules: &str, inputs: Vec<Input>, until: i64) -> Outcome {
    let scenario =
        Scenario { rules: rules.into(), inputs, until: Some(START + until), publish_from: None, source: Source::Files };
    Model::run(&scenario).0
}

/// Changes of customer `c`, abbreviated: name, from, to, cause, milliseconds after `START`.
fn short(outcome: &Outcome) -> Vec<String> {
    let changes = outcome.changes.get("c").cloned().unwrap_or_default();
    changes.iter().map(|change| serde_json::from_str(change).expect("JSON")).map(|change| shorten(&change)).collect()
}

fn shorten(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().unwrap_or("null").to_string();
    let at: jiff::Timestamp = text("effective_at").parse().expect("a moment");
    let after = at.as_millisecond() - START;
    format!("{} {} {} {} {after}", text("segmentation"), text("from"), text("to"), text("cause"))
}

#[test]
fn an_order_makes_active_and_time_makes_dormant_one_millisecond_after_60_days() {
    let order = line(0, r#""type":"purchase","amount":"10.00","order_id":"o""#);
    let outcome = run(LIFECYCLE, vec![order], 61 * DAY);
    let dormant = format!("lifecycle active dormant time {}", 60 * DAY + 1);
    assert_eq!(short(&outcome), ["lifecycle null active event 0".to_string(), dormant]);
    let last = outcome.changes["c"].last().unwrap();
    assert!(last.contains(
        r#""because":[{"rule":"recency_days <= 60","value":60.00000001157407,"was":true,"now":false}],"next":null"#
    ));
    let first = &outcome.changes["c"][0];
    assert!(first.contains(r#""next":{"to":"dormant","at":"2026-03-02T00:00:00.001Z"}"#), "{first}");
    assert!(first.contains(r#""trigger":{"topic":"f","partition":0,"offset":0,"event_id":null,"type":"purchase","time":"2026-01-01T00:00:00.000Z"}"#));
}

#[test]
fn an_order_leaves_its_window_exactly_at_its_end() {
    let rules = "[audience.a]\nwhen = \"orders_30d >= 1\"";
    let outcome = run(rules, vec![line(5, r#""type":"purchase","amount":1"#)], 31 * DAY);
    let out = format!("a in out time {}", 30 * DAY + 5);
    assert_eq!(short(&outcome), ["a out in event 5".to_string(), out]);
}

#[test]
fn the_events_of_an_hour_leave_together_with_its_newest() {
    let rules = "[audience.a]\nwhen = \"views_1d >= 2\"\n[audience.b]\nwhen = \"views_1d >= 1\"";
    let views = vec![line(0, r#""type":"view""#), line(100, r#""type":"view""#)];
    let outcome = run(rules, views, 2 * DAY);
    let leave = DAY + 100;
    let expected = ["b out in event 0", "a out in event 100"].map(String::from).to_vec();
    assert_eq!(
        short(&outcome),
        [expected, vec![format!("a in out time {leave}"), format!("b in out time {leave}")]].concat()
    );
}

#[test]
fn a_late_refund_is_applied_at_the_clock() {
    let inputs = vec![
        line(0, r#""type":"purchase","amount":"10","order_id":"o""#),
        line(10 * DAY, r#""type":"view""#),
        line(DAY, r#""type":"refund","order_id":"o""#),
    ];
    let outcome = run(LIFECYCLE, inputs, 10 * DAY);
    let late = format!("lifecycle active prospect late {}", 10 * DAY);
    assert_eq!(short(&outcome), ["lifecycle null active event 0".to_string(), late]);
}

#[test]
fn a_refund_waits_for_its_order() {
    let inputs = vec![
        line(0, r#""type":"refund","amount":"4","order_id":"o""#),
        line(1, r#""type":"purchase","amount":"10","order_id":"o""#),
    ];
    let rules = format!("include = [\"revenue\", \"refunded\", \"orders_returned\"]\n{LIFECYCLE}");
    let outcome = run(&rules, inputs, 2);
    let last = outcome.changes["c"].last().unwrap();
    assert!(last.contains(r#""features":{"revenue":"6.00","refunded":"4.00","orders_returned":1}"#), "{last}");
}

#[test]
fn a_dwell_holds_a_value_and_ends_by_itself() {
    let rules = "[audience.a]\nwhen = \"cart_open\"\nmin_dwell = { in = \"1h\" }";
    let inputs = vec![line(0, r#""type":"cart_add""#), line(60_000, r#""type":"purchase","amount":1"#)];
    let outcome = run(rules, inputs, DAY);
    assert_eq!(short(&outcome), ["a out in event 0", "a in out time 3600000"]);
    assert!(
        outcome.changes["c"][1].contains(r#""because":[{"rule":"min_dwell","value":3600000,"was":false,"now":true}]"#)
    );
}

#[test]
fn an_exit_holds_an_audience_until_it_is_true() {
    let rules = "[audience.a]\nwhen = \"views_1h >= 1\"\nexit = \"inactive_days >= 1\"";
    let outcome = run(rules, vec![line(0, r#""type":"view""#)], 3 * DAY);
    assert_eq!(short(&outcome), ["a out in event 0".to_string(), format!("a in out time {DAY}")]);
    assert!(outcome.changes["c"][0].contains(r#""next":{"to":"out","at":"2026-01-02T00:00:00.000Z"}"#));
}

#[test]
fn an_open_cart_goes_idle_and_closes_after_30_days() {
    let rules = "[audience.idle]\nwhen = \"cart_open AND cart_idle_minutes >= 30\"";
    let inputs = vec![line(0, r#""type":"cart_add","cart_total":"5""#), line(600_000, r#""type":"checkout""#)];
    let outcome = run(rules, inputs, 40 * DAY);
    let closed = format!("idle in out time {}", 30 * DAY + 600_000);
    assert_eq!(short(&outcome), ["idle out in time 2400000".to_string(), closed]);
}

#[test]
fn an_erasure_ends_a_life_and_drops_what_came_before_it() {
    let inputs = vec![
        line(0, r#""type":"purchase","amount":"10""#),
        line(1_000, r#""type":"erase""#),
        line(1_000, r#""type":"view""#),
        line(1_001, r#""type":"view""#),
    ];
    let outcome = run(LIFECYCLE, inputs, 2_000);
    let expected =
        ["lifecycle null active event 0", "lifecycle active null erase 1000", "lifecycle null prospect event 1001"];
    assert_eq!(short(&outcome), expected);
    assert_eq!(outcome.dropped["erased"], 1);
    assert!(outcome.changes["c"][2].contains(&format!(r#""life":{},"sequence":1,"#, START + 1_001)));
}

#[test]
fn an_opt_in_needs_to_be_later_than_the_opt_out_itself() {
    let inputs = vec![
        line(5_000, r#""type":"view""#),
        line(1_000, r#""type":"opt_out""#),
        line(6_000, r#""type":"view""#),
        line(1_000, r#""type":"opt_in""#),
        line(1_001, r#""type":"opt_in""#),
        line(5_000, r#""type":"view""#),
        line(5_001, r#""type":"view""#),
    ];
    let outcome = run(LIFECYCLE, inputs, 7_000);
    let expected = [
        "lifecycle null prospect event 5000",
        "lifecycle prospect null opt_out 5000",
        "lifecycle null prospect event 5001",
    ];
    assert_eq!(short(&outcome), expected);
    assert_eq!(outcome.dropped["opted_out"], 2);
    assert_eq!(outcome.dropped["erased"], 1);
    assert!(outcome.membership["c"].is_some());
}

#[test]
fn an_id_is_remembered_until_the_watermark_is_past_its_hour_and_the_horizon() {
    let hour = 3_600_000;
    let view = |after: i64| line(after, r#""type":"view","event_id":"e""#);
    let rules = format!("[time]\ngrace = \"0s\"\n[dedup]\nhorizon = \"1h\"\n{LIFECYCLE}");
    let other = |after: i64| line(after, r#""type":"view""#);
    let outcome =
        run(&rules, vec![view(hour), other(3 * hour - 1), view(3 * hour), other(3 * hour), view(3 * hour)], 0);
    assert_eq!(outcome.dropped["duplicate"], 1);
}

#[test]
fn new_rules_end_what_is_gone_and_start_what_is_new() {
    let other = "[segmentation.value]\nsegments = [{ name = \"low\" , when = \"revenue < 50\" }, { name = \"high\" }]";
    let inputs = vec![line(0, r#""type":"purchase","amount":"10""#), Input::Rules(other.into())];
    let expected = ["lifecycle null active event 0", "lifecycle active null rules 0", "value null low rules 0"];
    assert_eq!(short(&run(LIFECYCLE, inputs, 0)), expected);
}

#[test]
fn the_customer_without_orders_is_forgotten_first() {
    let rules = format!("[limits]\nmax_customers = 2\n{LIFECYCLE}");
    let line = |id: &str, after: i64, fields: &str| match line(after, fields) {
        Input::Record(record) => {
            let value =
                String::from_utf8(record.value.clone()).unwrap().replace("\"c\"", &format!("{id:?}")).into_bytes();
            Input::Record(Record { value, ..record })
        }
        other => other,
    };
    let inputs = vec![
        line("a", 0, r#""type":"purchase","amount":"10""#),
        line("c", 5_000, r#""type":"view""#),
        line("b", 9_000, r#""type":"view""#),
    ];
    let outcome = run(&rules, inputs, 9_000);
    assert_eq!(short(&outcome), ["lifecycle null prospect event 5000", "lifecycle prospect null forgotten 5000"]);
    assert_eq!(outcome.membership["c"], None);
}

#[test]
fn a_bootstrap_publishes_the_values_from_null() {
    let scenario = Scenario {
        rules: LIFECYCLE.into(),
        source: Source::Files,
        inputs: vec![line(0, r#""type":"purchase","amount":"10""#)],
        until: Some(START + 70 * DAY),
        publish_from: Some(PublishFrom { at: START + DAY, changes: true }),
    };
    let outcome = Model::run(&scenario).0;
    let dormant = format!("lifecycle active dormant time {}", 60 * DAY + 1);
    assert_eq!(short(&outcome), [format!("lifecycle null active bootstrap {DAY}"), dormant]);
}

#[test]
fn money_is_rounded_half_away_from_zero_in_the_base_currency() {
    let rules =
        format!("include = [\"revenue\"]\n[currency]\nbase = \"EUR\"\nrates = {{ USD = \"0.92\" }}\n{LIFECYCLE}");
    let outcome = run(&rules, vec![line(0, r#""type":"purchase","amount":"0.125","currency":"USD""#)], 0);
    // 0.125 * 0.92 = 0.115
    assert!(outcome.changes["c"][0].contains(r#""features":{"revenue":"0.12"}"#));
}

#[test]
fn what_only_describes_never_costs_the_event() {
    let rules = format!("include = [\"orders\", \"top_category\"]\n{LIFECYCLE}");
    let order = |fields: &str| line(0, &format!(r#""type":"purchase","amount":"10",{fields}"#));
    let outcome = run(
        &rules,
        vec![
            order(r#""order_id":450789469,"channel":"","items":[null,{"category":["a"]},{"category":"b"}]"#),
            order(r#""order_id":"450789469","discount":-2.5"#),
            order(r#""order_id":"","event_id":"","currency":"","items":"[]","discount":-2.5"#),
            order(r#""order_id":"N/A","event_id":"null""#),
        ],
        0,
    );
    assert_eq!(outcome.rejected, []);
    // The number and the text are one id.
    assert_eq!(outcome.dropped["duplicate_order"], 1);
    let membership = outcome.membership["c"].as_deref().unwrap();
    assert!(membership.contains(r#""features":{"orders":1,"top_category":"b"}"#), "{membership}");
    let unfit: Vec<_> = outcome.unfit.iter().map(|(field, count)| format!("{field} {count}")).collect();
    let expected =
        ["category left_out 1", "channel left_out 1", "currency left_out 1", "discount left_out 1", "items left_out 2"];
    assert_eq!(unfit, expected);
}

#[test]
fn amounts_with_many_decimals_are_rounded_once() {
    let rules = format!("include = [\"revenue\"]\n{LIFECYCLE}");
    for (amount, revenue) in [
        ("0.00499999999999999999999999999999999999999999999999999999999999", "0.00"),
        ("0.00500000000000000000000000000000000000000000000000000000000000", "0.01"),
        ("123456789012345678901234567890e-28", "12.35"),
        ("1e-99999", "0.00"),
    ] {
        let outcome = run(&rules, vec![line(0, &format!(r#""type":"purchase","amount":"{amount}""#))], 0);
        assert!(outcome.changes["c"][0].contains(&format!(r#""features":{{"revenue":"{revenue}"}}"#)), "{amount}");
    }
}

#[test]
fn attributes_are_taken_for_the_declared_type() {
    let rules = "include = [\"tags\", \"age\", \"born\"]\n[attributes]\ntags = \"texts\"\nage = \"number\"\nborn = \"time\"\n\
                 [audience.gold]\nwhen = \"has(tags, 'gold')\"";
    let profile = |attributes: &str| line(0, &format!(r#""type":"profile","attributes":{attributes}"#));
    let outcome = run(
        rules,
        vec![
            profile(r#"{"tags":["silver","gold","silver",7],"age":"30","born":"1970-01-02"}"#),
            profile(r#"{"tags":[],"age":"old","born":86400}"#),
        ],
        0,
    );
    assert_eq!(short(&outcome), ["gold out in event 0", "gold in out event 0"]);
    let expected = r#""features":{"tags":["gold","silver"],"age":30.0,"born":"1970-01-02T00:00:00.000Z"}"#;
    assert!(outcome.changes["c"][0].contains(expected), "{}", outcome.changes["c"][0]);
    let expected = r#""features":{"tags":[],"age":30.0,"born":"1970-01-02T00:00:00.000Z"}"#;
    assert!(outcome.changes["c"][1].contains(expected), "{}", outcome.changes["c"][1]);
    assert_eq!(outcome.unfit["attributes left_out"], 2);
}

#[test]
fn each_reason_of_rejection() {
    let long = "x".repeat(70_000);
    let cases: [(&str, &str); 19] = [
        (&long, "too_large"),
        (r#""type":"view","a":{"b":1,"b":1}"#, "decode"),
        (r#""type":"view","a":"\ud800""#, "decode"),
        (r#""type":"look""#, "type"),
        (r#""type":"purchase""#, "schema"),
        (r#""type":"view","event_id":1.5"#, "schema"),
        (r#""type":"cancel","order_id":"null""#, "schema"),
        (r#""type":"purchase","amount":"""#, "schema"),
        (r#""type":"cancel""#, "schema"),
        (r#""type":"amend","order_id":"o""#, "schema"),
        (r#""type":"amend","amount":1"#, "schema"),
        (r#""type":"purchase","amount":"1,5""#, "amount"),
        (r#""type":"refund","order_id":"o","amount":-1e-9"#, "amount"),
        (r#""type":"purchase","amount":"-1","currency":"XXX""#, "amount"),
        (r#""type":"purchase","amount":"1","currency":"XXX""#, "currency"),
        (r#""type":"cart_add","cart_total":"1","currency":840"#, "currency"),
        (r#""type":"purchase","amount":"10000000000000.01""#, "amount"),
        (r#""type":"refund","amount":0"#, "amount"),
        (r#""type":"view","customer_id":"d""#, "decode"),
    ];
    for (fields, reason) in cases {
        let outcome = run(LIFECYCLE, vec![line(0, fields)], 0);
        assert_eq!(outcome.rejected, [(0, reason.to_string())], "{}", &fields[..fields.len().min(80)]);
    }
    for (time, reason) in [
        ("\"2026-01-01 00:00:00Z\"", "time"),
        ("\"2026-01-01T00:00:60Z\"", "time"),
        ("\"1989-12-31T23:59:59.999Z\"", "time"),
        ("1767225600", "time_unit"),
        ("1.5", "schema"),
        ("\"2099-01-01T00:00:00+01:00\"", "time_future"),
    ] {
        let Input::Record(record) = line(0, r#""type":"view""#) else { unreachable!() };
        let value = format!(r#"{{"customer_id":"c","type":"view","time":{time}}}"#).into_bytes();
        let outcome = run(LIFECYCLE, vec![Input::Record(Record { value, ..record })], 0);
        assert_eq!(outcome.rejected, [(0, reason.to_string())], "{time}");
    }
}
