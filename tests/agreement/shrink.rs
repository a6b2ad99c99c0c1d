//! Shrinks a failing scenario: removes inputs and lines of the rules as long as it still fails.

use crate::model::shard::{Input, Scenario};

pub fn shrink(scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut smallest = scenario;
    loop {
        let before = smallest.clone();
        smallest = fewer_inputs(smallest, &fails);
        smallest = smaller_rules(smallest, &fails);
        for simpler in
            [Scenario { publish_from: None, ..smallest.clone() }, Scenario { until: None, ..smallest.clone() }]
        {
            if simpler != smallest && fails(&simpler) {
                smallest = simpler;
            }
        }
        if smallest == before {
            return smallest;
        }
    }
}

/// Halves first, then quarters, down to single inputs.
fn fewer_inputs(mut scenario: Scenario, fails: &impl Fn(&Scenario) -> bool) -> Scenario {
    let mut length = scenario.inputs.len().div_ceil(2);
    while length > 0 {
        let mut start = 0;
        while start < scenario.inputs.len() {
            let mut fewer = scenario.clone();
            fewer.inputs.drain(start..(start + length).min(scenario.inputs.len()));
            if fails(&fewer) {
                scenario = fewer;
            } else {
                start += length;
            }
        }
        length = if length == 1 { 0 } else { length.div_ceil(2) };
    }
    scenario
}

/// Removes whole targets, segments and optional lines, from the first rules and from later ones.
fn smaller_rules(mut scenario: Scenario, fails: &impl Fn(&Scenario) -> bool) -> Scenario {
    for index in 0..=scenario.inputs.len() {
        let Some(mut text) = rules_at(&mut scenario, index).cloned() else { continue };
        let mut start = 0;
        while start < text.lines().count() {
            let shorter = without(&text, start);
            let mut smaller = scenario.clone();
            *rules_at(&mut smaller, index).expect("there are rules") = shorter.clone();
            if shorter != text && fails(&smaller) {
                (scenario, text) = (smaller, shorter);
            } else {
                start += 1;
            }
        }
    }
    scenario
}

/// The text of the first rules at 0, of those among the inputs at their index and 1.
fn rules_at(scenario: &mut Scenario, index: usize) -> Option<&mut String> {
    match index.checked_sub(1) {
        None => Some(&mut scenario.rules),
        Some(index) => match &mut scenario.inputs[index] {
            Input::Rules(text) => Some(text),
            _ => None,
        },
    }
}

/// The rules without the item that begins at a line: a target with all of its lines, a segment, an optional line.
fn without(text: &str, line: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_target = |line: &str| line.starts_with("[segmentation.") || line.starts_with("[audience.");
    let end = if is_target(lines[line]) {
        (line + 1..lines.len()).find(|next| lines[*next].starts_with('[')).unwrap_or(lines.len())
    } else if ["  { name", "exit", "min_dwell", "include", "max_ids", "max_customers", "grace", "horizon", "max_future"]
        .iter()
        .any(|start| lines[line].starts_with(start))
    {
        line + 1
    } else {
        line
    };
    let kept: Vec<&str> = [&lines[..line], &lines[end..]].concat();
    kept.join("\n") + "\n"
}
