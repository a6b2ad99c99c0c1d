//! Single features in the spelling of conditions, from outside of a rules file, such as a command line.

use super::{ConditionReader, SqlText};
use crate::document::MistakeCollector;
use crate::engine::event_settings::EventSettings;
use crate::engine::rule::columns::Column;
use crate::engine::rule::compiled::scalar::Scalar;

/// The columns of features as a person wrote them, in their order, each with the name that was written.
///
/// # Errors
/// If one is no feature of customers with these event settings; the message names it, and the nearest one.
pub fn read_features(texts: &[String], event_settings: &EventSettings) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::new();
    for text in texts {
        let column = read_feature(text, event_settings).map_err(|message| format!("`{text}`: {message}"))?;
        if columns.iter().any(|known| known.name.eq_ignore_ascii_case(&column.name)) {
            return Err(format!("`{text}`: expected each feature once, found it again"));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn read_feature(text: &str, event_settings: &EventSettings) -> Result<Column, String> {
    // As in a rules file, where texts are in quotes.
    let file = format!("{text:?}");
    let mut mistakes = MistakeCollector::new(&file);
    let sql = SqlText::new(text, &file, 0..file.len());
    let mut comparisons = Vec::new();
    let mut intervals = Vec::new();
    let mut reader = ConditionReader {
        file: &file,
        event_settings,
        targets: &[],
        retired: &[],
        comparisons: &mut comparisons,
        intervals: &mut intervals,
    };
    let read = sql.parse(&mut mistakes).and_then(|expression| {
        let scalar = reader.checker(&sql, &mut mistakes).scalar(&expression)?;
        Some((expression.to_string(), scalar))
    });
    match read {
        Some((name, Scalar::Feature(call))) => Ok(Column { name, call: *call }),
        Some(_) => Err("expected one feature or function".into()),
        None => {
            let found = mistakes.finish().0.into_iter().map(|mistake| match mistake.hint {
                Some(hint) => format!("{}; {hint}", mistake.message),
                None => mistake.message,
            });
            Err(found.collect::<Vec<_>>().join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::DAY;

    fn read(texts: &[&str]) -> Result<Vec<(String, Option<i64>)>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let columns = read_features(&texts, &EventSettings::default())?;
        Ok(columns.into_iter().map(|column| (column.name, column.call.arguments.window)).collect())
    }

    #[test]
    fn features_have_the_windows_and_arguments_that_are_written() {
        let read = read(&["orders_77d", "orders", "since('checkout')"]).unwrap();
        let expected = [("orders_77d", Some(77 * DAY)), ("orders", None), ("since('checkout')", None)];
        assert_eq!(read, expected.map(|(name, window)| (name.to_owned(), window)));
    }

    #[test]
    fn what_is_no_feature_is_named() {
        for (texts, expected) in [
            (&["ordres"][..], "`ordres`: "),
            (&["orders", "Orders"], "expected each feature once"),
            (&["orders + 1"], "expected one feature or function"),
            (&["1"], "expected one feature or function"),
            (&["orders,"], "`orders,`: "),
            (&[""], "``: "),
        ] {
            let message = read(texts).unwrap_err();
            assert!(message.contains(expected), "{texts:?}: {message}");
        }
    }
}
