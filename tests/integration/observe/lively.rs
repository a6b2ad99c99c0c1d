//! Two processes with events of every kind: their metrics are well formed and documented, and every expression of
//! every panel and rule gives data.

use super::expressions::{Expression, of_dashboards, of_rules};
use super::service::{Process, Service, addresses};
use super::stream::{Stream, rules};
use super::watch::{Watch, until};
use super::{path, promtool, text};
use crate::support::wait::wait_until_moment;
use crate::support::{self, python};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

/// Folder for the pictures of `draw.py`; without it none are drawn. Drawing takes some minutes.
const PICTURES: &str = "SHOAL_PICTURES";
const PICTURE_SECONDS: u64 = 300;

#[test]
fn every_expression_gives_data() {
    let (true, Some(broker)) = (promtool::is_there(), support::broker()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let service = Service::new(broker, folder.path(), "lively", &["events", "browsing"], 4);
    let service = service.with("SNAPSHOTS__INTERVAL", "2s").with("WORKER__WORKERS", "2");
    service.write_rules(&rules());
    let addresses = addresses(2);
    let watch = Watch::start(&addresses);
    let service = service.with_webhook(&watch.webhook);
    let first = service.start("lively-0", &addresses[0]);
    let _stream = Stream::start(broker, ["events", "browsing"].map(|name| format!("lively-{name}")));
    // Started later, so that shards move.
    watch.wait_for("shoal:shards:all_live", 1.0);
    let second = service.start("lively-1", &addresses[1]);
    watch.wait_for(r#"count(shoal_shards{phase="running"} > 0)"#, 2.0);

    let expected = expected(&watch);
    let mut missing: BTreeMap<String, Expression> = expected.iter().map(|e| (e.location.clone(), e.clone())).collect();
    until("every expression gives data", || {
        missing.retain(|_, expression| !gives_data(&watch, expression));
        if missing.is_empty() { Ok(()) } else { Err(format!("none of {:#?}", missing.values())) }
    });
    println!("{} expressions give data", expected.len());
    assert_eq!(watch.failing_rules(), Vec::<String>::new());
    for process in [&first, &second] {
        promtool::check_metrics(&process.metrics());
        every_metric_is_documented(process);
    }
    draw(&watch);
    second.stop();
    first.stop();
}

/// All expressions except those that may be empty.
fn expected(watch: &Watch) -> Vec<Expression> {
    let all: Vec<Expression> = of_dashboards().into_iter().chain(of_rules(watch)).collect();
    let list = text("tests/integration/observe/empty.txt");
    let empty: BTreeSet<&str> = list.lines().filter_map(|line| Some(line.split_once(" | ")?.0)).collect();
    for location in &empty {
        assert!(all.iter().any(|expression| expression.location == *location), "empty.txt: there is no {location}");
    }
    all.into_iter().filter(|expression| !empty.contains(expression.location.as_str())).collect()
}

/// Whether there was a value in the last minute; NaN does not count.
fn gives_data(watch: &Watch, expression: &Expression) -> bool {
    let answer = watch.range(&expression.text, 60);
    let series = answer.unwrap_or_else(|error| panic!("{}: {}: {error}", expression.location, expression.text));
    series.iter().any(|series| series.values.iter().any(|value| !value.is_nan()))
}

fn every_metric_is_documented(process: &Process) {
    let page = text("docs/metrics.md");
    let metrics = process.metrics();
    let named = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let ours: Vec<&str> = named.filter(|name| name.starts_with("shoal_")).collect();
    assert!(ours.len() > 40, "only {ours:?}");
    for name in ours {
        let is_known = page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}{{"));
        assert!(is_known, "{name} is not in docs/metrics.md");
    }
}

/// Lets the stream continue for some minutes and draws the dashboards, if pictures are wanted.
fn draw(watch: &Watch) {
    let Some(pictures) = std::env::var_os(PICTURES) else { return };
    let python = python::python(&["matplotlib==3.11.2"]).expect("Python");
    wait_until_moment(Instant::now() + Duration::from_secs(PICTURE_SECONDS));
    let mut command = Command::new(python);
    command.arg(path("deploy/grafana/draw.py")).args(["--prometheus", &format!("http://{}", watch.prometheus)]);
    command.args(["--minutes", "5", "--set", "segmentation=lifecycle", "--set", "__rate_interval=20s"]);
    assert!(command.arg("--out").arg(pictures).status().unwrap().success());
}
