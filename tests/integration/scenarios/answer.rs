//! What a scenario publishes, in the format of scenario files: one block of lines for each change.
//!
//! ```text
//! anna 2 lifecycle active -> at_risk at 60d+1ms time
//!   because recency_days <= 60: 60.00000001157407 true -> false
//!   next dormant at 180d+1ms
//! ```

use super::times::Times;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// All that was published, or is expected to be.
#[derive(Default)]
pub struct Answer {
    /// Blocks of changes by customer, in the order of their sequence.
    pub changes: BTreeMap<String, Vec<String>>,
    /// The customers in the order in which the file has them.
    customers: Vec<String>,
    /// Records by their number, from 1, with the reason.
    pub rejected: BTreeMap<usize, String>,
    /// What the membership topic holds in the end, by customer; compared only if the file has this section.
    pub membership: Option<BTreeMap<String, String>>,
    /// How many events were dropped or late, by kind; compared only if the file has this section.
    pub counts: Option<BTreeMap<String, u64>>,
}

impl Answer {
    /// Reads what follows the line `--- changes` in a scenario's file.
    pub fn read(text: &str, times: &Times) -> Result<Self, String> {
        let mut answer = Self::default();
        let mut sections = text.split("\n--- ");
        answer.read_changes(sections.next().unwrap_or_default(), times)?;
        for section in sections {
            let (name, body) = section.split_once('\n').unwrap_or((section, ""));
            let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
            let pairs = lines.map(|line| line.split_once(' ').ok_or_else(|| format!("`{line}`: expected two words")));
            let pairs: Vec<(&str, &str)> = pairs.collect::<Result<_, _>>()?;
            match name {
                "rejected" => answer.rejected = pairs.into_iter().map(rejected).collect::<Result<_, _>>()?,
                "membership" => {
                    let member = |(name, value): (&str, &str)| Ok((name.to_owned(), with_moments(value, times)?));
                    answer.membership = Some(pairs.into_iter().map(member).collect::<Result<_, String>>()?);
                }
                "counts" => answer.counts = Some(pairs.into_iter().map(count).collect::<Result<_, _>>()?),
                _ => return Err(format!("`--- {name}`: expected rejected, membership or counts")),
            }
        }
        Ok(answer)
    }

    fn read_changes(&mut self, text: &str, times: &Times) -> Result<(), String> {
        let mut customer = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let first = line.split_whitespace().next().expect("not empty");
            if ["because", "next", "features"].contains(&first) {
                let blocks: Option<&mut Vec<String>> = customer.and_then(|customer| self.changes.get_mut(customer));
                let block = blocks.and_then(|blocks| blocks.last_mut()).ok_or("expected a change first")?;
                let line = if first == "next" { with_moments(line, times)? } else { line.to_owned() };
                write!(block, "\n  {line}").expect("memory");
            } else {
                if !self.changes.contains_key(first) {
                    self.customers.push(first.to_owned());
                }
                self.changes.entry(first.to_owned()).or_default().push(with_moments(line, times)?);
                customer = Some(first);
            }
        }
        Ok(())
    }

    /// The part of a scenario's file after its head; optional sections only if `like` has them, and customers in its
    /// order.
    pub fn render(&self, like: &Self) -> String {
        let mut text = String::from("\n--- changes\n");
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_by_key(|(customer, _)| {
            like.customers.iter().position(|known| known == *customer).unwrap_or(usize::MAX)
        });
        for block in changes.into_iter().flat_map(|(_, blocks)| blocks) {
            writeln!(text, "{block}").expect("memory");
        }
        if !self.rejected.is_empty() {
            text.push_str("\n--- rejected\n");
        }
        for (number, reason) in &self.rejected {
            writeln!(text, "#{number} {reason}").expect("memory");
        }
        if let (Some(members), Some(_)) = (&self.membership, &like.membership) {
            text.push_str("\n--- membership\n");
            for (customer, value) in members {
                writeln!(text, "{customer} {value}").expect("memory");
            }
        }
        if let (Some(counts), Some(_)) = (&self.counts, &like.counts) {
            text.push_str("\n--- counts\n");
            for (kind, count) in counts.iter().filter(|(_, count)| **count > 0) {
                writeln!(text, "{kind} {count}").expect("memory");
            }
        }
        text
    }
}

fn rejected((number, reason): (&str, &str)) -> Result<(usize, String), String> {
    let number = number.trim_start_matches('#').parse().map_err(|_| format!("`{number}`: expected #1, #2, …"))?;
    Ok((number, reason.to_owned()))
}

fn count((kind, count): (&str, &str)) -> Result<(String, u64), String> {
    Ok((kind.to_owned(), count.parse().map_err(|_| format!("`{count}`: expected a number"))?))
}

/// Collapses blanks, and normalises the times after `at`, `since` and `life`.
fn with_moments(line: &str, times: &Times) -> Result<String, String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let announced =
            words.len() > 1 && words.last().is_some_and(|last| ["at", "since", "life"].contains(&last.as_str()));
        let is_moment = announced && word.starts_with(|c: char| c.is_ascii_digit());
        words.push(if is_moment { times.render(times.parse(word)?) } else { word.to_owned() });
    }
    Ok(words.join(" "))
}

/// Turns the values of the change topic into blocks. `since` and `life` are written only if they do not follow from the
/// changes before: a value is held since the change that brought it, and a life begins with its first change.
pub struct ChangeWriter<'a> {
    pub times: &'a Times,
    /// The number of a record by its partition and offset.
    pub number: &'a dyn Fn(u64, i64) -> usize,
    /// Names of rules files by version, if there are several.
    pub rules: &'a [(String, String)],
    /// By customer: life and, by segmentation, since when its value is held.
    pub lives: BTreeMap<String, (i64, BTreeMap<String, String>)>,
}

impl ChangeWriter<'_> {
    pub fn block(&mut self, change: &Value) -> (String, String) {
        let text = |name: &str| change[name].as_str().unwrap_or("null").to_owned();
        let (customer, target, effective_at) = (text("customer_id"), text("segmentation"), text("effective_at"));
        let life = change["life"].as_i64().expect("life is a number");
        let mut since_told = String::new();
        let known = self.lives.entry(customer.clone()).or_insert((life, BTreeMap::new()));
        if known.0 != life {
            *known = (life, BTreeMap::new());
        }
        let begun = self.times.render(life);
        if let Some(from_since) = change["from_since"].as_str() {
            let since = self.times.render_rfc3339(from_since);
            if known.1.get(&target).unwrap_or(&begun) != &since {
                since_told = format!(" since {since}");
            }
        } else if change["from"].is_string() {
            since_told = " since nothing".to_owned();
        }
        let at = self.times.render_rfc3339(&effective_at);
        known.1.insert(target.clone(), at.clone());
        let sequence = change["sequence"].as_u64().expect("sequence is a number");
        let mut block = format!(
            "{customer} {sequence} {target} {}{since_told} -> {} at {at} {}",
            text("from"),
            text("to"),
            text("cause")
        );
        if change.get("fill").is_some_and(|fill| *fill == true) {
            block.push_str(" fill");
        }
        if let Some(trigger) = change["trigger"].as_object() {
            let position =
                (trigger["partition"].as_u64().expect("number"), trigger["offset"].as_i64().expect("number"));
            write!(block, " #{}", (self.number)(position.0, position.1)).expect("memory");
        }
        if sequence == 1 && begun != at {
            write!(block, " life {begun}").expect("memory");
        }
        let version = text("rules_version");
        let known =
            self.rules.iter().position(|(_, known)| *known == version).unwrap_or_else(|| panic!("rules {version}?"));
        if known > 0 {
            write!(block, " under {}", self.rules[known].0).expect("memory");
        }
        for because in change["because"].as_array().expect("a list") {
            let rule = because["rule"].as_str().expect("text");
            write!(block, "\n  because {rule}: {} {} -> {}", because["value"], because["was"], because["now"])
                .expect("memory");
        }
        if let Some(next) = change["next"].as_object() {
            let at = self.times.render_rfc3339(next["at"].as_str().expect("text"));
            write!(block, "\n  next {} at {at}", next["to"].as_str().expect("text")).expect("memory");
        }
        let features = change["features"].as_object().expect("an object");
        if !features.is_empty() {
            block.push_str("\n  features");
            features.iter().for_each(|(name, value)| write!(block, " {name}={value}").expect("memory"));
        }
        (customer, block)
    }
}

/// A membership record in one line; a tombstone is `gone`.
pub fn member(value: Option<&Value>, times: &Times) -> String {
    let Some(value) = value else { return "gone".to_owned() };
    let moment = |value: &Value| times.render_rfc3339(value.as_str().expect("a moment"));
    let mut line = format!("sequence {} at {}", value["sequence"], moment(&value["effective_at"]));
    for (name, held) in value["segments"].as_object().expect("an object") {
        write!(line, " {name} {} since {}", held["value"].as_str().unwrap_or("null"), moment(&held["since"]))
            .expect("memory");
    }
    for (name, held) in value["audiences"].as_object().expect("an object") {
        let inside = if held["in"] == Value::Bool(true) { "in" } else { "out" };
        write!(line, " {name} {inside} since {}", moment(&held["since"])).expect("memory");
    }
    for (name, feature) in value["features"].as_object().expect("an object") {
        write!(line, " {name}={feature}").expect("memory");
    }
    line
}
