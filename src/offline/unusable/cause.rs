//! The likely cause, in words, why most lines of a file cannot be used, from the first of them and its rejection.

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};

/// Fields of events, and names under which other systems have them, without capitals and punctuation.
const OTHER_NAMES: [(&str, &[&str]); 4] = [
    (
        "customer_id",
        &[
            "customerid",
            "customer",
            "userid",
            "user",
            "clientid",
            "memberid",
            "contactid",
            "accountid",
            "shopperid",
            "profileid",
            "distinctid",
            "anonymousid",
            "visitorid",
            "uid",
            "email",
            "id",
        ],
    ),
    ("type", &["eventtype", "event", "eventname", "name", "action", "kind"]),
    (
        "time",
        &["timestamp", "ts", "eventtime", "occurredat", "createdat", "createdatutc", "datetime", "date", "receivedat"],
    ),
    ("amount", &["total", "totalprice", "grandtotal", "price", "value", "revenue", "ordertotal", "sum"]),
];
/// Digits of a present time in seconds, microseconds and nanoseconds.
const SECONDS_DIGITS: usize = 10;
const MICROSECONDS_DIGITS: usize = 16;
const NANOSECONDS_DIGITS: usize = 19;

/// The likely cause of a rejection, if there is one; `value` is the line or its beginning.
pub fn likely(reason: &str, message: &str, value: &[u8]) -> Option<String> {
    let event: Option<Map<String, Value>> = serde_json::from_slice(value).ok();
    match reason {
        "decode" => of_decode(value).map(str::to_owned),
        "too_large" => Some("the events are not separated by newlines: expected one JSON object per line".into()),
        "currency" => Some(of_currency(event?.get("currency")?.as_str()?)),
        "time" => Some(
            "the times are written in another form: expected RFC 3339 with a zone, such as 2026-11-22T10:04:11Z, or \
             milliseconds since 1970"
                .into(),
        ),
        "time_unit" => of_unit(&event?.get("time")?.to_string()),
        "time_future" => Some("the events are later than now: for events of the future set --now".into()),
        "amount" => Some(
            "the amounts are written in another form: expected decimals such as \"1234.56\", with a point, without \
             signs of currencies and separators of thousands"
                .into(),
        ),
        _ => of_names(&event?, message).or_else(|| (reason == "type").then(of_type)),
    }
}

/// A line that is no JSON object.
fn of_decode(value: &[u8]) -> Option<&'static str> {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&value[..error.valid_up_to()]).ok()?,
        Err(_) => return Some(of_bytes(value)),
    };
    let text = text.trim();
    Some(match text.chars().next()? {
        '\0' => "the file has zero bytes in place of text: it was not written completely, or is no text",
        '[' => "the file is a JSON array; expected one event per line: `jq -c '.[]' FILE` writes it so",
        '\u{1e}' => {
            "the file is a JSON text sequence (RFC 7464); expected plain lines: `tr -d '\\036' < FILE` writes it so"
        }
        '<' => "the file is XML or HTML; expected JSON lines, one event each",
        '\'' | '{' if text.starts_with("{'") || text.starts_with('\'') => {
            "the names and texts are in single quotes, which is Python's notation; expected JSON, as `json.dumps` writes it"
        }
        '{' => return of_object(text),
        '"' | '}' if !text.contains("\",\"") => PRETTY,
        _ if has_columns(text) => {
            "the file is CSV; expected JSON lines: `shoal convert --mapping FILE` makes them from an export \
             (docs/convert.md)"
        }
        _ => return None,
    })
}

const PRETTY: &str =
    "the events are printed over several lines each; expected one event per line: `jq -c . FILE` writes it so";

/// A line that begins as an object.
fn of_object(text: &str) -> Option<&'static str> {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next()? {
        Ok(_) => {
            let rest = &text[values.byte_offset()..];
            let next = rest.trim_start();
            if next.starts_with(',') {
                return Some(
                    "the lines end with commas, as within a JSON array; `sed 's/,[[:space:]]*$//'` removes them",
                );
            }
            if !next.starts_with('{') {
                return None;
            }
            Some(match rest.starts_with('\r') {
                true => {
                    "the lines end with carriage returns only; expected newlines: `tr '\\r' '\\n' < FILE` writes them so"
                }
                false => "several events are on one line; expected one event per line: `jq -c . FILE` writes it so",
            })
        }
        Err(error) if error.is_eof() && text.ends_with(['{', ',', '[']) => Some(PRETTY),
        Err(_) => None,
    }
}

/// A line that is not UTF-8.
fn of_bytes(value: &[u8]) -> &'static str {
    let control = value.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count();
    match control * 20 > value.len() {
        true => "the file is no text; expected JSON lines, plain or packed by gzip or Zstandard",
        false => {
            "the file is in another encoding; expected UTF-8: `iconv -f WINDOWS-1252 -t UTF-8 FILE` converts the usual one"
        }
    }
}

/// Whether a line looks like the header or a line of CSV.
fn has_columns(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    [',', ';', '\t', '|'].into_iter().any(|delimiter| line.contains(delimiter)) && !line.contains(['{', '}'])
}

fn of_currency(code: &str) -> String {
    format!(
        "the amounts are in {code:?}, for which the rules have no rate: set `base` of [currency] to the currency of the \
         events, or add a rate to `rates`"
    )
}

fn of_unit(time: &str) -> Option<String> {
    let (unit, operation) = match time.trim_start_matches('-').len() {
        ..=SECONDS_DIGITS => ("seconds", "* 1000"),
        MICROSECONDS_DIGITS => ("microseconds", "/ 1000 | floor"),
        NANOSECONDS_DIGITS => ("nanoseconds", "/ 1000000 | floor"),
        _ => return None,
    };
    Some(format!(
        "the times are in {unit}; expected milliseconds since 1970: `jq -c '.time |= (. {operation})' FILE` writes them so"
    ))
}

/// A field that is missing, but there under another name.
fn of_names(event: &Map<String, Value>, message: &str) -> Option<String> {
    let is_missing =
        |field: &str| event.get(field).is_none_or(Value::is_null) && message.contains(&format!("`{field}`"));
    let (field, others) = OTHER_NAMES.into_iter().find(|(field, _)| is_missing(field))?;
    let plain =
        |name: &str| -> String { name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let found = others.iter().find_map(|other| event.keys().find(|name| plain(name) == *other))?;
    Some(format!(
        "the events have no field `{field}`; `{found}` may be it: `jq -c '.{field} = .[{found:?}]' FILE` writes it so"
    ))
}

fn of_type() -> String {
    "the types of the events have other names: rename them to those of docs/semantics.md, or declare them under [events] \
     of the rules"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reason: &str, message: &str, value: &[u8], expected: &str) {
        let found = likely(reason, message, value).unwrap_or_default();
        let is_right = if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
        assert!(is_right, "{:?}: expected {expected:?}, found {found:?}", String::from_utf8_lossy(value));
    }

    #[test]
    fn wrappings_of_json_are_named() {
        for (value, expected) in [
            (&b"[{\"customer_id\":\"a\"},"[..], "JSON array"),
            (b"  [", "JSON array"),
            (b"\x1e{\"customer_id\":\"a\"}", "RFC 7464"),
            (b"{", "over several lines"),
            (b"{\"customer_id\":\"a\",", "over several lines"),
            (b"  \"customer_id\": \"a\",", "over several lines"),
            (b"}", "over several lines"),
            (b"{\"a\":1}{\"a\":2}", "several events are on one line"),
            (b"{\"a\":1} {\"a\":2}", "several events are on one line"),
            (b"{\"a\":1}\r{\"a\":2}\r", "carriage returns"),
            (b"{\"a\":1},", "end with commas"),
            (b"{'customer_id': 'a'}", "Python"),
            (b"<events><event/></events>", "XML"),
            (b"customer_id,type,time", "shoal convert"),
            (b"\"customer_id\",\"type\",\"time\"", "shoal convert"),
            (b"Kunde;Datum;Betrag", "shoal convert"),
            (b"a\tb", "shoal convert"),
            (b"{\"customer_id\":\"Zo\xeb\"}", "another encoding"),
            (b"\x93\x00\x01\xff\x02\x03\x00\x00", "no text"),
            (b"\0\0\0\0", "not written completely"),
            (b"hello", ""),
            (b"{\"a\":1", ""),
            (b"{\"a\":1} junk", ""),
        ] {
            check("decode", "expected one JSON object", value, expected);
        }
    }

    #[test]
    fn fields_with_other_names_units_and_currencies_are_named() {
        let key = "expected `customer_id`, found nothing";
        check("key", key, b"{\"userId\":\"a\",\"type\":\"view\"}", "`userId` may be it");
        check("key", key, b"{\"id\":1,\"Customer ID\":\"a\"}", "`Customer ID` may be it");
        check("key", key, b"{\"type\":\"view\"}", "");
        let time = "`time`: expected RFC 3339 text with zone, found nothing";
        check("schema", time, b"{\"customer_id\":\"a\",\"created_at\":\"2024\"}", "`created_at` may be it");
        check(
            "schema",
            "`amount`: expected a decimal, found nothing",
            b"{\"total_price\":1}",
            "`total_price` may be it",
        );
        check(
            "type",
            "`type`: expected the name of a type, found nothing",
            b"{\"event\":\"view\"}",
            "`event` may be it",
        );
        check("type", "`type`: expected a built-in type, found \"Order\"", b"{\"type\":\"Order\"}", "declare them");
        check("currency", "", b"{\"currency\":\"GBP\"}", "in \"GBP\"");
        check("time_unit", "", b"{\"time\":1704448801}", "in seconds");
        check("time_unit", "", b"{\"time\":1704448801000000}", "in microseconds");
        check("time_unit", "", b"{\"time\":1704448801000000000}", "in nanoseconds");
        check("time_future", "", b"{\"time\":1704448801000}", "--now");
    }
}
