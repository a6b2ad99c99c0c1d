//! The table of features in words: as Markdown for docs/features.md, and as text for `shoal check --features`.

use super::table::FEATURES;
use super::{Feature, Parameters, Unit};
use std::fmt::Write;

/// docs/features.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Features\n\n\
         What rules can say about a customer. Printed from the engine's table by `shoal check --features`; a test keeps this \
         page current.\n\n\
         `<w>` is a window, a number of hours or days such as `24h` or `30d`, from `1h` to `400d`: the interval\n\
         `(now - w, now]`. Without it the value is of the customer's lifetime. `<n>` is a number of days from 1 to 400.\n\
         Names mind no case.\n\n\
         | feature | value | meaning | moves with time |\n|---|---|---|---|\n",
    );
    for feature in FEATURES {
        let names: Vec<_> = spellings(feature).iter().map(|name| format!("`{name}`")).collect();
        let (value, moves) = (unit_words(feature), if feature.unit.moves() { "yes" } else { "" });
        let _ = writeln!(text, "| {} | {value} | {} | {moves} |", names.join(", "), feature.meaning);
    }
    text
}

/// Plain text in columns.
pub fn plain() -> String {
    let rows: Vec<_> = FEATURES.iter().map(|feature| (spellings(feature).join(", "), feature)).collect();
    let width = rows.iter().map(|(names, _)| names.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (names, feature) in rows {
        let _ = writeln!(text, "{names:width$}  {:15}  {}", unit_words(feature), feature.meaning);
    }
    text
}

/// How a feature is written in rules.
pub fn spellings(feature: &Feature) -> Vec<String> {
    let name = feature.name;
    match feature.parameters {
        Parameters::None => vec![name.into()],
        Parameters::OptionalWindow => vec![name.into(), format!("{name}_<w>")],
        Parameters::Window => vec![format!("{name}_<w>")],
        Parameters::CountedTypeAndDays => vec![format!("{name}('survey', <n>)")],
        Parameters::TextAndDays => vec![format!("{name}('text', <n>)")],
        Parameters::AnyType => vec![format!("{name}('checkout')")],
        Parameters::TimeAttribute => vec![format!("{name}(signed_up)")],
        Parameters::Segmentation => vec![format!("{name}('lifecycle')")],
        Parameters::Audience => vec![format!("{name}('vip')")],
        Parameters::SaltAndCount => vec![format!("{name}('salt', 100)")],
        Parameters::Attribute => vec!["<attribute>".into()],
    }
}

fn unit_words(feature: &Feature) -> &'static str {
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
    }
}
