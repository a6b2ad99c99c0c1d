//! When a comparison of days_to_anniversary() with literals flips.
//!
//! The days count down at each midnight and begin anew after 0, so no arithmetic with windows finds the flip. The truth
//! of the comparison depends on the number of days alone, so it is computed once for every number that there can be;
//! the next flip is then a look-up per year.

use super::predicate::Predicate;
use super::scalar::{Decimal, Facts, Scalar};
use super::truth::Truth;
use super::values::TargetValues;
use crate::engine::event::{Millis, NEVER};
use crate::engine::feature::{Call, Read, Steps};
use crate::engine::profile::Customer;

/// More days than lie before any anniversary.
const DAYS_MAX: i64 = 366;
/// Anniversaries after which the numbers of days in between have all occurred: leap years are at most 8 years apart.
const YEARS_MAX: usize = 10;

/// The truth of a comparison for each number of days.
#[derive(Clone, Debug)]
pub struct Countdown {
    call: Call,
    /// The first number of days of each run with one truth, from 0 on.
    runs: Vec<(i64, Truth)>,
}

impl Countdown {
    /// That of a predicate which compares such a feature, `None` if there is none in it.
    ///
    /// # Errors
    /// The feature's name if it is compared with anything but literals.
    pub fn of(predicate: &Predicate) -> Result<Option<Self>, &'static str> {
        let (mut calls, mut name, mut others) = (Vec::new(), None, false);
        predicate.for_each_operand(|operand| {
            match operand {
                Scalar::Feature(call) if counts_down(call) => calls.push(&**call),
                literal => others |= literal.constant_or_null().is_none(),
            }
            operand.for_each_feature(&mut |call| name = name.or(counts_down(call).then_some(call.feature.name)));
        });
        match (name, &calls[..]) {
            (None, _) => Ok(None),
            (Some(_), [call]) if !others => Ok(Some(Self { call: (*call).clone(), runs: runs(predicate) })),
            (Some(name), _) => Err(name),
        }
    }

    /// The first instant after `now` at which the truth differs: exact, and `NEVER` without the attribute.
    pub fn next_flip(&self, customer: &Customer<'_>, now: Millis) -> Millis {
        let arguments = &self.call.arguments;
        let today = arguments.day(now);
        let Some(mut days) = self.days(customer, now) else { return NEVER };
        let (mut day, truth) = (today, self.run(days).1);
        for _ in 0..YEARS_MAX {
            if self.run(days).1 != truth {
                return arguments.day_begins(day);
            }
            let (first, _) = self.run(days);
            if first > 0 {
                // One less than the first number of the run is in the run below, which has another truth.
                return arguments.day_begins(day + days - (first - 1));
            }
            day += days + 1;
            days = self.days(customer, arguments.day_begins(day)).unwrap_or(0);
        }
        NEVER
    }

    fn days(&self, customer: &Customer<'_>, now: Millis) -> Option<i64> {
        match self.call.feature.read {
            Read::Whole(read) => read(&self.call.arguments, customer, now),
            _ => None,
        }
    }

    fn run(&self, days: i64) -> (i64, Truth) {
        self.runs[self.runs.partition_point(|(first, _)| *first <= days) - 1]
    }
}

fn counts_down(call: &Call) -> bool {
    matches!(call.feature.steps, Steps::CountsDown)
}

fn runs(predicate: &Predicate) -> Vec<(i64, Truth)> {
    let customer = Customer::unknown("");
    let mut runs: Vec<(i64, Truth)> = Vec::new();
    for days in 0..=DAYS_MAX {
        let mut asked = predicate.clone();
        asked.for_each_operand_mut(|operand| {
            if matches!(operand, Scalar::Feature(_)) {
                *operand = Scalar::Decimal(Decimal::whole(days));
            }
        });
        let truth = asked.truth(Facts { customer: &customer, now: 0, values: TargetValues::None, event: None });
        if runs.last().is_none_or(|(_, known)| *known != truth) {
            runs.push((days, truth));
        }
    }
    runs
}
