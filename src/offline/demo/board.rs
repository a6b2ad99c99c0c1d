//! The state of the demo's panel: members per segment, flows between segments, and the last changes as sentences.
//!
//! It is computed from the changes alone, as any consumer of the `changes` topic could do.

use crate::offline::describe::{ChangeRecord, describe};
use std::collections::{BTreeMap, VecDeque};

const LAST_MAX: usize = 32;

/// A segmentation: its segments in the order of the rules file, their members, and the changes between them.
pub struct Flows {
    pub name: String,
    pub segments: Vec<String>,
    pub members: Vec<u64>,
    /// `changes[from][to]`.
    pub changes: Vec<Vec<u64>>,
}

#[derive(Default)]
pub struct Board {
    pub segmentations: Vec<Flows>,
    /// Members of each audience.
    pub audiences: BTreeMap<String, u64>,
    pub by_cause: BTreeMap<String, u64>,
    pub changes: u64,
    /// Date and description of the last changes, the newest last.
    pub last: VecDeque<String>,
}

impl Board {
    /// A board for these segmentations and audiences, by (name, segments); an audience has no segments.
    pub fn new(targets: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let mut board = Self::default();
        for (name, segments) in targets {
            if segments.is_empty() {
                board.audiences.insert(name, 0);
            } else {
                let count = segments.len();
                let changes = vec![vec![0; count]; count];
                board.segmentations.push(Flows { name, segments, members: vec![0; count], changes });
            }
        }
        board
    }

    pub fn add(&mut self, change: &ChangeRecord) {
        self.changes += 1;
        match self.by_cause.get_mut(&change.cause) {
            Some(count) => *count += 1,
            None => drop(self.by_cause.insert(change.cause.clone(), 1)),
        }
        if let Some(members) = self.audiences.get_mut(&change.segmentation) {
            match change.to.as_deref() {
                Some("in") => *members += 1,
                _ => *members = members.saturating_sub(1),
            }
        } else if let Some(flows) = self.segmentations.iter_mut().find(|flows| flows.name == change.segmentation) {
            flows.add(change.from.as_deref(), change.to.as_deref());
        }
        if self.last.len() == LAST_MAX {
            self.last.pop_front();
        }
        let when = change.effective_at.get(..16).unwrap_or(&change.effective_at).replace('T', " ");
        self.last.push_back(format!("{when}  {}", describe(change)));
    }
}

impl Flows {
    fn add(&mut self, from: Option<&str>, to: Option<&str>) {
        let index = |name: Option<&str>| name.and_then(|name| self.segments.iter().position(|known| known == name));
        let (from, to) = (index(from), index(to));
        if let Some(from) = from {
            self.members[from] = self.members[from].saturating_sub(1);
        }
        if let Some(to) = to {
            self.members[to] += 1;
        }
        if let (Some(from), Some(to)) = (from, to) {
            self.changes[from][to] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(segmentation: &str, from: Option<&str>, to: Option<&str>) -> ChangeRecord {
        let change = serde_json::json!({"customer_id": "c-1", "segmentation": segmentation, "from": from, "to": to,
            "cause": "event", "effective_at": "2011-02-03T04:05:06.000Z", "trigger": null, "because": [], "features": {}});
        serde_json::from_value(change).unwrap()
    }

    #[test]
    fn members_and_flows_follow_from_the_changes() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut board = Board::new([("life".into(), names(&["new", "old"])), ("vip".into(), Vec::new())]);
        for _ in 0..3 {
            board.add(&change("life", None, Some("new")));
        }
        board.add(&change("life", Some("new"), Some("old")));
        board.add(&change("life", Some("new"), None));
        board.add(&change("vip", Some("out"), Some("in")));
        assert_eq!(board.segmentations[0].members, [1, 1]);
        assert_eq!(board.segmentations[0].changes, [[0, 1], [0, 0]]);
        assert_eq!((board.audiences["vip"], board.changes, board.by_cause["event"]), (1, 6, 6));
        assert_eq!(board.last.back().unwrap(), "2011-02-03 04:05  c-1 joins vip: an event");
    }
}
