//! Random rules files that pass the check of the engine.

use crate::model::expression::{Condition, Test};
use crate::model::value::{DAY, HOUR, MINUTE};
use crate::random::Random;

pub const CATEGORIES: [&str; 5] = ["shoes", "hats", "books", "toys", "Öl"];
pub const CHANNELS: [&str; 3] = ["web", "store", "app"];
pub const COUNTRIES: [&str; 4] = ["DE", "FR", "US", "Österreich"];
pub const PLANS: [&str; 3] = ["free", "gold", "go_d"];
/// Counts of one's own, which every rules file declares in one of several ways.
pub const COUNTS: [&str; 3] = ["big_basket", "long_view", "any_survey"];
pub const TAGS: [&str; 4] = ["gold", "silver", "t30", "Ö"];
pub const DECLARED: [&str; 3] = ["wishlist_add", "survey", "app_screen"];

/// Lengths of time that the rules of one scenario share, so that its events can be placed at their ends.
#[derive(Clone, Debug)]
pub struct Lengths {
    /// Absolute intervals as rules write them, on whole hours.
    pub intervals: Vec<(String, String)>,
    windows: Vec<(String, i64)>,
    pub days: Vec<String>,
    pub minutes: Vec<String>,
    dwells: Vec<(String, i64)>,
}

impl Lengths {
    pub fn new(random: &mut Random) -> Lengths {
        let (windows, days): (&[(&str, i64)], &[&str]) = match random.below(3) {
            0 => (&[("1h", HOUR), ("2h", 2 * HOUR), ("24h", DAY), ("1d", DAY)], &["0", "0.5", "1", "0.125", "2"]),
            1 => (&[("1d", DAY), ("3d", 3 * DAY), ("7d", 7 * DAY), ("30d", 30 * DAY)], &["1", "7", "7.5", "30", "14"]),
            _ => (
                &[("30d", 30 * DAY), ("90d", 90 * DAY), ("399d", 399 * DAY), ("400d", 400 * DAY)],
                &["30", "60", "90", "180", "400"],
            ),
        };
        let dwells = [("90s", 90_000), ("1h", HOUR), ("1d", DAY), ("7d", 7 * DAY), ("1d12h", 36 * HOUR)];
        let intervals = (0..3).map(|_| crate::moments::interval(random)).collect();
        Lengths {
            intervals,
            windows: windows.iter().map(|(text, length)| (text.to_string(), *length)).collect(),
            days: days.iter().map(|text| text.to_string()).collect(),
            minutes: ["5", "30", "90.5", "1440"].map(String::from).to_vec(),
            dwells: dwells.map(|(text, length)| (text.to_string(), length)).to_vec(),
        }
    }

    /// All lengths in milliseconds, and those that the semantics define.
    pub fn milliseconds(&self) -> Vec<i64> {
        let mut all = vec![30 * MINUTE, 30 * DAY, 400 * DAY];
        all.extend(self.windows.iter().map(|(_, length)| *length));
        all.extend(self.windows.iter().map(|(_, length)| *length));
        all.extend(self.dwells.iter().map(|(_, length)| *length));
        all.extend(self.days.iter().map(|days| (days.parse::<f64>().unwrap() * DAY as f64) as i64));
        all.extend(self.minutes.iter().map(|minutes| (minutes.parse::<f64>().unwrap() * MINUTE as f64) as i64));
        all
    }

    pub fn window(&self, random: &mut Random) -> String {
        random.pick(&self.windows).0
    }

    pub fn window_days(&self, random: &mut Random) -> i64 {
        (random.pick(&self.windows).1 / DAY).max(1)
    }
}

/// What stays the same when a scenario's rules change.
#[derive(Clone, Debug)]
pub struct Header {
    pub text: String,
    pub grace: i64,
    pub max_future: i64,
}

pub fn header(random: &mut Random) -> Header {
    let (grace_text, grace) = random.pick(&[("0s", 0), ("1s", 1_000), ("1s", 1_000), ("1h", HOUR)]);
    let (future_text, max_future) = random.pick(&[("5m", 300_000), ("1s", 1_000)]);
    let base = random.pick(&["EUR", "EUR", "JPY", "KWD"]);
    let horizon = random.pick(&["1h", "2h", "24h", "96h"]);
    let ids = if random.chance(15) { format!("max_ids = {}\n", random.between(1, 4)) } else { String::new() };
    let limits =
        if random.chance(8) { format!("[limits]\nmax_customers = {}\n", random.between(1, 3)) } else { String::new() };
    let clock = random.pick(&["wall", "wall", "events"]);
    let placeholders = match random.below(6) {
        0 => "[ids]\nplaceholders = [\"NIL\", \"null\", \"ann\"]\n",
        1 => "[ids]\nplaceholders = []\n",
        _ => "",
    };
    let text = format!(
        "[time]\nclock = \"{clock}\"\ngrace = \"{grace_text}\"\nmax_future = \"{future_text}\"\n\
         [currency]\nbase = \"{base}\"\nrates = {{ USD = \"0.92\", GBP = \"1.1755\", XAF = \"0.0015244901\" }}\n\
         [attributes]\ncountry = \"text\"\nplan = \"text\"\nage = \"number\"\nvip = \"boolean\"\nsigned_up = \"time\"\n\
         tags = \"texts\"\n[properties]\nsize = \"text\"\nduration_s = \"number\"\nfirst = \"boolean\"\n\
         [events]\nwishlist_add = \"activity\"\nsurvey = \"other\"\napp_screen = \"browsing\"\n\
         {placeholders}[dedup]\nhorizon = \"{horizon}\"\n{ids}{limits}"
    );
    Header { text, grace, max_future }
}

/// A rules file with this header and new segmentations and audiences.
pub fn rules(random: &mut Random, header: &Header, lengths: &Lengths) -> String {
    let mut writer = Writer { random, lengths, segmentations: Vec::new(), audiences: Vec::new() };
    let include = writer.include();
    let mut names = ["s_one", "a_one", "s_two", "a_two", "a_three", "s_three", "a_four", "b"];
    writer.random.shuffle(&mut names);
    let count = 1 + writer.random.below(5) + writer.random.below(4);
    let offset = writer.random.pick(&["+00:00", "+00:00", "+05:30", "-03:00", "+14:00", "-00:01"]);
    let header = header.text.replacen("[time]\n", &format!("[time]\nutc_offset = \"{offset}\"\n"), 1);
    let mut text = format!("{include}\n{header}{}", counts(writer.random));
    for (index, name) in names.into_iter().take(count).enumerate() {
        text += &match name.starts_with('s') {
            // At least one is evaluated.
            is_segmentation if index > 0 && writer.random.chance(10) => writer.retired(name, is_segmentation),
            true => writer.segmentation(name),
            false => writer.audience(name),
        };
    }
    text
}

/// Counts of one's own, by the names of [`COUNTS`]; each has one of a few definitions, so that some go on with new
/// rules and others begin anew.
fn counts(random: &mut Random) -> String {
    let choices: [(&str, &[&str]); 3] = [
        ("big_basket", &BIG_BASKETS),
        ("long_view", &["duration_s > 30", "duration_s  >  30", "duration_s > 30 OR first", "size = 'M'"]),
        ("any_survey", &["", "channel = 'web'", "NOT (campaign IS NULL)", "COALESCE(size, 'none') <> 'M'"]),
    ];
    let ofs = [["purchase", "cart_add"], ["view", "view"], ["survey", "checkout"]];
    let mut text = String::new();
    let mut all: Vec<_> = choices.into_iter().zip(ofs).collect();
    random.shuffle(&mut all);
    for ((name, conditions), ofs) in all {
        let (of, condition) = (random.pick(&ofs), random.pick(conditions));
        let condition = if condition.is_empty() { String::new() } else { format!("where = \"{condition}\"\n") };
        text += &format!("[count.{name}]\nof = \"{of}\"\n{condition}");
    }
    text
}

const BIG_BASKETS: [&str; 12] = [
    "amount >= 10",
    "amount >= 10 AND coupon IS NOT NULL",
    "amount - discount > 9.99",
    "amount IN (10, 50.00, 99.995)",
    "discount BETWEEN 0.001 AND 5",
    "has_category('shoes') AND NOT has_category('books')",
    "category = 'shoes' OR channel LIKE 's%'",
    "cart_total > 0 OR order_id = 'o1'",
    "cost IS NULL AND NOT first",
    "first",
    "size LIKE '_' AND duration_s * 2 <= 60",
    "coupon = size",
];

pub struct Writer<'a> {
    pub random: &'a mut Random,
    pub lengths: &'a Lengths,
    /// Names that conditions may refer to, with the segments.
    pub segmentations: Vec<(String, Vec<String>)>,
    pub audiences: Vec<String>,
}

impl Writer<'_> {
    fn include(&mut self) -> String {
        let all = [
            "avg_order_value",
            "bucket('x', 10)",
            "cart_value",
            "country",
            "gap_days",
            "last_order_value",
            "largest_order",
            "largest_order_90d",
            "revenue_in('shoes', 90)",
            "orders",
            "orders_in('shoes', 90)",
            "recency_days",
            "revenue",
            "signed_up",
            "age",
            "tags",
            "has(tags, 'gold')",
            "views_7d",
            "vip",
            "since('view')",
            "top_category",
            "cart_idle_minutes",
            "ORDERS_30d",
            "Refunded",
            "views_in('books', 30)",
            "views_in('shoes', 2)",
            "views_in('Öl', 400)",
            "sessions_30d",
            "revenue_90d",
            "refunded_24h",
            "orders_returned_90d",
            "discounted_orders",
            "overdue_ratio",
            "top_channel",
            "events('survey', 30)",
            "events('big_basket', 30)",
            "since('long_view')",
            "cart_open",
            "tenure_days",
            "first_order_at",
            "last_seen_at",
            "customer_id",
            "days_to_anniversary(signed_up)",
            "orders_between('2020-01-02', '2020-02-01')",
            "events_between('view', '2020-01-01T06:00:00Z', '2020-03-01')",
        ];
        let mut chosen: Vec<String> =
            all.into_iter().filter(|_| self.random.chance(12)).map(|name| format!("\"{name}\"")).collect();
        self.random.shuffle(&mut chosen);
        format!("include = [{}]", chosen.join(", "))
    }

    fn dwell(&mut self) -> Option<String> {
        let dwells = self.lengths.dwells.clone();
        self.random.chance(35).then(|| self.random.pick(&dwells).0)
    }

    fn segmentation(&mut self, name: &str) -> String {
        let count = 1 + self.random.below(4);
        let mut names: Vec<String> = (0..=count).map(|n| format!("seg{n}")).collect();
        if self.random.chance(40) {
            // Categories and a channel, so that features of the segment count something.
            let mut others = ["shoes", "hats", "books", "toys", "web"];
            self.random.shuffle(&mut others);
            names = others[..=count].iter().map(|name| name.to_string()).collect();
        }
        let mut lines = String::new();
        let dwell = self.dwell().map(|dwell| format!("min_dwell = \"{dwell}\"\n")).unwrap_or_default();
        for (index, segment) in names[..count].iter().enumerate() {
            let is_rhythm = index == 0 && !dwell.is_empty() && self.random.chance(60);
            let when = if is_rhythm { self.rhythm() } else { self.condition(2) };
            lines += &format!("  {{ name = \"{segment}\", when = \"{when}\" }},\n");
        }
        self.segmentations.push((name.into(), names.clone()));
        format!("[segmentation.{name}]\n{dwell}segments = [\n{lines}  {{ name = \"{}\" }},\n]\n", names[count])
    }

    /// Whether nothing has happened for a length of time.
    fn rhythm(&mut self) -> String {
        let feature = self.random.pick(&["inactive_days", "inactive_days", "recency_days"]);
        let days: Vec<String> = self.lengths.days.iter().filter(|days| *days != "0").cloned().collect();
        format!("{feature} >= {}", self.random.pick(&days))
    }

    /// A segmentation or audience that is retired: its conditions are not looked at.
    fn retired(&mut self, name: &str, is_segmentation: bool) -> String {
        let kind = if is_segmentation { "segmentation" } else { "audience" };
        let rest = match self.random.below(3) {
            0 => "",
            _ if is_segmentation => {
                "min_dwell = \"1d\"\nsegments = [{ name = \"a\", when = \"gone_feature > 1\" }, { name = \"b\" }]\n"
            }
            _ => "when = \"segment('gone') = 'a'\"\nexit = \"gone_feature = 0\"\n",
        };
        format!("[{kind}.{name}]\nretired = true\n{rest}")
    }

    fn audience(&mut self, name: &str) -> String {
        if self.random.chance(8) {
            let (when, dwells) = (self.rhythm(), self.lengths.dwells.clone());
            self.audiences.push(name.into());
            return format!("[audience.{name}]\nwhen = \"{when}\"\nmin_dwell = \"{}\"\n", self.random.pick(&dwells).0);
        }
        let mut text = format!("[audience.{name}]\nwhen = \"{}\"\n", self.condition(2));
        if self.random.chance(35) {
            text += &format!("exit = \"{}\"\n", self.condition(1));
        }
        if let Some(dwell) = self.dwell() {
            let other = self.dwell().unwrap_or("0s".into());
            text += &match self.random.below(3) {
                0 => format!("min_dwell = \"{dwell}\"\n"),
                1 => format!("min_dwell = {{ in = \"{dwell}\", out = \"{other}\" }}\n"),
                _ => format!("min_dwell = {{ in = \"{other}\", out = \"{dwell}\" }}\n"),
            };
        }
        self.audiences.push(name.into());
        text
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 2 && self.random.chance(6) {
            return if self.random.chance(50) { self.wide() } else { self.many_flips() };
        }
        if depth == 0 || self.random.chance(35) {
            return self.comparison();
        }
        match self.random.below(12) {
            0..=3 => format!("{} AND {}", self.part(depth), self.part(depth)),
            4..=6 => format!("{} OR {}", self.part(depth), self.part(depth)),
            7 => format!("NOT {}", self.part(depth)),
            8 => self.compared_conditions(depth),
            9 => self.coalesced_conditions(depth),
            _ => {
                let is = self.is_what();
                format!("({}) {is}", self.condition(depth - 1))
            }
        }
    }

    /// `=` or `<>` of two conditions, or of a condition and a boolean.
    fn compared_conditions(&mut self, depth: usize) -> String {
        let operator = self.random.pick(&["=", "<>", "!="]);
        let boolean = self.random.pick(&["vip", "cart_open", "TRUE", "FALSE", "COALESCE(vip, FALSE)"]);
        match self.random.below(4) {
            0 => format!("{boolean} {operator} ({})", self.no_scalar(depth)),
            1 => format!("({}) {operator} {boolean}", self.no_scalar(depth)),
            _ => format!("({}) {operator} ({})", self.no_scalar(depth), self.no_scalar(depth)),
        }
    }

    /// COALESCE with at least one condition. The first operand is often NULL.
    fn coalesced_conditions(&mut self, depth: usize) -> String {
        let first = match self.random.below(4) {
            0 => "vip".to_string(),
            1 => format!("{} > 0", self.random.pick(&["recency_days", "age", "cart_value", "last_order_value"])),
            _ => self.no_scalar(depth),
        };
        let last = self.random.pick(&["TRUE", "FALSE", "FALSE", "vip", "NULL"]);
        let second = self.no_scalar(depth);
        match self.random.below(3) {
            0 => format!("COALESCE({first}, {second})"),
            1 => format!("COALESCE({first}, {second}, {last})"),
            _ => format!("COALESCE({second}, {last})"),
        }
    }

    /// A condition that is none of the values by its form: one comparison of values cannot have both features of the
    /// customer and other targets.
    fn no_scalar(&mut self, depth: usize) -> String {
        let condition = self.condition(depth - 1);
        match Condition::parse(&condition) {
            Condition::Comparison(comparison) if matches!(comparison.test, Test::Bare) => {
                format!("{condition} IS TRUE")
            }
            _ => condition,
        }
    }

    fn part(&mut self, depth: usize) -> String {
        format!("({})", self.condition(depth - 1))
    }
}
