//! The files of deploy/grafana and deploy/prometheus: Grafana's schema, and further rules.

use super::{path, text};
use crate::support::python;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// Dashboards by the names of their files.
pub const DASHBOARDS: [&str; 3] = ["segments", "pipeline", "state"];
const RULES: [&str; 3] = ["migrations", "operators", "marketers"];
const COLUMNS: u64 = 24;

pub fn dashboard(name: &str) -> Value {
    serde_json::from_str(&text(&format!("deploy/grafana/dashboards/{name}.json"))).expect("JSON")
}

/// All panels except rows.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().expect("panels");
    all.iter().filter(|panel| panel["type"] != "row").collect()
}

pub fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn rule_files() -> String {
    RULES.map(|name| text(&format!("deploy/prometheus/rules/{name}.yml"))).concat()
}

/// Values of a key in the rule files.
fn values_of(key: &str) -> Vec<String> {
    let rules = rule_files();
    let found = rules.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
    found.map(|rest| rest.trim().to_owned()).collect()
}

/// Names of all alerts.
pub fn alerts() -> Vec<String> {
    values_of("alert:")
}

/// Names in a text that begin with this prefix.
fn names(text: &str, beginning: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with(beginning));
    words.map(str::to_owned).collect()
}

#[test]
fn dashboards_pass_grafanas_schema() {
    const CHECK: &str = r#"
import json, sys, jsonschema
validator = jsonschema.Draft7Validator(json.load(open(sys.argv[1])))
wrong = 0
for file in sys.argv[2:]:
    for error in validator.iter_errors(json.load(open(file))):
        wrong += 1
        print(file, list(error.absolute_path), jsonschema.exceptions.best_match([error]).message[:300])
sys.exit(wrong > 0)
"#;
    let Some(python) = python::python(&["jsonschema==4.25.1"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let check = |file: &std::path::Path| {
        let schema = path("deploy/grafana/dashboard.schema.json");
        let out = Command::new(&python).args(["-c", CHECK]).arg(schema).arg(file).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    for name in DASHBOARDS {
        let (is_well, output) = check(&path(&format!("deploy/grafana/dashboards/{name}.json")));
        assert!(is_well, "{output}");
    }
    // The check finds faults at any depth: an unknown key, a wrong type, an unknown value.
    for (pointer, key, wrong) in [
        ("", "style", Value::from("dark")),
        ("", "schemaVersion", Value::from("42")),
        ("/panels/1", "colour", Value::from(1)),
        ("/panels/1/gridPos", "h", Value::from("8")),
        ("/panels/2/options/legend", "placement", Value::from("above")),
        ("/panels/2/fieldConfig/defaults/custom", "drawStyle", Value::from("curve")),
        ("/panels/1/options", "displayMode", Value::from("retro")),
    ] {
        let mut broken = dashboard("segments");
        let location = broken.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        location.insert(key.into(), wrong);
        let file = folder.path().join("broken.json");
        std::fs::write(&file, broken.to_string()).unwrap();
        assert!(!check(&file).0, "{pointer}/{key} is not noticed");
    }
}

#[test]
fn panels_are_whole() {
    let mut uids = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert!(uids.insert(word(&dashboard, "uid").to_owned()), "{name}: its uid is another's");
        assert_eq!(word(&dashboard, "uid"), format!("shoal-{name}"));
        assert!(!word(&dashboard, "description").is_empty());
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: two panels {}", panel["id"]);
        }
        for panel in panels(&dashboard) {
            let title = word(panel, "title");
            let what = format!("{name}, {title}");
            assert!(!title.is_empty() && word(panel, "description").len() > 10, "{what}: no title or description");
            assert!(!word(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{what}: no unit");
            assert_eq!(word(&panel["datasource"], "uid"), "${datasource}", "{what}");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(word(&target["datasource"], "uid"), "${datasource}", "{what}");
                let is_named = panel["type"] == "table" || !word(target, "legendFormat").is_empty();
                assert!(is_named, "{what}: no legend");
                assert!(!word(target, "expr").contains("vector("), "{what}: data that is none");
            }
        }
        for note in dashboard["annotations"]["list"].as_array().unwrap() {
            assert_eq!(word(&note["datasource"], "uid"), "${datasource}", "{name}: annotation");
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    for name in DASHBOARDS {
        let mut taken = BTreeSet::new();
        for panel in dashboard(name)["panels"].as_array().unwrap() {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name}: {} is beyond the grid", panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {} lies on another, at {cell:?}", panel["title"]);
            }
        }
    }
}

#[test]
fn links_lead_to_the_other_dashboards() {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        let links: BTreeSet<&str> =
            dashboard["links"].as_array().unwrap().iter().map(|link| word(link, "url")).collect();
        let others: Vec<String> =
            DASHBOARDS.iter().filter(|other| **other != name).map(|n| format!("/d/shoal-{n}")).collect();
        assert_eq!(links, others.iter().map(String::as_str).collect(), "{name}");
    }
}

#[test]
fn every_metric_that_is_named_is_documented() {
    let page = text("docs/metrics.md");
    let recorded: BTreeSet<String> = values_of("record:").into_iter().collect();
    let dashboards = DASHBOARDS.map(|name| text(&format!("deploy/grafana/dashboards/{name}.json"))).concat();
    let used = dashboards + &rule_files();
    for name in names(&used, "shoal_") {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let is_known = |name: &str| page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}{{"));
        assert!(is_known(&name) || base.is_some_and(is_known), "{name} is not in docs/metrics.md");
    }
    for name in names(&used, "shoal:") {
        assert!(recorded.contains(&name), "{name} is recorded by no rule");
    }
}

#[test]
fn the_page_shows_every_query() {
    let page = text("docs/dashboards.md");
    for name in DASHBOARDS {
        assert!(
            page.contains(&format!("(dashboards/{name}.png)")) && path(&format!("docs/dashboards/{name}.png")).exists()
        );
        for panel in panels(&dashboard(name)) {
            let shown = format!("**{}** {}", word(panel, "title"), word(panel, "description"));
            let queries = panel["targets"].as_array().unwrap().iter().map(|target| word(target, "expr"));
            for text in queries.chain([shown.as_str()]) {
                assert!(
                    page.contains(text),
                    "docs/dashboards.md is old, it lacks {text}: draw it again, see CONTRIBUTING.md"
                );
            }
        }
    }
}

#[test]
fn every_alert_has_a_runbook() {
    let pages: BTreeSet<String> = std::fs::read_dir(path("docs/runbooks"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name != "README")
        .collect();
    let alerts = alerts();
    assert_eq!(pages, alerts.iter().cloned().collect(), "pages and alerts");
    let urls = values_of("runbook_url:");
    let expected = alerts.iter().map(|alert| format!("https://docs.shoal.example/runbooks/{alert}.md"));
    assert_eq!(urls, expected.collect::<Vec<_>>());
    for annotation in ["summary:", "description:"] {
        assert_eq!(values_of(annotation).len(), alerts.len(), "{annotation}");
    }
    let list = text("docs/runbooks/README.md");
    let titles: Vec<String> = DASHBOARDS
        .iter()
        .flat_map(|name| {
            panels(&dashboard(name)).iter().map(|panel| word(panel, "title").to_owned()).collect::<Vec<_>>()
        })
        .collect();
    for alert in alerts {
        assert!(list.contains(&format!("[{alert}]({alert}.md)")), "{alert} is not in the list");
        let page = text(&format!("docs/runbooks/{alert}.md"));
        assert!(page.contains("## Diagnosis") && page.contains("## Resolution"), "{alert}");
        for bold in page.split("**").skip(1).step_by(2) {
            assert!(titles.iter().any(|title| title.starts_with(bold)), "{alert}: there is no panel {bold}");
        }
    }
}
