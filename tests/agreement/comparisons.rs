//! Random comparisons of every kind, over every feature.

use crate::rules_text::{CATEGORIES, CHANNELS, COUNTRIES, COUNTS, PLANS, Writer};

/// True as soon as there is an order, and not before.
const AT_AN_ORDER: [&str; 12] = [
    "orders >= 1",
    "orders_placed <> 0",
    "orders_1d >= 1",
    "orders_placed_1d > 0",
    "recency_days < 1",
    "recency_days IS NOT NULL",
    "inactive_days < 1",
    "since('purchase') <= 0.5",
    "since('purchase') IS NOT NULL",
    "last_order_value IS NOT NULL",
    "avg_order_value IS NOT NULL",
    "tenure_days >= 0",
];

impl Writer<'_> {
    pub fn is_what(&mut self) -> &'static str {
        self.random.pick(&["IS NULL", "IS NOT NULL", "IS TRUE", "IS NOT TRUE", "IS FALSE", "IS FALSE", "IS NOT FALSE"])
    }

    pub fn operator(&mut self) -> &'static str {
        self.random.pick(&["=", "<>", "!=", "<", "<=", ">", ">=", "<=", ">=", "<", ">"])
    }

    pub fn comparison(&mut self) -> String {
        match self.random.below(25) {
            23 | 24 => self.interval_comparison(),
            20 => self.moment_comparison(),
            21 => self.anniversary_comparison(),
            22 => self.id_comparison(),
            0..=3 => self.count_comparison(),
            4 | 5 => self.money_comparison(),
            6..=8 => self.duration_comparison(),
            9 => self.durations_comparison(),
            10 => self.linear_comparison(),
            11 => self.ratio_comparison(),
            12 | 16 => self.text_comparison(),
            13 | 19 => self.boolean_comparison(),
            14 => self.null_comparison(),
            17 | 18 => self.odd_comparison(),
            _ => self.reference_comparison(),
        }
    }

    /// Comparisons that the language allows and that are rarely written.
    fn odd_comparison(&mut self) -> String {
        let operator = self.operator();
        let (count, money, duration) = (self.count(), self.money(), self.duration());
        match self.random.below(22) {
            0 => format!("(({count} + 1)) * 2 {operator} {money}"),
            1 => format!("country {operator} plan"),
            2 => format!("vip {} cart_open", self.random.pick(&["=", "<>"])),
            3 => match (self.audiences.as_slice(), self.segmentations.as_slice()) {
                ([one, .., other], _) => format!("audience('{one}') <> audience('{other}')"),
                (_, [(one, _), .., (other, _)]) => format!("segment('{one}') {operator} segment('{other}')"),
                ([one], _) => format!("audience('{one}') = {}", self.random.pick(&["TRUE", "FALSE"])),
                _ => "vip = TRUE".into(),
            },
            4 => format!("age BETWEEN {count} AND {money}"),
            5 => format!("{count} IN (orders_placed, 3, age)"),
            6 => format!("COALESCE(cart_value, last_order_value, 5) {operator} 10"),
            7 => format!("COALESCE({duration}, since('view'), 1) {operator} 7"),
            8 => format!("{money} {operator} 1e1"),
            9 => format!("{count} {operator} 2.0"),
            10 => format!("{duration} - 1 IS NOT NULL"),
            11 => format!("age * 2 / {count} IS NULL"),
            12 => format!("2 BETWEEN 1 AND {count}"),
            13 => format!("'DE' {operator} country"),
            14 => "'hats' IN (top_category, plan, 'x')".into(),
            15 => format!("cart_idle_minutes {operator} {duration}"),
            16 => format!("COALESCE(country, plan, 'it''s') {operator} 'it''s'"),
            17 => format!("gap_days {operator} COALESCE(age, overdue_ratio, 0.5)"),
            18 => format!("COALESCE(NULL, {count}) {operator} 1"),
            19 => format!("{count} {} (1, NULL)", self.random.pick(&["IN", "NOT IN"])),
            20 => format!("-{count} {operator} -1"),
            _ => format!("{} {operator} 1", self.random.pick(&["1", "0.50"])),
        }
    }

    /// Turns at 60 to 68 instants, about as many as a forecast tries.
    pub fn many_flips(&mut self) -> String {
        let days: Vec<String> = (1..=self.random.between(30, 34)).map(|day| day.to_string()).collect();
        let duration = self.duration();
        format!("({duration} IN ({}) AND orders > 99) OR {duration} > 40", days.join(", "))
    }

    /// About as many comparisons as a change lists, or more; half of the time such as turn together at an order.
    pub fn wide(&mut self) -> String {
        let link = self.random.pick(&[" AND ", " OR "]);
        if self.random.chance(50) {
            let mut all = AT_AN_ORDER;
            self.random.shuffle(&mut all);
            return all[..7 + self.random.below(5)].join(link);
        }
        let all: Vec<String> = (0..self.random.between(9, 14)).map(|_| self.comparison()).collect();
        all.join(link)
    }

    fn count(&mut self) -> String {
        let window = self.lengths.window(self.random);
        let days = self.lengths.window_days(self.random);
        let orders = [
            "orders",
            "orders_placed",
            "orders_returned",
            "orders_returned",
            "discounted_orders",
            "discounted_orders",
            "discounted_orders",
        ];
        // The rarer types are listed more often.
        let browsing = [
            "views",
            "sessions",
            "sessions",
            "cart_adds",
            "searches",
            "searches",
            "cart_removes",
            "cart_removes",
            "cart_removes",
            "checkouts",
            "checkouts",
            "opens",
            "opens",
            "clicks",
            "clicks",
            "exposures",
            "exposures",
        ];
        let category = self.random.pick(&CATEGORIES);
        if self.random.chance(14) {
            return self.count_of_source();
        }
        match self.random.below(15) {
            0 | 1 => self.random.pick(&orders).to_string(),
            2 | 3 => format!("{}_{window}", self.random.pick(&orders)),
            4..=6 | 12 => format!("{}_{window}", self.random.pick(&browsing)),
            7 => format!("orders_in('{category}', {days})"),
            8 => format!("views_in('{category}', {days})"),
            9 => format!("orders_via('{}', {days})", self.random.pick(&CHANNELS)),
            10 | 13 | 14 => {
                let types = ["wishlist_add", "survey", "app_screen", "view", "click", "cart_add", "exposure"];
                let of = if self.random.chance(45) { self.random.pick(&COUNTS) } else { self.random.pick(&types) };
                format!("events('{of}', {days})")
            }
            _ => {
                let n = self.random.pick(&[2, 3, 100]);
                format!("bucket('{}', {n})", self.random.pick(&["summer", "é"]))
            }
        }
    }

    /// A count whose category or channel is the value of a text feature or of a segmentation.
    fn count_of_source(&mut self) -> String {
        let name = self.random.pick(&["orders_in", "views_in", "views_in", "orders_via"]);
        self.of_source(name)
    }

    fn of_source(&mut self, name: &str) -> String {
        let days = self.lengths.window_days(self.random);
        let window = self.lengths.window(self.random);
        if let (Some((segmentation, _)), true) = (self.segmentations.last().cloned(), self.random.chance(60)) {
            return format!("{name}(segment('{segmentation}'), {days})");
        }
        let source = match self.random.below(5) {
            0 => "country".into(),
            1 => "top_category".into(),
            2 if name == "orders_via" => "top_channel".into(),
            _ => format!("top_viewed_category_{window}"),
        };
        format!("{name}({source}, {days})")
    }

    fn count_comparison(&mut self) -> String {
        let count = self.count();
        let count = if self.random.chance(5) { count.to_uppercase_name() } else { count };
        let n = self.random.pick(&[0, 1, 1, 2, 3]);
        let other = self.count();
        let operator = self.operator();
        match self.random.below(12) {
            0 => format!("{count} BETWEEN {n} AND {}", n + 1),
            1 => format!("{count} NOT BETWEEN {n} AND {}", n + 1),
            2 => format!("{count} IN ({n}, {}, 7)", n + 2),
            3 => format!("{count} NOT IN ({n}, {})", n + 1),
            4 => format!("{count} {operator} {other}"),
            5 => format!("{n} {operator} {count}"),
            6 => format!("{count} {operator} {n}.5"),
            7 => format!("{count} - {other} {operator} {n}"),
            _ => format!("{count} {operator} {n}"),
        }
    }

    fn money(&mut self) -> String {
        let window = self.lengths.window(self.random);
        match self.random.below(14) {
            0 | 1 => "revenue".into(),
            2 | 3 => format!("revenue_{window}"),
            4 => "refunded".into(),
            5 => format!("refunded_{window}"),
            6 => "last_order_value".into(),
            7 => "cart_value".into(),
            8 => "largest_order".into(),
            9 | 10 => format!("largest_order_{window}"),
            11 | 12 => {
                if self.random.chance(40) {
                    return self.of_source("revenue_in");
                }
                let days = self.lengths.window_days(self.random);
                format!("revenue_in('{}', {days})", self.random.pick(&CATEGORIES))
            }
            _ => self.average(),
        }
    }

    fn average(&mut self) -> String {
        let window = self.lengths.window(self.random);
        if self.random.chance(50) { "avg_order_value".into() } else { format!("avg_order_value_{window}") }
    }

    fn money_comparison(&mut self) -> String {
        let money = self.money();
        let amount = self.random.pick(&["0", "10", "9.99", "50.00", "99.995", "-1", "100"]);
        let operator = self.operator();
        let other = self.money();
        let count = self.count();
        match self.random.below(9) {
            0 => format!("{money} BETWEEN {amount} AND 100.5"),
            1 => format!("{money} {operator} {other}"),
            2 => format!("COALESCE({money}, 0) {operator} {amount}"),
            3 => format!("{money} / {count} {operator} {amount}"),
            4 => format!("{money} * 2 + {other} {operator} {amount}"),
            5 => format!("{money} IN (10, {amount}, 50)"),
            _ => format!("{money} {operator} {amount}"),
        }
    }

    fn since(&mut self) -> String {
        if self.random.chance(25) {
            return format!("since('{}')", self.random.pick(&COUNTS));
        }
        let types = [
            "purchase",
            "refund",
            "cancel",
            "amend",
            "view",
            "search",
            "cart_add",
            "cart_remove",
            "checkout",
            "open",
            "click",
            "exposure",
            "profile",
            "wishlist_add",
            "survey",
            "app_screen",
        ];
        format!("since('{}')", self.random.pick(&types))
    }

    /// A duration in days.
    fn duration(&mut self) -> String {
        match self.random.below(8) {
            0..=2 => "recency_days".into(),
            3 => "inactive_days".into(),
            4 | 5 => self.since(),
            6 => self.random.pick(&["tenure_days", "first_order_days"]).into(),
            _ => "days_since(signed_up)".into(),
        }
    }

    fn duration_comparison(&mut self) -> String {
        let duration = self.duration();
        let days = self.lengths.days.clone();
        let (one, other) = (self.random.pick(&days), self.random.pick(&days));
        let operator = self.operator();
        let minutes = self.random.pick(&self.lengths.minutes.clone());
        match self.random.below(12) {
            0 => format!("{duration} BETWEEN {one} AND {other}"),
            1 => format!("{duration} NOT BETWEEN {one} AND {other}"),
            2 => format!("COALESCE({duration}, 9999) {operator} {one}"),
            3 => format!("{duration} IN ({one}, {other})"),
            4 => format!("{duration} {operator} gap_days"),
            5 => format!("{duration} {operator} age"),
            6 => format!("{one} {operator} {duration}"),
            7 | 8 => format!("cart_idle_minutes {operator} {minutes}"),
            _ => format!("{duration} {operator} {one}"),
        }
    }

    /// Two plain durations with the same unit.
    fn durations_comparison(&mut self) -> String {
        let (one, other) = (self.duration(), self.duration());
        let operator = self.operator();
        format!("{one} {operator} {other}")
    }

    /// Durations with constant factors, which never cancel out.
    fn linear_comparison(&mut self) -> String {
        let (one, other) = (self.duration(), self.duration());
        let days = self.random.pick(&self.lengths.days.clone());
        let operator = self.operator();
        let count = self.count();
        match self.random.below(9) {
            0 => format!("{one} + 1 {operator} {days}"),
            1 => format!("2 * {one} - {other} {operator} {days}"),
            2 => format!("{one} / 2 {operator} {days}"),
            3 => format!("{one} + {other} {operator} {days}"),
            4 => format!("{days} - {one} {operator} {count}"),
            5 => format!("{one} * 3 {operator} {other} + {days}"),
            6 => format!("{one} - {count} {operator} {days}"),
            7 => format!("{count} / {} {operator} {days}", self.random.below(2)),
            _ => format!("cart_idle_minutes * 0.5 {operator} {days}"),
        }
    }

    fn ratio_comparison(&mut self) -> String {
        let operator = self.operator();
        let ratio = self.random.pick(&["1", "0.5", "1.5", "2"]);
        let days = self.random.pick(&self.lengths.days.clone());
        match self.random.below(5) {
            0 | 1 => format!("overdue_ratio {operator} {ratio}"),
            2 => format!("gap_days {operator} {days}"),
            3 => format!("overdue_ratio BETWEEN {ratio} AND 3"),
            _ => format!("age {operator} {}", self.random.pick(&["18", "30.5", "-2"])),
        }
    }

    fn text(&mut self) -> (&'static str, Vec<&'static str>) {
        let viewed = ["top_viewed_category_24h", "top_viewed_category_7d", "top_viewed_category_30d"];
        match self.random.below(5) {
            0 => ("country", COUNTRIES.to_vec()),
            1 => ("plan", PLANS.to_vec()),
            2 => ("top_category", CATEGORIES.to_vec()),
            3 => (self.random.pick(&viewed), CATEGORIES.to_vec()),
            _ => ("top_channel", CHANNELS.to_vec()),
        }
    }

    fn text_comparison(&mut self) -> String {
        let (text, values) = self.text();
        let (one, other) = (self.random.pick(&values), self.random.pick(&values));
        let operator = self.operator();
        let pattern = self.random.pick(&["%o%", "D_", "_sterreich", "go_d", "%", "s%s", "___", "%t_"]);
        let escaped = self.random.pick(&[
            "go!_d' ESCAPE '!",
            "go!_%' ESCAPE '!",
            "%!!' ESCAPE '!",
            "gooold' ESCAPE 'o",
            "%%_D%E' ESCAPE '%",
            "D!E' ESCAPE '!",
            "Ös%' ESCAPE 'Ö",
            "_oo%' ESCAPE 'o",
        ]);
        match self.random.below(11) {
            9 => format!("{text} LIKE '{escaped}'"),
            10 => format!("{text} NOT LIKE '{escaped}'"),
            0 => format!("{text} {operator} '{one}'"),
            1 => format!("{text} IN ('{one}', '{other}')"),
            2 | 7 => format!("{text} NOT IN ('{one}', '{other}')"),
            3 => format!("{text} LIKE '{pattern}'"),
            4 | 8 => format!("{text} NOT LIKE '{pattern}'"),
            5 => format!("COALESCE({text}, 'none') = '{one}'"),
            _ => format!("{text} BETWEEN '{one}' AND '{other}'"),
        }
    }

    fn boolean_comparison(&mut self) -> String {
        let boolean = self.random.pick(&[
            "cart_open",
            "cart_open",
            "vip",
            "COALESCE(vip, FALSE)",
            "COALESCE(vip, cart_open)",
            "has(tags, 'gold')",
            "has(tags, 'Ö')",
            "COALESCE(has(tags, 't30'), vip)",
        ]);
        let is = self.is_what();
        match self.random.below(5) {
            0 | 1 => boolean.into(),
            2 => format!("{boolean} = {}", self.random.pick(&["TRUE", "FALSE"])),
            _ => format!("{boolean} {is}"),
        }
    }

    fn null_comparison(&mut self) -> String {
        let scalar = match self.random.below(8) {
            0 => self.duration(),
            1 => self.money(),
            2 => "cart_idle_minutes".into(),
            3 => self.text().0.into(),
            4 => self.random.pick(&["gap_days", "overdue_ratio", "age", "cart_value"]).into(),
            5 | 6 => "tags".into(),
            _ => format!("COALESCE({}, {})", self.since(), self.since()),
        };
        format!("{scalar} {}", self.random.pick(&["IS NULL", "IS NOT NULL"]))
    }

    fn reference_comparison(&mut self) -> String {
        if let (Some((name, segments)), true) = (self.segmentations.last().cloned(), self.random.chance(50)) {
            let segment = self.random.pick(&segments);
            return match self.random.below(4) {
                0 => format!("segment('{name}') IN ('{segment}', '{}')", segments[0]),
                1 => format!("segment('{name}') <> '{segment}'"),
                2 => format!("segment('{name}') LIKE 'seg_'"),
                _ => format!("segment('{name}') = '{segment}'"),
            };
        }
        match self.audiences.last().cloned() {
            Some(name) if self.random.chance(50) => format!("audience('{name}')"),
            Some(name) => format!("audience('{name}') {}", self.is_what()),
            None => self.count_comparison(),
        }
    }
}

/// Names of features are case-insensitive.
trait UppercaseName {
    fn to_uppercase_name(&self) -> String;
}

impl UppercaseName for String {
    fn to_uppercase_name(&self) -> String {
        if self.contains('(') { self.clone() } else { self.to_uppercase() }
    }
}
