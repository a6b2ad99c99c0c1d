//! The summary of what a restart with other rules would publish: changes by segmentation or audience, from, to and
//! cause, and the snapshots that they follow from.

use crate::engine::calendar::rfc3339_text;
use crate::engine::event::Millis;
use crate::offline::summary::grouped;
use crate::store::ShardPosition;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What the summary has of a change.
#[derive(Debug, Deserialize)]
struct Published<'a> {
    #[serde(borrow)]
    segmentation: Cow<'a, str>,
    from: Option<String>,
    to: Option<String>,
    cause: String,
    #[serde(default)]
    fill: bool,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    segmentation: String,
    from: Option<String>,
    to: Option<String>,
    cause: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    changes: u64,
    /// Those with `"fill": true`.
    fill: u64,
}

/// What was found in one shard.
#[derive(Debug)]
pub struct ShardTally {
    pub number: u32,
    pub position: ShardPosition,
    /// Customers in the snapshot.
    pub customers: u64,
    /// Customers with a change.
    pub changed: u64,
    /// Changes with the cause `rules`.
    pub by_rules: u64,
    /// Changes by rules that came into force before, which are not listed.
    pub changes_before: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Tally {
    /// The rules file.
    pub file: String,
    /// What is told of the rules in force and of those of the file.
    pub versions: [String; 2],
    /// The wall clock.
    pub now: Millis,
    /// Bound on changes caused by new rules, over all shards; 0 is no bound.
    pub max_changes_per_minute: u64,
    pub shards: Vec<ShardTally>,
    rows: BTreeMap<Row, Count>,
}

impl Tally {
    pub fn new(file: String, versions: [String; 2], now: Millis, max_changes_per_minute: u64) -> Self {
        Self { file, versions, now, max_changes_per_minute, shards: Vec::new(), rows: BTreeMap::new() }
    }

    /// Counts a change, given as the value that would be published; whether its cause is `rules`.
    pub fn add(&mut self, value: &[u8]) -> serde_json::Result<bool> {
        let Published { segmentation, from, to, cause, fill } = serde_json::from_slice(value)?;
        let is_by_rules = cause == "rules";
        let count = self.rows.entry(Row { segmentation: segmentation.into_owned(), from, to, cause }).or_default();
        count.changes += 1;
        count.fill += u64::from(fill);
        Ok(is_by_rules)
    }

    fn changes(&self) -> u64 {
        self.rows.values().map(|count| count.changes).sum()
    }

    /// Minutes over which a restart would spread the changes: each shard has an equal share of the bound.
    fn spread_minutes(&self) -> Option<u64> {
        let share = self.max_changes_per_minute as f64 / self.shards.len().max(1) as f64;
        let most = self.shards.iter().map(|shard| shard.by_rules).max().unwrap_or(0);
        (self.max_changes_per_minute > 0).then(|| (most as f64 / share).ceil() as u64)
    }

    fn write_shard(&self, f: &mut fmt::Formatter<'_>, shard: &ShardTally) -> fmt::Result {
        let ShardTally { number, position, customers, .. } = shard;
        let at = position.now.max(position.ticked);
        let at = match at {
            Millis::MIN => "no time yet".to_owned(),
            at => format!("{} ({} ago)", String::from_utf8_lossy(&rfc3339_text(at)), duration(self.now - at)),
        };
        let next: Vec<String> = position
            .inputs
            .iter()
            .zip(&position.positions)
            .map(|(topic, offset)| format!("{topic} {}", grouped(u64::try_from(*offset).unwrap_or(0))))
            .collect();
        writeln!(
            f,
            "    shard {number}: {at}, transaction {}, next offset {}; {} customers",
            grouped(position.transaction),
            next.join(", "),
            grouped(*customers)
        )
    }

    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["segmentation or audience", "from", "to", "cause", "changes", "of them fill"].map(str::to_owned);
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "null".to_owned());
        let rows = self.rows.iter().map(|(row, count)| {
            let Row { segmentation, from, to, cause } = row;
            [segmentation.clone(), name(from), name(to), cause.clone(), grouped(count.changes), grouped(count.fill)]
        });
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &rows {
            let [a, b, c, d, e, g] = row;
            let [wa, wb, wc, wd, we, wg] = widths;
            writeln!(f, "  {a:wa$}  {b:wb$}  {c:wc$}  {d:wd$}  {e:>we$}  {g:>wg$}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&ShardTally) -> u64| self.shards.iter().map(of).sum::<u64>();
        let (changes, changed) = (grouped(self.changes()), grouped(sum(|shard| shard.changed)));
        let customers = grouped(sum(|shard| shard.customers));
        writeln!(
            f,
            "dry run, nothing is published: a restart with {} would publish {changes} changes of {changed} customers, of \
             {customers} in all",
            self.file
        )?;
        let [in_force, file] = &self.versions;
        writeln!(f, "  rules in force: {in_force}; of the file: {file}")?;
        writeln!(f, "  as of the newest snapshot of each shard:")?;
        self.shards.iter().try_for_each(|shard| self.write_shard(f, shard))?;
        let before = sum(|shard| shard.changes_before);
        if before > 0 {
            writeln!(
                f,
                "  not listed: {} changes by rules that are in force already, whose sweep had not ended in the snapshots",
                grouped(before)
            )?;
        }
        if let Some(minutes) = self.spread_minutes() {
            let max = grouped(self.max_changes_per_minute);
            let minutes =
                if minutes > 1 { format!("about {} minutes", grouped(minutes)) } else { "a minute".to_owned() };
            writeln!(
                f,
                "  max_changes_per_minute = {max}: a restart would spread the changes by rules over {minutes}"
            )?;
        }
        if self.rows.is_empty() { Ok(()) } else { self.write_table(f) }
    }
}

/// A duration for people: whole units, the largest of which there are at least two.
fn duration(ms: Millis) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u32, by_rules: u64) -> ShardTally {
        let position = ShardPosition {
            transaction: 1_812,
            outputs: 0,
            positions: vec![1_200, 55],
            inputs: vec!["visits".into(), "shop".into()],
            partitions: 2,
            control_next: 0,
            rules_at: Some(0),
            old_rules_at: None,
            rules_version: String::new(),
            rules: None,
            now: 1_764_594_002_114,
            ticked: 1_764_594_002_000,
            last_arrival: None,
            journal_from: 0,
        };
        ShardTally { number, position, customers: 1_000, changed: by_rules, by_rules, changes_before: 0 }
    }

    fn change(segmentation: &str, from: &str, to: &str, rest: &str) -> String {
        format!("{{\"schema\":1,\"segmentation\":{segmentation:?},\"from\":{from},\"to\":{to},{rest}}}")
    }

    #[test]
    fn the_summary_has_a_row_for_each_transition_and_cause() {
        let versions = ["version a, revision 0", "version b, revision 1"].map(str::to_owned);
        let mut tally = Tally::new("new.toml".into(), versions, 1_764_594_043_500, 0);
        tally.shards = vec![shard(0, 2), shard(1, 1)];
        let values = [
            change("lifecycle", "\"active\"", "\"dormant\"", "\"cause\":\"rules\""),
            change("lifecycle", "\"active\"", "\"dormant\"", "\"cause\":\"rules\""),
            change("value", "null", "\"high\"", "\"cause\":\"rules\",\"fill\":true"),
            change("lifecycle", "\"active\"", "\"dormant\"", "\"cause\":\"time\""),
        ];
        let by_rules = values.map(|value| tally.add(value.as_bytes()).unwrap());
        assert_eq!(by_rules, [true, true, true, false]);
        let expected = "\
dry run, nothing is published: a restart with new.toml would publish 4 changes of 3 customers, of 2,000 in all
  rules in force: version a, revision 0; of the file: version b, revision 1
  as of the newest snapshot of each shard:
    shard 0: 2025-12-01T13:00:02.114Z (41 s ago), transaction 1,812, next offset visits 1,200, shop 55; 1,000 customers
    shard 1: 2025-12-01T13:00:02.114Z (41 s ago), transaction 1,812, next offset visits 1,200, shop 55; 1,000 customers
  segmentation or audience  from    to       cause  changes  of them fill
  lifecycle                 active  dormant  rules        2             0
  lifecycle                 active  dormant  time         1             0
  value                     null    high     rules        1             1
";
        assert_eq!(tally.to_string(), expected);
    }

    #[test]
    fn changes_are_spread_by_the_share_of_the_shard_with_the_most() {
        let versions = ["a", "b"].map(str::to_owned);
        let mut tally = Tally::new("new.toml".into(), versions, 1_764_594_043_500, 600);
        tally.shards = vec![shard(0, 901), shard(1, 30)];
        assert_eq!(tally.spread_minutes(), Some(4), "a share of 300 a minute");
        assert!(tally.to_string().contains(
            "max_changes_per_minute = 600: a restart would spread the changes by rules over about 4 minutes\n"
        ));
        tally.max_changes_per_minute = 0;
        assert_eq!(tally.spread_minutes(), None);
    }

    #[test]
    fn ages_are_in_units_for_people() {
        let texts = [-5, 119_999, 120_000, 7_199_999, 7_200_000, 172_799_999, 172_800_000].map(duration);
        assert_eq!(texts, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
