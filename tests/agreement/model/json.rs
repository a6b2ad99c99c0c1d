//! JSON as E1 requires it: one UTF-8 object, no duplicate names at any depth, at most 64 levels, no lone surrogate.
//!
//! Written by hand because a general parser keeps the last of two equal names and converts numbers into doubles.
//! Numbers remain text.

/// Levels of objects and arrays; the record's own object is the first.
const LEVELS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The member of an object; JSON null is absence (E2).
    pub fn member(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(known, value)| known == name && *value != Json::Null).map(|(_, value)| value)
    }
}

/// The record's object, or `None` if E1 rejects it.
pub fn parse_object(bytes: &[u8]) -> Option<Json> {
    let text: Vec<char> = std::str::from_utf8(bytes).ok()?.chars().collect();
    let mut reader = Reader { text, at: 0 };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    (reader.at == reader.text.len() && matches!(value, Json::Object(_))).then_some(value)
}

/// Whether the whole text is a JSON number.
pub fn is_number(text: &str) -> bool {
    let mut reader = Reader { text: text.chars().collect(), at: 0 };
    reader.number().is_some() && reader.at == reader.text.len()
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += 1;
        next
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        word.chars().all(|expected| self.next() == Some(expected)).then_some(value)
    }

    fn value(&mut self, level: usize) -> Option<Json> {
        match self.peek()? {
            'n' => self.word("null", Json::Null),
            't' => self.word("true", Json::Boolean(true)),
            'f' => self.word("false", Json::Boolean(false)),
            '"' => self.string().map(Json::Text),
            '{' if level < LEVELS_MAX => self.object(level + 1),
            '[' if level < LEVELS_MAX => self.array(level + 1),
            '{' | '[' => None,
            _ => self.number().map(Json::Number),
        }
    }

    fn object(&mut self, level: usize) -> Option<Json> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        self.space();
        if self.peek()? == '}' {
            self.at += 1;
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek()? != '"' {
                return None;
            }
            let name = self.string()?;
            self.space();
            if self.next()? != ':' || members.iter().any(|(known, _)| *known == name) {
                return None;
            }
            self.space();
            members.push((name, self.value(level)?));
            self.space();
            match self.next()? {
                ',' => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, level: usize) -> Option<Json> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.peek()? == ']' {
            self.at += 1;
            return Some(Json::Array(elements));
        }
        loop {
            self.space();
            elements.push(self.value(level)?);
            self.space();
            match self.next()? {
                ',' => {}
                ']' => return Some(Json::Array(elements)),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                control if control < ' ' => return None,
                plain => text.push(plain),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            '"' => '"',
            '\\' => '\\',
            '/' => '/',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return None,
        })
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xD800..0xE000).contains(&first) {
            return char::from_u32(first);
        }
        if first >= 0xDC00 || self.next()? != '\\' || self.next()? != 'u' {
            return None;
        }
        let second = self.four_digits()?;
        if !(0xDC00..0xE000).contains(&second) {
            return None;
        }
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + self.next()?.to_digit(16)?;
        }
        Some(value)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|digit| digit.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        let zero = self.peek() == Some('0');
        let digits = self.at;
        self.digits()?;
        if zero && self.at > digits + 1 {
            return None;
        }
        if self.peek() == Some('.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(self.text[start..self.at].iter().collect())
    }
}
