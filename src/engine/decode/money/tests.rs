//! Tables of amounts and rates, and agreement with `rust_decimal`.

use super::*;
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

fn rates(base: &str, decimals: u32, others: &[(&str, &str)]) -> Rates {
    let rates = others.iter().map(|(code, rate)| ((*code).into(), rate.parse().unwrap())).collect();
    Rates::new(&Currency { base: base.into(), decimals, rates })
}

#[track_caller]
fn check(rates: &Rates, code: &str, text: &str, expected: Option<i64>) {
    let rate = rates.rate(code).unwrap();
    assert_eq!(rate.minor_units(Amount::parse(text).unwrap()), expected, "{text} {code}");
}

#[test]
fn the_base_currency() {
    let euro = rates("EUR", 2, &[]);
    for (text, cents) in [
        ("0", 0),
        ("-0", 0),
        ("-0.00e5", 0),
        ("0e999999999999999999999", 0),
        ("39.90", 3990),
        ("39.9", 3990),
        ("7", 700),
        ("0.004", 0),
        ("0.005", 1),
        ("0.0049", 0),
        ("0.004999", 0),
        ("1.005", 101),
        ("1.015000", 102),
        ("1e3", 100_000),
        ("1.5E+1", 1500),
        ("150e-1", 1500),
        ("0.00000000000000001e17", 100),
        ("10000000000000", 1_000_000_000_000_000),
        ("10000000000000.004", 1_000_000_000_000_000),
        ("0.0000001", 0),
        ("1.0000000", 100),
        ("1e-7", 0),
        ("0e-7", 0),
        ("5e-3", 1),
        ("4999999999999999999999999999999999999999999999999999999999e-60", 0),
        ("5000000000000000000000000000000000000000000000000000000000e-60", 1),
        ("1e-99999999999999999999", 0),
        ("0.0000000000000000000000000000000000000000000000001e51", 10_000),
        ("12345678.9012345678901234567890123456789012345678901234567890123", 1_234_567_890),
        ("1e13", 1_000_000_000_000_000),
    ] {
        check(&euro, "EUR", text, Some(cents));
    }
}

#[test]
fn over_the_bound() {
    let euro = rates("EUR", 2, &[("XXA", "0.0000000000000000000000000001")]);
    for text in ["10000000000000.005", "10000000000000.01", "1e14", "1e30", "1e40", "1e999999999999999999999"] {
        check(&euro, "EUR", text, None);
    }
    check(&euro, "EUR", &"9".repeat(64), None);
    check(&euro, "EUR", "1e64", None);
    check(&euro, "EUR", "1e63", None);
    check(&euro, "XXA", "0.0000000000000000000000000000000000000000000000000000000001e90", Some(1_000_000));
    check(&euro, "XXA", "1e28", Some(100));
    check(&euro, "XXA", "12345678901234567890123456789012.345678", Some(123_457));
}

#[test]
fn other_numbers_of_decimals() {
    let yen = rates("JPY", 0, &[("EUR", "163.25")]);
    check(&yen, "JPY", "1200", Some(1200));
    check(&yen, "JPY", "1200.5", Some(1201));
    check(&yen, "JPY", "1200.499999", Some(1200));
    check(&yen, "EUR", "10.10", Some(1649));
    let dinar = rates("KWD", 3, &[("JPY", "0.00203")]);
    check(&dinar, "KWD", "1.2345", Some(1235));
    check(&dinar, "KWD", "1.2344", Some(1234));
    check(&dinar, "JPY", "1000", Some(2030));
    check(&dinar, "JPY", "1", Some(2));
}

#[test]
fn rates_round_once() {
    let euro = rates("EUR", 2, &[("USD", "0.92"), ("GBP", "1.17"), ("XXB", "1.0000000000000000000000000001")]);
    check(&euro, "USD", "10", Some(920));
    check(&euro, "USD", "0.01", Some(1));
    check(&euro, "USD", "10.99", Some(1011));
    // 1.1658 x 117 cents = 136.3986; rounding the amount first would give 136.89.
    check(&euro, "GBP", "1.1658", Some(136));
    check(&euro, "XXB", "0.005", Some(1));
    check(&euro, "XXB", "9999999999999.99", Some(999_999_999_999_999));
}

#[test]
fn unknown_currencies_have_no_rate() {
    let euro = rates("EUR", 2, &[("USD", "0.92")]);
    assert_eq!(euro.rate("CHF"), None);
    assert_eq!(euro.rate("Euro"), None);
    assert_eq!(euro.rate("usd"), euro.rate("USD"));
    assert_eq!(euro.rate("eUr"), euro.rate("EUR"));
    assert_eq!(euro.codes(), "EUR, USD");
}

#[test]
fn texts_that_are_no_amounts() {
    for text in [
        "", "-", ".5", "5.", "05", "00", "+5", "1,5", " 1", "1 ", "0x10", "1e", "1e+", "NaN", "Infinity", "1.2.3",
        "-1", "-0.01", "-1e-99", "٣",
    ] {
        assert!(Amount::parse(text).is_err(), "{text}");
    }
    assert!(Amount::parse(&"1".repeat(65)).is_err());
}

proptest! {
    /// Where a product fits rust_decimal exactly, it gives the same minor units.
    #[test]
    fn agrees_with_rust_decimal(
        digits in 0_u64..10_u64.pow(15), decimals in 0_u32..7, rate_digits in 1_u64..10_u64.pow(9), scale in 0_u32..9
    ) {
        let (amount, rate) = (Decimal::new(digits as i64, decimals), Decimal::new(rate_digits as i64, scale));
        let euro = Rates::new(&Currency { base: "EUR".into(), decimals: 2, rates: vec![("USD".into(), rate)] });
        let exact = (amount * rate * Decimal::from(100)).round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        let expected = i64::try_from(exact).ok().filter(|units| *units <= MINOR_UNITS_MAX as i64);
        let parsed = Amount::parse(&amount.to_string()).unwrap();
        prop_assert_eq!(euro.rate("USD").unwrap().minor_units(parsed), expected);
    }

    /// Written with more zeros, or with another exponent, an amount is the same.
    #[test]
    fn the_notation_does_not_matter(digits in "[1-9][0-9]{0,20}", decimals in 0_usize..30, zeros in 0_usize..12) {
        let euro = rates("EUR", 2, &[("USD", "0.9217")]);
        let units = |text: &str| euro.rate("USD").unwrap().minor_units(Amount::parse(text).unwrap());
        let expected = units(&format!("{digits}e-{decimals}"));
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        prop_assert_eq!(units(&format!("{whole}.{fraction}0{}", "0".repeat(zeros))), expected);
        prop_assert_eq!(units(&format!("{digits}{}e-{}", "0".repeat(zeros), decimals + zeros)), expected);
    }
}
