//! A scenario as it is parsed from its file: rules, steps in order, and the expected answer.

use super::answer::Answer;
use super::times::Times;
use serde_json::{Map, Value};
use shoal::engine::event::Millis;
use shoal::engine::shard::Bootstrap;
use std::path::{Path, PathBuf};

/// Moments such as `60d` count from here: a whole day, and long enough ago for a real broker's clock.
const START: &str = "2020-01-01T00:00:00Z";

pub struct Scenario {
    pub path: PathBuf,
    /// Numbers of the rules in docs/semantics.md that it shows.
    pub cites: Vec<String>,
    /// Why the answer holds only if all customers are in one shard.
    pub one_shard: Option<String>,
    /// Played on a real broker too.
    pub on_kafka: bool,
    pub times: Times,
    /// The wall clock, if it stands still; else it is the latest arrival or tick.
    pub now: Option<Millis>,
    /// The watermark at the end; by default the latest accepted event (R10).
    pub until: Option<Millis>,
    pub publish_from: Option<Millis>,
    pub bootstrap: Bootstrap,
    /// Rules files by the name that a step uses; the first is in force from the start.
    pub rules: Vec<(String, String)>,
    pub steps: Vec<Step>,
    pub expected: Answer,
    /// The file up to the expected answer.
    pub head: String,
}

pub enum Step {
    Record(Record),
    /// The wall clock (T3).
    Tick(Millis),
    /// New rules, by their index.
    Rules(usize),
}

#[derive(Clone, Debug)]
pub struct Record {
    pub key: Option<String>,
    pub value: Vec<u8>,
    /// Its Kafka timestamp.
    pub arrival: Millis,
}

impl Scenario {
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(path, &std::fs::read_to_string(path).map_err(|error| error.to_string())?)
    }

    /// Reads the text of the file at this path.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let (head, expected) = text.split_once("\n--- changes\n").ok_or("expected a line `--- changes`")?;
        let mut sections = head.split("\n--- ");
        let mut scenario = Self {
            path: path.to_owned(),
            cites: Vec::new(),
            one_shard: None,
            on_kafka: false,
            times: Times {
                start: START.parse::<jiff::Timestamp>().expect("constant").as_millisecond(),
                absolute: false,
            },
            now: None,
            until: None,
            publish_from: None,
            bootstrap: Bootstrap::Changes,
            rules: Vec::new(),
            steps: Vec::new(),
            expected: Answer::default(),
            head: format!("{}\n", head.trim_end()),
        };
        scenario.read_header(sections.next().unwrap_or_default())?;
        for section in sections {
            let (name, body) = section.split_once('\n').unwrap_or((section, ""));
            match name.split_once(' ').unwrap_or((name, "")) {
                ("rules", name) => scenario.rules.push((name.to_owned(), body.to_owned())),
                ("events", "") => scenario.read_steps(body)?,
                _ => return Err(format!("`--- {name}`: expected rules, events or changes")),
            }
        }
        scenario.expected = Answer::read(expected, &scenario.times)?;
        Ok(scenario)
    }

    /// The text of its file with this answer.
    pub fn with_answer(&self, answer: &Answer) -> String {
        format!("{}{}", self.head, answer.render(&self.expected))
    }

    /// Prose, then `key: value` lines of which `rules: ` is the first.
    fn read_header(&mut self, text: &str) -> Result<(), String> {
        let settings = text.lines().skip_while(|line| !line.starts_with("rules: "));
        for line in settings.filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once(": ").ok_or_else(|| format!("`{line}`: expected a setting"))?;
            match key {
                "rules" => self.cites = value.split_whitespace().map(str::to_owned).collect(),
                "one shard" => self.one_shard = Some(value.to_owned()),
                "kafka" => self.on_kafka = value == "yes",
                "times" => self.times.absolute = value == "absolute",
                "now" => self.now = Some(self.times.parse(value)?),
                "until" => self.until = Some(self.times.parse(value)?),
                "publish_from" => self.publish_from = Some(self.times.parse(value)?),
                "bootstrap" if value == "membership" => self.bootstrap = Bootstrap::Membership,
                _ => return Err(format!("`{key}: `: no such setting of a scenario")),
            }
        }
        if self.cites.is_empty() {
            return Err("expected `rules: ` with the numbers of the rules that it shows".to_owned());
        }
        Ok(())
    }

    fn read_steps(&mut self, text: &str) -> Result<(), String> {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let step = match line.split_once(' ') {
                Some(("tick", moment)) => Step::Tick(self.times.parse(moment)?),
                Some(("rules", name)) => {
                    let index = self.rules.iter().position(|(known, _)| known == name);
                    Step::Rules(index.ok_or_else(|| format!("`{line}`: no section `--- rules {name}`"))?)
                }
                Some(("raw", rest)) => Step::Record(self.raw(rest)?),
                _ => Step::Record(self.event(line).map_err(|error| format!("`{line}`: {error}"))?),
            };
            self.steps.push(step);
        }
        Ok(())
    }

    /// `MOMENT KEY VALUE`: a record with exactly this value; `-` stands for no key.
    fn raw(&self, line: &str) -> Result<Record, String> {
        let mut parts = line.splitn(3, ' ');
        let mut part =
            || parts.next().ok_or_else(|| format!("`raw {line}`: expected a moment, a key or -, and a value"));
        let arrival = self.times.parse(part()?)?;
        let key = Some(part()?).filter(|key| *key != "-").map(str::to_owned);
        let value = part()?.replace("<empty>", "").replace("<spaces 65536>", &" ".repeat(65_536)).into_bytes();
        Ok(Record { key, value, arrival })
    }

    /// `MOMENT[@ARRIVAL] CUSTOMER TYPE [field=value …]`; a value that begins with `{`, `[` or `"` is JSON, and so are
    /// null, true and false.
    fn event(&self, line: &str) -> Result<Record, String> {
        let mut words = fields_of(line).into_iter();
        let mut word = |what: &str| words.next().ok_or_else(|| format!("expected {what}"));
        let moment = word("a moment")?;
        let (time, arrival) = moment.split_once('@').unwrap_or((&moment, &moment));
        let (time, arrival) = (self.times.parse(time)?, self.times.parse(arrival)?);
        let (customer, event_type) = (word("a customer")?, word("a type")?);
        let mut fields = Map::new();
        fields.insert("type".into(), event_type.into());
        fields.insert("time".into(), time.into());
        fields.insert("customer_id".into(), customer.clone().into());
        for field in words {
            let (name, value) = field.split_once('=').ok_or_else(|| format!("`{field}`: expected field=value"))?;
            let is_json = value.starts_with(['{', '[', '"']) || matches!(value, "null" | "true" | "false");
            let value = match is_json {
                true => serde_json::from_str(value).map_err(|error| format!("`{field}`: {error}"))?,
                false => Value::from(value),
            };
            fields.insert(name.to_owned(), value);
        }
        let value = Value::Object(fields).to_string().into_bytes();
        Ok(Record { key: Some(customer), value, arrival })
    }
}

/// Splits a line at blanks outside of JSON.
fn fields_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut depth, mut quoted) = (0, false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        if c.is_whitespace() && depth == 0 && !quoted {
            words.push(String::new());
        } else {
            words.last_mut().expect("never empty").push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
