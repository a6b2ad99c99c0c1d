//! Marks of erased and opted-out customers (R7), which drop events.

use super::feature::REMEMBERED;

#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    Erased {
        until: i64,
    },
    OptedOut {
        until: i64,
        own_time: i64,
    },
    /// Opted in again by an event at `from`.
    Lifted {
        until: i64,
        from: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Pass,
    /// An opt-in that ends the opt-out.
    Lifts,
    Erased,
    OptedOut,
}

impl Mark {
    pub fn judge(&self, kind: &str, time: i64, watermark: Option<i64>) -> Verdict {
        let is_gone = |moment: i64| watermark.is_some_and(|watermark| watermark - moment > REMEMBERED);
        match *self {
            Mark::Erased { until } if time <= until && !is_gone(until) => Verdict::Erased,
            Mark::OptedOut { own_time, .. } if kind == "opt_in" && time > own_time => Verdict::Lifts,
            Mark::OptedOut { .. } => Verdict::OptedOut,
            Mark::Lifted { until, from } if (time < from || time <= until) && !is_gone(until.max(from)) => {
                Verdict::Erased
            }
            Mark::Erased { .. } | Mark::Lifted { .. } => Verdict::Pass,
        }
    }
}
