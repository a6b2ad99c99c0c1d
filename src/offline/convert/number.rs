//! Reads amounts as exports write them: decimal comma, thousands separators, currency signs. Exact, and never guessed.

use rust_decimal::Decimal;

/// How a mapping writes numbers.
#[derive(Clone, Debug)]
pub struct NumberFormat {
    pub decimal_point: char,
    /// What stands between groups of three digits, if anything may.
    pub thousands: Option<char>,
    /// What may stand before or after an amount.
    pub signs: Vec<String>,
}

impl NumberFormat {
    /// The number in `text`; `None` if the format does not allow the text.
    pub fn parse(&self, text: &str) -> Option<Decimal> {
        let (is_negative, text) = strip_sign(self.without_currency(text.trim()));
        let (is_negative_within, text) = strip_sign(self.without_currency(text));
        let (whole, fraction) = match text.split_once(self.decimal_point) {
            Some((whole, fraction)) => (whole, fraction),
            None => (text, ""),
        };
        let mut digits = self.whole_digits(whole)?;
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(&digits) || !is_digits(fraction) || digits.len() + fraction.len() == 0 {
            return None;
        }
        if is_negative.is_some() && is_negative_within.is_some() {
            return None;
        }
        if digits.is_empty() {
            digits.push('0');
        }
        if !fraction.is_empty() {
            digits.push('.');
            digits.push_str(fraction);
        }
        let mut number = Decimal::from_str_exact(&digits).ok()?;
        number.set_sign_negative(!number.is_zero() && (is_negative.or(is_negative_within) == Some(true)));
        Some(number)
    }

    fn without_currency<'a>(&self, text: &'a str) -> &'a str {
        let strip = |sign: &String| text.strip_prefix(sign.as_str()).or_else(|| text.strip_suffix(sign.as_str()));
        self.signs.iter().find_map(strip).unwrap_or(text).trim()
    }

    /// The digits before the decimal point; separators must stand between groups of exactly three digits.
    fn whole_digits(&self, whole: &str) -> Option<String> {
        let Some(separator) = self.thousands else { return Some(whole.to_owned()) };
        let groups: Vec<&str> = whole.split(|written| is_separator(separator, written)).collect();
        let (first, others) = groups.split_first()?;
        let is_grouped =
            others.is_empty() || (1..=3).contains(&first.len()) && others.iter().all(|group| group.len() == 3);
        is_grouped.then(|| groups.concat())
    }
}

/// Removes `+` or `-`: whether the number is negative, if a sign is there.
fn strip_sign(text: &str) -> (Option<bool>, &str) {
    match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (Some(true), rest.trim_start()),
        None => match text.strip_prefix('+') {
            Some(rest) => (Some(false), rest.trim_start()),
            None => (None, text),
        },
    }
}

/// Spaces and apostrophes have several forms that look alike.
fn is_separator(separator: char, written: char) -> bool {
    match separator {
        ' ' => matches!(written, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}'),
        '\'' => matches!(written, '\'' | '\u{2019}'),
        _ => written == separator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(decimal_point: char, thousands: Option<char>, signs: &[&str]) -> NumberFormat {
        NumberFormat { decimal_point, thousands, signs: signs.iter().map(ToString::to_string).collect() }
    }

    fn parse(format: &NumberFormat, text: &str) -> String {
        format.parse(text).map_or_else(|| "-".to_owned(), |number| number.to_string())
    }

    #[test]
    fn only_what_the_format_allows_is_a_number() {
        let plain = format('.', None, &[]);
        for (text, expected) in [
            ("12.50", "12.50"),
            (" -12.5 ", "-12.5"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0", "0"),
            ("", "-"),
            (".", "-"),
            ("1_0", "-"),
            ("1e3", "-"),
            ("--1", "-"),
            ("- -1", "-"),
            ("1,250.00", "-"),
            ("12.50-", "-"),
            ("(12.50)", "-"),
            ("$1", "-"),
            ("1.2.3", "-"),
            ("99999999999999999999999999999999", "-"),
        ] {
            assert_eq!(parse(&plain, text), expected, "{text:?}");
        }
    }

    #[test]
    fn separators_and_signs_are_those_of_the_mapping() {
        let european = format(',', Some('.'), &["€", "EUR"]);
        for (text, expected) in [
            ("1.234,56", "1234.56"),
            ("1.234.567", "1234567"),
            ("€ 1.234,56", "1234.56"),
            ("1234,56 €", "1234.56"),
            ("-12,50 EUR", "-12.50"),
            ("€-12,50", "-12.50"),
            ("-€12,50", "-12.50"),
            ("1.23,5", "-"),
            ("12.50", "-"),
            ("1234.567", "-"),
            ("$12,50", "-"),
            ("1,234,567", "-"),
        ] {
            assert_eq!(parse(&european, text), expected, "{text:?}");
        }
        assert_eq!(parse(&format(',', Some(' '), &[]), "1\u{a0}234\u{202f}567,5"), "1234567.5");
        assert_eq!(parse(&format('.', Some('\''), &["CHF"]), "CHF 1\u{2019}234.55"), "1234.55");
        assert_eq!(parse(&format('.', Some(','), &["$"]), "$1,250.00"), "1250.00");
    }
}
