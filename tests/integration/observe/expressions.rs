//! Every expression of panels, annotations and rules, with the variables filled in.

use super::dashboards::{DASHBOARDS, dashboard, panels, word};
use super::watch::Watch;

/// Values for Grafana's variables.
const VARIABLES: [(&str, &str); 5] = [
    ("$__rate_interval", "10s"),
    ("$__range", "10m"),
    ("$instance", ".*"),
    ("$segmentation", "lifecycle"),
    ("$cause", ".*"),
];

/// One expression and its location: `segments, Flows, A` or the name of a rule.
#[derive(Clone, Debug)]
pub struct Expression {
    pub location: String,
    pub text: String,
}

/// The text with the variables filled in.
pub fn filled(text: &str) -> String {
    VARIABLES.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// All expressions of the dashboards.
pub fn of_dashboards() -> Vec<Expression> {
    let mut found = Vec::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().expect("targets") {
                let location = format!("{name}, {}, {}", word(panel, "title"), word(target, "refId"));
                found.push(Expression { location, text: filled(word(target, "expr")) });
            }
        }
        for note in dashboard["annotations"]["list"].as_array().expect("annotations") {
            let location = format!("{name}, annotation {}", word(note, "name"));
            found.push(Expression { location, text: filled(word(&note["target"], "expr")) });
        }
    }
    assert!(found.iter().all(|expression| !expression.text.contains('$')), "a variable that is not filled in");
    found
}

/// The expressions of all rules; for an alert, the expression without its threshold.
pub fn of_rules(watch: &Watch) -> Vec<Expression> {
    let rules = watch.rules().into_iter();
    rules.map(|(location, text)| Expression { location, text: without_bounds(&text) }).collect()
}

/// Removes comparisons with numbers, and makes comparisons of two series return 0 or 1, so that an alert that does not
/// fire has data too.
fn without_bounds(text: &str) -> String {
    let mut words = text.split_whitespace().peekable();
    let mut kept: Vec<String> = Vec::new();
    while let Some(word) = words.next() {
        if !["==", "!=", ">", "<", ">=", "<="].contains(&word) {
            kept.push(word.into());
            continue;
        }
        let next = words.next().expect("something to compare with");
        let bound = next.trim_end_matches(')');
        let is_number = bound.parse::<f64>().is_ok() && !words.peek().is_some_and(|word| ["*", "/"].contains(word));
        if is_number {
            kept.last_mut().expect("something is compared").push_str(&next[bound.len()..]);
        } else if next == "bool" {
            kept.extend([word.into(), next.into()]);
        } else {
            kept.extend([word.into(), "bool".into(), next.into()]);
        }
    }
    kept.join(" ")
}

#[test]
fn an_alert_is_read_without_its_bound() {
    for (text, expected) in [
        ("a > 60", "a"),
        ("(a > 100) > 0.1 and on (job) b == 1", "(a) and on (job) b"),
        ("a > 3 * b and a > 0.02", "a > bool 3 * b and a"),
        ("a{x=~\"y|z\",w!=\"v\"} == bool max(b)", "a{x=~\"y|z\",w!=\"v\"} == bool max(b)"),
    ] {
        assert_eq!(without_bounds(text), expected);
    }
}
