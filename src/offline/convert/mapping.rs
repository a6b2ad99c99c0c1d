//! The mapping file of `shoal convert`, which states what each column of an order export contains. It is read and
//! checked once; after that no value is checked again.

use crate::document::schema::{self, Schema};
use crate::document::{Mistake, Mistakes, Origin, TextPosition};
use anyhow::Context;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Every key of a mapping, documented; also the schema that mappings are checked against.
pub const REFERENCE: &str = include_str!("../../../config/mappings/reference.toml");

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mapping {
    pub file: FileFormat,
    pub customer: CustomerColumn,
    pub order: OrderColumns,
    pub time: TimeColumn,
    pub amount: AmountColumns,
    pub returns: Returns,
    pub constants: Constants,
    /// Attribute name to column.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct FileFormat {
    pub delimiter: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CustomerColumn {
    pub column: String,
    pub strip_prefix: String,
    pub strip_suffix: String,
    pub prefix: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OrderColumns {
    pub column: String,
    pub lines: OrderLines,
    pub category: Option<String>,
    pub channel: Option<String>,
    pub discount: Option<String>,
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
    pub currency: Option<String>,
    pub currency_column: Option<String>,
    pub decimal_point: String,
}

/// How returns are recognised.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Returns {
    pub order_prefix: Option<String>,
    pub negative_quantity: bool,
    pub order_column: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Constants {
    pub channel: Option<String>,
    pub campaign: Option<String>,
}

impl Default for FileFormat {
    fn default() -> Self {
        Self { delimiter: ",".into() }
    }
}

impl Default for TimeColumn {
    fn default() -> Self {
        Self { column: String::new(), format: "rfc3339".into(), zone: "UTC".into() }
    }
}

impl Default for AmountColumns {
    fn default() -> Self {
        let price = String::new();
        Self { price, quantity: None, currency: None, currency_column: None, decimal_point: ".".into() }
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
    /// Reads and checks the file. The error, [`Mistakes`], contains all its mistakes.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read mapping {}", path.display()))?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let example = REFERENCE.parse().expect("the reference mapping is TOML");
        let schema = Schema { example, open: &["attributes"] };
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
        let required = [
            ("customer.column", &self.customer.column),
            ("order.column", &self.order.column),
            ("time.column", &self.time.column),
            ("amount.price", &self.amount.price),
        ];
        for (key, value) in required {
            if value.is_empty() {
                mistake(key, format!("`{key}` is missing"), "name the column as the export's header line does");
            }
        }
        if self.order.lines == OrderLines::Unknown {
            mistake(
                "order.lines",
                "expected \"anywhere\" or \"together\", found another text".into(),
                "see config/mappings/reference.toml",
            );
        }
        if self.file.delimiter.len() != 1 {
            mistake(
                "file.delimiter",
                format!("expected one ASCII character, found {:?}", self.file.delimiter),
                "\"\\t\" is a tab",
            );
        }
        if ![".", ","].contains(&self.amount.decimal_point.as_str()) {
            mistake(
                "amount.decimal_point",
                format!("expected \".\" or \",\", found {:?}", self.amount.decimal_point),
                "thousands separators are not supported",
            );
        }
        if self.amount.currency.is_some() && self.amount.currency_column.is_some() {
            mistake("amount.currency_column", "both `currency` and `currency_column` are set".into(), "keep one");
        }
        if self.constants.channel.is_some() && self.order.channel.is_some() {
            mistake("constants.channel", "both `constants.channel` and `order.channel` are set".into(), "keep one");
        }
        if let Err(message) = self.time_format() {
            let is_zone = TimeZoneDatabase::bundled().get(&self.time.zone).is_err();
            mistake(if is_zone { "time.zone" } else { "time.format" }, message, "see config/mappings/reference.toml");
        }
        mistakes
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
