//! A TOML file read against an example of itself: the shipped file with all keys is the schema.
//!
//! So the list of keys, their types and their documentation cannot differ from each other: a key that is not in the
//! example is unknown, and a value of another type than the example's is a mistake.

use super::mistake::{Mistake, MistakeCollector, Origin};
use super::nearest::nearest_or_all;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the file whose key the schema has, with the schema's type.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Names of the tables, and of the key.
    pub path: Vec<String>,
    pub value: toml::Value,
    pub origin: Origin,
}

impl Setting {
    /// The path with dots: `kafka.brokers`.
    pub fn key(&self) -> String {
        self.path.join(".")
    }
}

/// What a file may contain.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The shipped file: its keys are the known ones, its values have their types.
    pub example: toml::Table,
    /// Tables (dotted) whose keys are free and whose values are text.
    pub open: &'static [&'static str],
}

impl Schema {
    /// The example's value at a path, or an empty text for a free key.
    pub fn known(&self, path: &[String]) -> Option<toml::Value> {
        let (key, tables) = path.split_last()?;
        let mut table = &self.example;
        for name in tables {
            table = table.get(name)?.as_table()?;
        }
        let free = || self.open.contains(&tables.join(".").as_str()).then(|| toml::Value::String(String::new()));
        table.get(key).cloned().or_else(free)
    }

    /// Whether the example itself has this key: a free key is not in it.
    pub fn has(&self, path: &[String]) -> bool {
        let Some((key, tables)) = path.split_last() else { return false };
        self.table(tables).is_some_and(|table| table.contains_key(key))
    }

    /// The hint for an unknown key: the nearest known key of the same table, or all of them.
    pub fn hint(&self, path: &[String]) -> String {
        let Some((key, tables)) = path.split_last() else { return String::new() };
        nearest_or_all(key, self.table(tables).into_iter().flat_map(toml::Table::keys).map(String::as_str))
    }

    fn table(&self, path: &[String]) -> Option<&toml::Table> {
        path.iter().try_fold(&self.example, |table, name| table.get(name)?.as_table())
    }
}

/// Reads `text` against `schema`: the settings that can be used, and all mistakes.
pub fn read(file: &str, text: &str, schema: &Schema) -> (Vec<Setting>, Vec<Mistake>) {
    let mut mistakes = MistakeCollector::new(text);
    let document = super::parse(text, &mut mistakes);
    let mut reader = Reader { file, schema, path: Vec::new(), settings: Vec::new(), mistakes };
    reader.table(document.get_ref());
    (reader.settings, reader.mistakes.finish().in_file(file).0)
}

struct Reader<'a> {
    file: &'a str,
    schema: &'a Schema,
    path: Vec<String>,
    settings: Vec<Setting>,
    mistakes: MistakeCollector<'a>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.path.push(key.get_ref().to_string());
            match self.schema.known(&self.path) {
                Some(known) => self.value(value, &known),
                None => {
                    let message = format!("unknown key `{}`", self.path.join("."));
                    self.mistakes.add(key.span().start, message, Some(self.schema.hint(&self.path)));
                }
            }
            self.path.pop();
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, known: &toml::Value) {
        if let (DeValue::Table(table), toml::Value::Table(_)) = (value.get_ref(), known) {
            return self.table(table);
        }
        let plain = plain(value.get_ref());
        let offset = value.span().start;
        if same_type(&plain, known) {
            let origin = Origin::File(self.file.to_owned(), self.mistakes.position(offset));
            self.settings.push(Setting { path: self.path.clone(), value: plain, origin });
        } else {
            // The value is not shown: it may be a secret.
            let (expected, found) = (type_name(known), type_name(&plain));
            let message = format!("`{}`: expected {expected}, found {found}", self.path.join("."));
            let hint = example(&self.path, known).map(|example| format!("for example {example}"));
            self.mistakes.add(offset, message, hint);
        }
    }
}

/// Whether the two have the same type; an integer may stand for a float. Elements of lists are compared with the first.
pub fn same_type(value: &toml::Value, known: &toml::Value) -> bool {
    use toml::Value::{Array, Float, Integer};
    match (value, known) {
        (Array(values), Array(known)) => {
            known.first().is_none_or(|first| values.iter().all(|value| same_type(value, first)))
        }
        (Integer(_), Float(_)) => true,
        _ => value.same_type(known),
    }
}

/// The type of a value, for a message.
pub fn type_name(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "text",
        toml::Value::Integer(_) => "an integer",
        toml::Value::Float(_) => "a number",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(values) => match values.first() {
            Some(toml::Value::String(_)) => "a list of texts",
            Some(toml::Value::Integer(_)) => "a list of integers",
            _ => "a list",
        },
        toml::Value::Table(_) => "a table",
    }
}

/// The line of the shipped file for this key; `None` if its value there is empty.
fn example(path: &[String], known: &toml::Value) -> Option<String> {
    match known {
        toml::Value::Table(_) => Some(format!("[{}]", path.join("."))),
        toml::Value::String(text) if text.is_empty() => None,
        _ => Some(format!("{} = {known}", path.last().map_or("", String::as_str))),
    }
}

/// A value without its spans.
fn plain(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Integer),
        DeValue::Float(number) => toml::Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(value) => toml::Value::Datetime(*value),
        DeValue::Array(values) => toml::Value::Array(values.iter().map(|value| plain(value.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect(),
        ),
    }
}
