//! Reads what callgrind writes: instructions by function and by the functions that called it.
//!
//! With `--separate-callers` the name of a function is that of its whole chain of calls, the innermost first. So each
//! instruction is counted once, and it is known within what it was run.

use std::collections::HashMap;

/// One measurement.
#[derive(Default)]
pub struct Profile {
    /// Its name in [`crate::valgrind::count`].
    pub name: String,
    /// Instructions of each chain of functions, those of the functions that it calls excluded.
    pub chains: Vec<(Chain, u64)>,
}

/// Names of functions, the innermost first.
#[derive(Clone, Debug, Default)]
pub struct Chain(Vec<String>);

impl Chain {
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn new(text: &str) -> Self {
        Self(text.split('\'').map(str::to_owned).collect())
    }
}

impl Profile {
    /// Reads a file of callgrind.
    ///
    /// # Errors
    /// If a line is not as callgrind's manual says.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut profile = Self::default();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let (mut current, mut is_of_call) = (None, false);
        for line in text.lines() {
            let fault = || format!("callgrind wrote a line that is not understood: {line:?}");
            if let Some(name) = line.strip_prefix("desc: Trigger: Client Request: ") {
                profile.name = name.to_owned();
            } else if let Some(name) = line.strip_prefix("fn=") {
                current = Some(profile.number_of(name, &mut numbers).ok_or_else(fault)?);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                // A name may be written out where it is called, and be only a number afterwards.
                profile.number_of(name, &mut numbers).ok_or_else(fault)?;
            } else if line.starts_with("calls=") {
                is_of_call = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                // The line after `calls=` is the cost of the called functions, which have lines of their own.
                if !std::mem::take(&mut is_of_call) {
                    let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).ok_or_else(fault)?;
                    profile.chains[current.ok_or_else(fault)?].1 += cost;
                }
            }
        }
        Ok(profile)
    }

    /// The index of the chain that is written as `(number) name` at first, and as `(number)` from then on.
    fn number_of<'a>(&mut self, written: &'a str, numbers: &mut HashMap<&'a str, usize>) -> Option<usize> {
        let (number, name) = written.strip_prefix('(')?.split_once(')')?;
        if let Some(index) = numbers.get(number) {
            return Some(*index);
        }
        self.chains.push((Chain::new(name.strip_prefix(' ')?), 0));
        numbers.insert(number, self.chains.len() - 1);
        Some(self.chains.len() - 1)
    }

    /// All functions with their own instructions, the most expensive first.
    pub fn functions(&self, is_counted: impl Fn(&Chain) -> bool) -> Vec<(&str, u64)> {
        let mut sums: HashMap<&str, u64> = HashMap::new();
        for (chain, cost) in self.chains.iter().filter(|(chain, _)| is_counted(chain)) {
            *sums.entry(chain.names().next().unwrap_or_default()).or_default() += cost;
        }
        let mut functions: Vec<(&str, u64)> = sums.into_iter().collect();
        functions.sort_by_key(|(name, cost)| (std::cmp::Reverse(*cost), *name));
        functions
    }
}
