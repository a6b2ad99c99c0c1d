//! The table of features as Markdown for docs/features.md, and as text for `shoal check --features`.

use super::table::FEATURES;
use super::{Feature, Parameters, Unit};
use std::fmt::Write;

const HEAD: &str = "\
# Features

The values of a customer that rules can compare. This page is printed from the table in `src/engine/feature/table.rs`,
and a test keeps it current. `shoal check --features` prints the same table.

* `<w>` is a window of hours or days such as `24h` or `30d`, from `1h` to `400d`: the interval `(now - w, now]`. Without
  it, the value covers the customer's lifetime.
* `<n>` is a window in days, from 1 to 400; `'text'` is a category or a channel. In its place a text feature may stand, or
  `segment('lifecycle')`: `views_in(top_viewed_category_7d, 7)`; where that is NULL, the value is NULL.
* The moments of an absolute interval are dates (their UTC midnight) or RFC 3339 in UTC, such as `2026-11-27T18:00:00Z`.
  The interval includes the first and not the second. A file has at most 16 different ones. What was counted stays
  counted when it is no longer remembered; an interval that comes with new rules counts what is remembered then.
* Counts and money are exact. Days and minutes are doubles with a precision of a millisecond.
* An order counts unless it is cancelled or refunds have brought its net amount to 0.
* Names are not case-sensitive.

| feature | value | meaning | moves with time |
|---|---|---|---|
";

/// docs/features.md.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for feature in FEATURES {
        let names: Vec<_> = spellings(feature).iter().map(|name| format!("`{name}`")).collect();
        let (value, moves) = (unit_description(feature), if feature.unit.moves() { "yes" } else { "" });
        let _ = writeln!(text, "| {} | {value} | {} | {moves} |", names.join(", "), feature.description);
    }
    text
}

/// Plain text in columns.
pub fn plain() -> String {
    let rows: Vec<_> = FEATURES.iter().map(|feature| (spellings(feature).join(", "), feature)).collect();
    let width = rows.iter().map(|(names, _)| names.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (names, feature) in rows {
        let _ = writeln!(text, "{names:width$}  {:15}  {}", unit_description(feature), feature.description);
    }
    text
}

/// The forms of a feature in rules.
pub fn spellings(feature: &Feature) -> Vec<String> {
    let name = feature.name;
    match feature.parameters {
        Parameters::None => vec![name.into()],
        Parameters::OptionalWindow => vec![name.into(), format!("{name}_<w>")],
        Parameters::Window => vec![format!("{name}_<w>")],
        Parameters::CountedTypeAndDays => vec![format!("{name}('survey', <n>)")],
        Parameters::TextAndDays => vec![format!("{name}('text', <n>)")],
        Parameters::Interval => vec![format!("{name}('2026-11-27', '2026-12-01')")],
        Parameters::CountedTypeAndInterval => vec![format!("{name}('view', '2026-11-27', '2026-12-01')")],
        Parameters::AnyType => vec![format!("{name}('checkout')")],
        Parameters::TimeAttribute => vec![format!("{name}(signed_up)")],
        Parameters::TextsAttributeAndText => vec![format!("{name}(tags, 'gold')")],
        Parameters::Segmentation => vec![format!("{name}('lifecycle')")],
        Parameters::Audience => vec![format!("{name}('vip')")],
        Parameters::SaltAndCount => vec![format!("{name}('salt', 100)")],
        Parameters::Attribute => vec!["<attribute>".into()],
    }
}

fn unit_description(feature: &Feature) -> &'static str {
    match feature.unit {
        _ if feature.parameters == Parameters::Attribute => "its type",
        Unit::Count => "integer",
        Unit::Money => "money, exact",
        Unit::Days => "days, double",
        Unit::Minutes => "minutes, double",
        Unit::Number | Unit::Ratio => "double",
        Unit::Text => "text",
        Unit::Boolean => "boolean",
        Unit::Time => "moment",
        Unit::Texts => "texts",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/features.md is this table; `SHOAL_REFRESH=1` writes it.
    #[test]
    fn the_page_of_features_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/features.md");
        if std::env::var_os("SHOAL_REFRESH").is_some() {
            std::fs::write(&path, markdown()).expect("docs/features.md can be written");
        }
        let page = std::fs::read_to_string(&path).expect("docs/features.md is there");
        assert!(page == markdown(), "docs/features.md is not current: run the tests with SHOAL_REFRESH=1");
    }

    #[test]
    fn plain_text_has_a_line_for_every_feature() {
        let text = plain();
        assert_eq!(text.lines().count(), FEATURES.len());
        assert!(text.starts_with("orders, orders_<w>"), "{text}");
    }
}
