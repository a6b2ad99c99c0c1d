//! The mapping file of `shoal convert`, which states what each column of an order export contains. It is read and
//! checked once; after that no value is checked again.

use super::number::NumberFormat;
use super::shipped;
use crate::document::schema::{self, Schema};
use crate::document::{Mistake, Mistakes, Origin, TextPosition};
use crate::engine::currency;
use crate::offline::encoding;
use anyhow::Context;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Every key of a mapping, documented; also the schema that mappings are checked against.
pub const REFERENCE: &str = include_str!("../../../config/mappings/reference.toml");

const REFERENCE_HINT: &str = "see config/mappings/reference.toml";

/// The tables at the top of a mapping.
pub fn sections() -> Vec<String> {
    let reference: toml::Table = REFERENCE.parse().expect("the reference is TOML");
    reference.keys().cloned().collect()
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mapping {
    pub file: FileFormat,
    pub customer: CustomerColumn,
    pub order: OrderColumns,
    pub time: TimeColumn,
    pub amount: AmountColumns,
    pub status: StatusColumn,
    pub returns: Returns,
    pub constants: Constants,
    /// Attribute name to column.
    pub attributes: BTreeMap<String, String>,
    /// Attribute name to type; those that are not here are text.
    pub attribute_types: BTreeMap<String, AttributeType>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct FileFormat {
    pub delimiter: String,
    pub encoding: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct CustomerColumn {
    pub column: String,
    pub fallback: Option<String>,
    pub placeholders: Vec<String>,
    pub lower_case: bool,
    pub strip_prefix: String,
    pub strip_suffix: String,
    pub prefix: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OrderColumns {
    pub column: String,
    pub lines: OrderLines,
    pub across_files: bool,
    pub category: Option<String>,
    pub channel: Option<String>,
    pub coupon: Option<String>,
    pub discount: Option<String>,
    pub discount_per: DiscountPer,
    pub cancelled_at: Option<String>,
}

/// Where the lines of one order are in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderLines {
    #[default]
    Anywhere,
    Together,
    /// Any other text. It is reported as a mistake, so a checked mapping never contains it.
    #[serde(other)]
    Unknown,
}

/// What a value in the discount column is the discount of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscountPer {
    #[default]
    Line,
    Order,
    /// Any other text. It is reported as a mistake, so a checked mapping never contains it.
    #[serde(other)]
    Unknown,
}

/// What a line with a negative price is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegativePrice {
    #[default]
    Mistake,
    Discount,
    /// Any other text. It is reported as a mistake, so a checked mapping never contains it.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    #[default]
    Text,
    Number,
    Boolean,
    Time,
    /// Any other text. It is reported as a mistake, so a checked mapping never contains it.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct TimeColumn {
    pub column: String,
    pub format: String,
    pub zone: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AmountColumns {
    pub price: String,
    pub quantity: Option<String>,
    pub total: Option<String>,
    pub negative_price: NegativePrice,
    pub currency: Option<String>,
    pub currency_column: Option<String>,
    pub decimal_point: String,
    pub thousands: String,
    pub signs: Vec<String>,
}

/// What the statuses of orders mean.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusColumn {
    pub column: Option<String>,
    pub counts: Vec<String>,
    pub cancels: Vec<String>,
    pub refunds: Vec<String>,
    pub ignores: Vec<String>,
}

/// What the status of an order means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusMeaning {
    Counts,
    Cancels,
    Refunds,
    Ignores,
}

/// How returns are recognised.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Returns {
    pub order_prefix: Option<String>,
    pub negative_quantity: bool,
    pub order_column: Option<String>,
    pub amount_column: Option<String>,
    pub amount_after: Option<String>,
    pub time_column: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Constants {
    pub channel: Option<String>,
    pub campaign: Option<String>,
}

/// Texts that are no ids: the placeholders of the event format.
pub const PLACEHOLDERS: [&str; 9] =
    ["null", "undefined", "none", "nan", "(not set)", "[object object]", "anonymous", "guest", "0"];

impl Default for CustomerColumn {
    fn default() -> Self {
        Self {
            column: String::new(),
            fallback: None,
            placeholders: PLACEHOLDERS.map(str::to_owned).to_vec(),
            lower_case: false,
            strip_prefix: String::new(),
            strip_suffix: String::new(),
            prefix: String::new(),
        }
    }
}

impl Default for FileFormat {
    fn default() -> Self {
        Self { delimiter: ",".into(), encoding: "auto".into() }
    }
}

impl Default for TimeColumn {
    fn default() -> Self {
        Self { column: String::new(), format: "rfc3339".into(), zone: "UTC".into() }
    }
}

impl Default for AmountColumns {
    fn default() -> Self {
        Self {
            price: String::new(),
            quantity: None,
            total: None,
            negative_price: NegativePrice::default(),
            currency: None,
            currency_column: None,
            decimal_point: ".".into(),
            thousands: String::new(),
            signs: Vec::new(),
        }
    }
}

impl StatusColumn {
    fn lists(&self) -> [(StatusMeaning, &'static str, &[String]); 4] {
        [
            (StatusMeaning::Counts, "counts", &self.counts),
            (StatusMeaning::Cancels, "cancels", &self.cancels),
            (StatusMeaning::Refunds, "refunds", &self.refunds),
            (StatusMeaning::Ignores, "ignores", &self.ignores),
        ]
    }

    /// What a status means; case does not count.
    pub fn meaning(&self, status: &str) -> Option<StatusMeaning> {
        let is_status = |known: &String| known.eq_ignore_ascii_case(status);
        self.lists().into_iter().find(|(_, _, list)| list.iter().any(is_status)).map(|(meaning, ..)| meaning)
    }

    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.lists().into_iter().flat_map(|(_, _, list)| list).map(String::as_str)
    }
}

/// How times are parsed.
#[derive(Clone, Debug)]
pub enum TimeFormat {
    Rfc3339,
    UnixSeconds,
    UnixMillis,
    /// A strftime format that contains a zone or an offset.
    Zoned(String),
    /// A strftime format without a zone, and the zone of its times.
    Local(String, TimeZone),
}

impl Mapping {
    /// Reads and checks the file, or the shipped mapping of this name. The error, [`Mistakes`], contains all its
    /// mistakes.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        if let Some((file, text)) = shipped::by_name(path) {
            return Ok(Self::parse(file, text)?);
        }
        let text = std::fs::read_to_string(path).with_context(|| {
            let names = shipped::names().collect::<Vec<_>>().join(", ");
            format!("cannot read mapping {}; mappings known by name: {names}", path.display())
        })?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let example = REFERENCE.parse().expect("the reference mapping is TOML");
        let schema = Schema { example, open: &["attributes", "attribute_types"] };
        let (settings, mut mistakes) = schema::read(file, text, &schema);
        let origin_of = |key: &str| {
            let found = settings.iter().find(|setting| setting.key() == key);
            found.map_or(Origin::File(file.to_owned(), TextPosition::START), |setting| setting.origin.clone())
        };
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let mapping: Self = toml::from_str(text).expect("keys and types were checked");
        mistakes = mapping.mistakes(&origin_of);
        if mistakes.is_empty() { Ok(mapping) } else { Err(Mistakes(mistakes)) }
    }

    fn mistakes(&self, origin_of: &dyn Fn(&str) -> Origin) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut mistake = |key: &str, message: String, hint: &str| {
            mistakes.push(Mistake { origin: origin_of(key), message, hint: Some(hint.to_owned()) });
        };
        self.column_mistakes(&mut mistake);
        self.amount_mistakes(&mut mistake);
        self.status_mistakes(&mut mistake);
        if self.file.delimiter.len() != 1 {
            let message = format!("expected one ASCII character, found {:?}", self.file.delimiter);
            mistake("file.delimiter", message, "\"\\t\" is a tab");
        }
        if let Err(message) = encoding::named(&self.file.encoding) {
            mistake("file.encoding", message, REFERENCE_HINT);
        }
        if let Err(message) = self.time_format() {
            let is_zone = TimeZoneDatabase::bundled().get(&self.time.zone).is_err();
            mistake(if is_zone { "time.zone" } else { "time.format" }, message, REFERENCE_HINT);
        }
        mistakes
    }

    fn column_mistakes(&self, mistake: &mut dyn FnMut(&str, String, &str)) {
        let required = [
            ("customer.column", &self.customer.column),
            ("order.column", &self.order.column),
            ("time.column", &self.time.column),
        ];
        for (key, value) in required {
            if value.is_empty() {
                mistake(key, format!("`{key}` is missing"), "name the column as the export's header line does");
            }
        }
        if self.order.lines == OrderLines::Unknown {
            let message = "expected \"anywhere\" or \"together\", found another text";
            mistake("order.lines", message.into(), REFERENCE_HINT);
        }
        if self.order.discount_per == DiscountPer::Unknown {
            let message = "expected \"line\" or \"order\", found another text";
            mistake("order.discount_per", message.into(), REFERENCE_HINT);
        }
        if self.constants.channel.is_some() && self.order.channel.is_some() {
            mistake("constants.channel", "both `constants.channel` and `order.channel` are set".into(), "keep one");
        }
        for (name, attribute_type) in &self.attribute_types {
            let key = format!("attribute_types.{name}");
            if *attribute_type == AttributeType::Unknown {
                let message = "expected \"text\", \"number\", \"boolean\" or \"time\", found another text";
                mistake(&key, message.into(), REFERENCE_HINT);
            }
            if !self.attributes.contains_key(name) {
                mistake(&key, format!("there is no attribute `{name}`"), "name its column in [attributes]");
            }
        }
    }

    fn amount_mistakes(&self, mistake: &mut dyn FnMut(&str, String, &str)) {
        let amount = &self.amount;
        if amount.price.is_empty() && amount.total.is_none() {
            let message = "`amount.price` is missing, and so is `amount.total`";
            mistake("amount.price", message.into(), "name the column as the export's header line does");
        }
        if amount.total.is_some() && (!amount.price.is_empty() || amount.quantity.is_some()) {
            let message = "the amount is `total` and the sum of `price`";
            mistake("amount.total", message.into(), "keep one; `quantity` belongs to `price`");
        }
        if amount.total.is_some() && self.returns.negative_quantity {
            let message = "lines with a negative quantity have no amount of their own with `amount.total`";
            mistake("returns.negative_quantity", message.into(), "use `amount.price`");
        }
        if amount.negative_price == NegativePrice::Unknown {
            let message = "expected \"mistake\" or \"discount\", found another text";
            mistake("amount.negative_price", message.into(), REFERENCE_HINT);
        }
        if ![".", ","].contains(&amount.decimal_point.as_str()) {
            let message = format!("expected \".\" or \",\", found {:?}", amount.decimal_point);
            mistake("amount.decimal_point", message, "a separator of thousands is `thousands`");
        }
        if !["", ",", ".", "'", " "].contains(&amount.thousands.as_str()) || amount.thousands == amount.decimal_point {
            let message = format!(
                "expected \",\", \".\", \"'\" or \" \", and another one than the decimal point, found {:?}",
                amount.thousands
            );
            mistake("amount.thousands", message, REFERENCE_HINT);
        }
        let is_sign =
            |sign: &String| !sign.is_empty() && !sign.contains(|c: char| c.is_ascii_digit() || "+-.,".contains(c));
        if !amount.signs.iter().all(is_sign) {
            let message = "expected signs without digits, points and commas".to_owned();
            mistake("amount.signs", message, "for example signs = [\"€\", \"EUR\"]");
        }
        if amount.currency.is_some() && amount.currency_column.is_some() {
            mistake("amount.currency_column", "both `currency` and `currency_column` are set".into(), "keep one");
        }
        if let Some(code) = &amount.currency
            && currency::decimals(&code.to_ascii_uppercase()).is_none()
        {
            let message = format!("expected the ISO 4217 code of a currency, found {code:?}");
            mistake("amount.currency", message, "for example currency = \"EUR\"");
        }
    }

    fn status_mistakes(&self, mistake: &mut dyn FnMut(&str, String, &str)) {
        let (status, mut seen) = (&self.status, Vec::new());
        for (_, name, list) in status.lists() {
            let key = format!("status.{name}");
            if status.column.is_none() && !list.is_empty() {
                mistake(&key, "statuses are listed, but `status.column` is missing".into(), "name the column");
            }
            for text in list.iter().map(|text| text.to_ascii_lowercase()) {
                if seen.contains(&text) {
                    mistake(&key, format!("the status {text:?} is listed twice"), "keep one");
                }
                seen.push(text);
            }
        }
        if status.column.is_some() && seen.is_empty() {
            let message = "no status is listed".to_owned();
            mistake(
                "status.column",
                message,
                "list those of orders in `counts`, others in `cancels`, `refunds`, `ignores`",
            );
        }
        let returns = &self.returns;
        if returns.amount_after.is_some() && returns.amount_column.is_none() {
            let message = "`amount_after` is set without `amount_column`".to_owned();
            mistake("returns.amount_after", message, "name the column");
        }
    }

    /// How amounts are written.
    pub fn number_format(&self) -> NumberFormat {
        NumberFormat {
            decimal_point: self.amount.decimal_point.chars().next().unwrap_or('.'),
            thousands: self.amount.thousands.chars().next(),
            signs: self.amount.signs.clone(),
        }
    }

    /// Parses the time format. Zones are looked up in the compiled-in database, so that every machine converts alike.
    pub fn time_format(&self) -> Result<TimeFormat, String> {
        let zone = TimeZoneDatabase::bundled()
            .get(&self.time.zone)
            .map_err(|_| format!("expected an IANA time zone such as Europe/London, found {:?}", self.time.zone))?;
        match self.time.format.as_str() {
            "rfc3339" => return Ok(TimeFormat::Rfc3339),
            "unix_s" => return Ok(TimeFormat::UnixSeconds),
            "unix_ms" => return Ok(TimeFormat::UnixMillis),
            _ => {}
        }
        let format = self.time.format.clone();
        let has_zone = ["%z", "%:z", "%Q", "%:Q", "%s"].iter().any(|part| format.contains(part));
        let moment = jiff::Zoned::new(jiff::Timestamp::UNIX_EPOCH, zone.clone());
        let invalid = |error: jiff::Error| format!("expected a strftime format, found {format:?}: {error}");
        let written = jiff::fmt::strtime::format(&format, &moment).map_err(invalid)?;
        let read = jiff::fmt::strtime::parse(&format, &written).map_err(invalid)?;
        if has_zone {
            read.to_timestamp().map_err(invalid)?;
            Ok(TimeFormat::Zoned(format))
        } else {
            read.to_datetime().map_err(invalid)?;
            Ok(TimeFormat::Local(format, zone))
        }
    }
}
