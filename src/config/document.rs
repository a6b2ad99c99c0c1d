//! A TOML file read against an example of itself: the file with all keys that we ship is the schema.
//!
//! So the list of keys, their types and their documentation cannot drift apart: a key that is not in the example is
//! unknown, and a value of another type than the example's is a mistake. All mistakes are gathered, each with its place.

use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a file or an environment variable: where, what was expected and found, what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    pub place: Place,
    pub words: String,
    pub hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// File name, line and column, both from 1.
    File(String, usize, usize),
    Environment(String),
}

/// Everything wrong with what was configured; the process leaves with status 78.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line, column) => write!(f, "{file}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.words)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// A value of the file that stands where the schema has one of its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Names of the tables and of the key.
    pub path: Vec<String>,
    pub value: toml::Value,
    pub place: Place,
}

/// What may stand in a file.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The shipped file: its keys are the known ones, its values have their types.
    pub example: toml::Table,
    /// Tables (dotted) whose keys are free and whose values are text.
    pub open: &'static [&'static str],
}

impl Schema {
    /// What the example has at a path, or what a free key there would be.
    pub fn known(&self, path: &[String]) -> Option<toml::Value> {
        let (key, tables) = path.split_last()?;
        let mut table = &self.example;
        for name in tables {
            table = table.get(name)?.as_table()?;
        }
        let free = || self.open.contains(&tables.join(".").as_str()).then(|| toml::Value::String(String::new()));
        table.get(key).cloned().or_else(free)
    }

    /// The nearest known key in the same table.
    pub fn nearest(&self, path: &[String]) -> String {
        let Some((key, tables)) = path.split_last() else { return String::new() };
        let table = tables.iter().try_fold(&self.example, |table, name| table.get(name)?.as_table());
        nearest(key, table.into_iter().flat_map(toml::Table::keys).map(String::as_str))
    }
}

/// Reads `text` against `schema`: what is well, and all that is not.
pub fn read(file: &str, text: &str, schema: &Schema) -> (Vec<Setting>, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { file, text, schema, path: Vec::new(), settings: Vec::new(), mistakes: Vec::new() };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let words = format!("not TOML: {}", error.message().lines().collect::<Vec<_>>().join(", "));
        reader.mistake(at, words, None);
    }
    reader.table(document.get_ref());
    (reader.settings, reader.mistakes)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    schema: &'a Schema,
    path: Vec<String>,
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.path.push(key.get_ref().to_string());
            match self.schema.known(&self.path) {
                Some(known) => self.value(value, &known),
                None => {
                    let words = format!("unknown key `{}`", self.path.join("."));
                    let hint = self.schema.nearest(&self.path);
                    self.mistake(key.span().start, words, Some(hint));
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
        let start = value.span().start;
        if same_type(&plain, known) {
            let place = self.place(start);
            self.settings.push(Setting { path: self.path.clone(), value: plain, place });
        } else {
            let (expected, found) = (type_words(known), type_words(&plain));
            let words = format!("`{}`: expected {expected}, found {found}", self.path.join("."));
            self.mistake(start, words, example(&self.path, known).map(|example| format!("for example {example}")));
        }
    }

    fn place(&self, offset: usize) -> Place {
        let (line, column) = line_and_column(self.text, offset);
        Place::File(self.file.to_owned(), line, column)
    }

    fn mistake(&mut self, offset: usize, words: String, hint: Option<String>) {
        let place = self.place(offset);
        self.mistakes.push(Mistake { place, words, hint });
    }
}

/// Line and column, from 1, in characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    (line, column)
}

/// `did you mean …?` for the nearest name, or the list of names if none is near.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = known.collect();
    let best = names.iter().max_by(|a, b| {
        let (a, b) = (strsim::jaro_winkler(name, a), strsim::jaro_winkler(name, b));
        a.total_cmp(&b)
    });
    match best {
        Some(best) if strsim::jaro_winkler(name, best) >= 0.75 => format!("did you mean `{best}`?"),
        Some(_) => format!("known here: {}", names.join(", ")),
        None => "no keys are known here".to_owned(),
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

pub fn type_words(value: &toml::Value) -> &'static str {
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

/// How the shipped file writes this key; nothing if it leaves it empty.
fn example(path: &[String], known: &toml::Value) -> Option<String> {
    match known {
        toml::Value::Table(_) => Some(format!("[{}]", path.join("."))),
        toml::Value::String(text) if text.is_empty() => None,
        _ => Some(format!("{} = {known}", path.last().map_or("", String::as_str))),
    }
}

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
