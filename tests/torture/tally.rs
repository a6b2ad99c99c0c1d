//! Kills by phase, and the choice of the next phase.

use crate::phase::Phase;
use crate::support::events::Random;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    kills: u32,
    /// Consecutive attempts that did not lead to a kill.
    misses: u32,
}

#[derive(Clone, Debug)]
pub struct Tally {
    /// The phases to be hit; others are counted as well.
    phases: Vec<Phase>,
    counts: BTreeMap<Phase, Count>,
}

impl Tally {
    pub fn new(phases: Vec<Phase>) -> Self {
        Self { phases, counts: BTreeMap::new() }
    }

    /// Number of kills that were aimed at a phase.
    pub fn total(&self) -> u32 {
        self.counts.iter().filter(|(phase, _)| **phase != Phase::Anywhere).map(|(_, count)| count.kills).sum()
    }

    pub fn hit(&mut self, phase: Phase) {
        let count = self.counts.entry(phase).or_default();
        *count = Count { kills: count.kills + 1, misses: 0 };
    }

    pub fn miss(&mut self, phase: Phase) {
        self.counts.entry(phase).or_default().misses += 1;
    }

    pub fn kills(&self, phase: Phase) -> u32 {
        self.counts.get(&phase).map_or(0, |count| count.kills)
    }

    /// The phase with the fewest kills; of several, one of the group with the fewest. Recent misses count as kills, so
    /// that a phase that cannot be hit is not tried for ever.
    pub fn next(&self, random: &mut Random) -> Phase {
        self.next_of(random, |_| true)
    }

    /// The same among those for which `is_wanted` holds.
    pub fn next_of(&self, random: &mut Random, is_wanted: impl Fn(Phase) -> bool) -> Phase {
        let phases: Vec<Phase> = self.phases.iter().copied().filter(|phase| is_wanted(*phase)).collect();
        let count = |phase: &Phase| self.counts.get(phase).copied().unwrap_or_default();
        let weight = |phase: &Phase| (count(phase).kills + count(phase).misses / 2, self.of_group(phase.group()));
        let fewest = phases.iter().map(weight).min().unwrap_or_default();
        let choices: Vec<Phase> = phases.iter().copied().filter(|phase| weight(phase) == fewest).collect();
        choices[random.below(choices.len() as u64) as usize]
    }

    /// Phases with fewer kills than this.
    pub fn below(&self, kills_min: u32) -> Vec<Phase> {
        self.phases.iter().copied().filter(|phase| self.kills(*phase) < kills_min).collect()
    }

    /// Phases of groups without any kill.
    pub fn groups_missing(&self) -> Vec<Phase> {
        self.phases.iter().copied().filter(|phase| self.of_group(phase.group()) == 0).collect()
    }

    fn of_group(&self, group: &str) -> u32 {
        self.counts.iter().filter(|(phase, _)| phase.group() == group).map(|(_, count)| count.kills).sum()
    }
}

/// A line for each group, with its phases.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.counts.iter().filter(|(_, count)| count.kills > 0).map(|(phase, _)| *phase);
        let mut phases: Vec<Phase> = self.phases.iter().copied().chain(counted).collect();
        phases.sort();
        phases.dedup();
        let mut groups: Vec<(&str, Vec<Phase>)> = Vec::new();
        for phase in phases {
            match groups.last_mut().filter(|(group, _)| *group == phase.group()) {
                Some((_, of_group)) => of_group.push(phase),
                None => groups.push((phase.group(), vec![phase])),
            }
        }
        for (group, of_group) in groups {
            let parts = of_group.iter().map(|phase| {
                let name = phase.to_string();
                let name = name.strip_prefix(&format!("{group}/")).unwrap_or(&name).to_owned();
                format!("{name} {}", self.kills(*phase))
            });
            writeln!(f, "  {:>5}  {group}: {}", self.of_group(group), parts.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}
