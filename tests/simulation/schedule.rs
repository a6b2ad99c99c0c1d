//! What the driver has to do itself at given moments, in order.

use super::plan::Incident;
use std::collections::BTreeMap;

/// Something that the driver does at a moment.
pub enum Task {
    Start { slot: usize },
    Resume { client: usize },
    Reconnect { client: usize },
    EndUpstream { topic: u16, shard: u32, is_commit: bool },
    Incident(Incident),
}

impl Task {
    /// Whether the world cannot come to rest before the task is done.
    fn is_awaited(&self) -> bool {
        match self {
            Self::Incident(incident) => matches!(incident, Incident::PartitionAway { is_away: false, .. }),
            _ => true,
        }
    }
}

/// Tasks by their moment; those of one moment are done in the order in which they were added.
#[derive(Default)]
pub struct Schedule {
    tasks: BTreeMap<(i64, u64), Task>,
    added: u64,
}

impl Schedule {
    pub fn add(&mut self, moment: i64, task: Task) {
        self.added += 1;
        self.tasks.insert((moment, self.added), task);
    }

    /// The next task, if it is due by now.
    pub fn pop_due(&mut self, now: i64) -> Option<Task> {
        self.tasks.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }

    /// The moment of the next task.
    pub fn next(&self) -> Option<i64> {
        self.tasks.keys().next().map(|(moment, _)| *moment)
    }

    pub fn has_awaited(&self) -> bool {
        self.tasks.values().any(Task::is_awaited)
    }

    /// Removes all incidents that have not happened yet.
    pub fn cancel_incidents(&mut self) {
        self.tasks.retain(|_, task| !matches!(task, Task::Incident(_)));
    }
}
