//! Random comparisons of moments, of anniversaries and of ids.

use crate::model::moment;
use crate::model::value::{DAY, HOUR};
use crate::random::Random;
use crate::rules_text::Writer;

/// 2020-01-01T00:00:00Z, where the events of a scenario begin.
pub const START: i64 = 1_577_836_800_000;

/// An interval of whole hours in which there may be events, mostly long before the last ones.
pub fn interval(random: &mut Random) -> (String, String) {
    let length = random.pick(&[HOUR, 6 * HOUR, DAY, 30 * DAY, 400 * DAY, 900 * DAY]);
    let from = (START + random.between(-length / 2, 20 * DAY.min(length))) / HOUR * HOUR;
    let mut written = |time: i64| {
        let text = moment::text(if random.chance(30) { time / DAY * DAY } else { time });
        if text.ends_with("T00:00:00.000Z") { text[..10].to_string() } else { format!("{}Z", &text[..19]) }
    };
    let (from, to) = (written(from), written(from + length));
    if moment::written(&from) < moment::written(&to) { (from, to) } else { interval(random) }
}

impl Writer<'_> {
    fn moment(&mut self) -> &'static str {
        self.random.pick(&[
            "first_order_at",
            "last_order_at",
            "last_order_at",
            "first_seen_at",
            "last_seen_at",
            "signed_up",
            "signed_up",
        ])
    }

    /// A time at which there may be events.
    pub fn likely_time(&mut self) -> i64 {
        let scale = self.random.pick(&[DAY, 10 * DAY, 60 * DAY, 600 * DAY]);
        let time = START + self.random.between(-scale / 4, scale);
        time - if self.random.chance(50) { time % HOUR } else { 0 }
    }

    fn moment_literal(&mut self) -> String {
        let text = moment::text(self.likely_time());
        match self.random.below(3) {
            0 => format!("DATE '{}'", &text[..10]),
            1 => format!("TIMESTAMP '{}Z'", &text[..19]),
            _ => format!("TIMESTAMP '{text}'"),
        }
    }

    pub fn moment_comparison(&mut self) -> String {
        let (one, other, operator) = (self.moment(), self.moment(), self.operator());
        let (low, high) = (self.moment_literal(), self.moment_literal());
        let not = self.random.pick(&["", "NOT "]);
        match self.random.below(12) {
            0 | 1 => format!("{one} {operator} {other}"),
            2 => format!("{one} {not}BETWEEN {low} AND {high}"),
            3 => format!("{one} {not}IN ({other}, {low})"),
            4 => format!("COALESCE({one}, {other}, {low}) {operator} {high}"),
            5 => format!("{low} {operator} {one}"),
            6 => format!("{one} IS {not}NULL"),
            7 => format!("{low} {not}BETWEEN {one} AND {other}"),
            _ => format!("{one} {operator} {low}"),
        }
    }

    pub fn anniversary_comparison(&mut self) -> String {
        let days = "days_to_anniversary(signed_up)";
        let (n, operator) = (self.random.pick(&[0, 0, 1, 7, 30, 200, 364, 365]), self.operator());
        let not = self.random.pick(&["", "NOT "]);
        match self.random.below(9) {
            0 => format!("{days} {not}BETWEEN {n} AND {}", n + 6),
            1 => format!("{days} {not}IN (0, {n}, 14)"),
            2 => format!("{n} {operator} {days}"),
            3 => format!("{days} {operator} {n}.5"),
            4 => format!("{days} IS {not}NULL"),
            5 => format!("{days} {operator} {n} - 1"),
            _ => format!("{days} {operator} {n}"),
        }
    }

    pub fn id_comparison(&mut self) -> String {
        let operator = self.operator();
        match self.random.below(5) {
            0 => "customer_id LIKE 'customer _'".into(),
            1 => "customer_id IN ('bob', 'customer 3')".into(),
            2 => "customer_id NOT LIKE '%o%'".into(),
            _ => format!("customer_id {operator} '{}'", self.random.pick(&["ann", "bob", "c"])),
        }
    }

    /// Few intervals, so that new rules often have those of the old ones.
    pub fn interval_comparison(&mut self) -> String {
        let (from, to) = self.random.pick(&self.lengths.intervals.clone());
        let kind = self.random.pick(&[
            "view",
            "view",
            "view",
            "search",
            "survey",
            "click",
            "app_screen",
            "big_basket",
            "long_view",
        ]);
        let (orders, revenue) =
            (format!("orders_between('{from}', '{to}')"), format!("revenue_between('{from}', '{to}')"));
        let events = format!("events_between('{kind}', '{from}', '{to}')");
        let (n, operator) = (self.random.pick(&[0, 1, 1, 2, 5]), self.operator());
        let amount = self.random.pick(&["0", "10", "50.00", "99.995"]);
        match self.random.below(10) {
            0..=2 => format!("{orders} {operator} {n}"),
            3 => format!("{revenue} {operator} {amount}"),
            4 => format!("{revenue} / {orders} {operator} {amount}"),
            5 => format!("{orders} {operator} orders"),
            _ => format!("{events} {operator} {n}"),
        }
    }
}
