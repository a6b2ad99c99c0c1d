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

/// Reads `text` against `schema`. Keys of the tables named in `open` (dotted) are free; their values are not:
/// they have the type of the first value that the schema's table has.
pub fn read(file: &str, text: &str, schema: &toml::Table, open: &[&str]) -> (Vec<Setting>, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { file, text, open, path: Vec::new(), settings: Vec::new(), mistakes: Vec::new() };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let words = format!("not TOML: {}", error.message().lines().collect::<Vec<_>>().join(", "));
        reader.mistake(at, words, None);
    }
    reader.table(document.get_ref(), schema);
    (reader.settings, reader.mistakes)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    open: &'a [&'a str],
    path: Vec<String>,
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, schema: &toml::Table) {
        let free = self.open.contains(&self.path.join(".").as_str());
        for (key, value) in table {
            let name: &str = key.get_ref();
            let known = schema.get(name).or(if free { schema.values().next() } else { None });
            match known {
                Some(known) => {
                    self.path.push(name.to_owned());
                    self.value(value, known);
                    self.path.pop();
                }
                None => {
                    let full = self.full(name);
                    let hint = nearest(name, schema.keys().map(String::as_str));
                    self.mistake(key.span().start, format!("unknown key `{full}`"), Some(hint));
                }
            }
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, known: &toml::Value) {
        if let (DeValue::Table(table), toml::Value::Table(schema)) = (value.get_ref(), known) {
            return self.table(table, schema);
        }
        let plain = plain(value.get_ref());
        let start = value.span().start;
        if same_type(&plain, known) {
            let place = self.place(start);
            self.settings.push(Setting { path: self.path.clone(), value: plain, place });
        } else {
            let (expected, found) = (type_words(known), type_words(&plain));
            let words = format!("`{}`: expected {expected}, found {found}", self.path.join("."));
            self.mistake(start, words, Some(format!("for example {}", example(&self.path, known))));
        }
    }

    fn full(&self, name: &str) -> String {
        let mut full = self.path.clone();
        full.push(name.to_owned());
        full.join(".")
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

/// How the shipped file writes this key, shortened.
fn example(path: &[String], known: &toml::Value) -> String {
    match known {
        toml::Value::Table(_) => format!("[{}]", path.join(".")),
        _ => format!("{} = {known}", path.last().map_or("", String::as_str)),
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
