//! promtool and amtool on the files in deploy/prometheus.

use super::path;
use std::io::Write;
use std::process::{Command, Stdio};

/// The programs that the tests of this folder start.
const PROGRAMS: [&str; 4] = ["prometheus", "promtool", "prometheus-alertmanager", "amtool"];

/// Whether the programs are there.
///
/// # Panics
/// With `CI=true` if they are not.
pub fn is_there() -> bool {
    let runs = |program: &&&str| Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    let Some(missing) = PROGRAMS.iter().find(|program| !runs(program)) else { return true };
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_ci, "CI=true needs {missing} (Debian: prometheus, prometheus-alertmanager)");
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Printed past the capture of the test runner: a skipped test must be visible.
    let skipped = format!("\n*** SKIPPED {test}: it needs {missing} (Debian: prometheus, prometheus-alertmanager)");
    let _ = writeln!(std::io::stderr(), "{skipped}");
    false
}

/// Output of a command in deploy/prometheus, which must succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).current_dir(path("deploy/prometheus")).output().unwrap();
    let output = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {output}");
    output
}

/// Names of the YAML files in a folder of deploy/prometheus.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(path("deploy/prometheus").join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".yml")).map(|name| format!("{folder}/{name}")).collect()
}

#[test]
fn rules_and_configurations_are_well() {
    if !is_there() {
        return;
    }
    for file in files("rules") {
        println!("{}", run("promtool", &["check", "rules", &file]));
    }
    println!("{}", run("promtool", &["check", "config", "prometheus.yml"]));
    println!("{}", run("amtool", &["check-config", "alertmanager.yml"]));
}

#[test]
fn alerts_fire_and_do_not() {
    if !is_there() {
        return;
    }
    let files = files("tests");
    let arguments: Vec<&str> = ["test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    println!("{}", run("promtool", &arguments));
    // Each alert has a case in which it fires, and one in which it does not.
    let cases: String = files.iter().map(|file| super::text(&format!("deploy/prometheus/{file}"))).collect();
    for alert in super::dashboards::alerts() {
        let of_alert =
            cases.split("    alert_rule_test:").filter(|case| case.contains(&format!("alertname: {alert}\n")));
        let quiet = of_alert.clone().filter(|case| case.contains("exp_alerts: []")).count();
        assert!(quiet > 0 && of_alert.count() > quiet, "{alert} lacks a case");
    }
}

/// `promtool check metrics` on what a process answers.
pub fn check_metrics(metrics: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let output = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    println!("promtool check metrics: {} {output}", out.status);
    assert!(out.status.success() && output.is_empty(), "{output}");
}
