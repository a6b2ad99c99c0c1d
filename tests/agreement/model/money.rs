//! Money from text (O1, E1 `amount`): exact integers, rounded once to minor units of the base currency.

use super::json::is_number;

/// An amount of more minor units is rejected (E1).
const MINOR_MAX: i128 = 1_000_000_000_000_000;

/// A decimal that passes the first check of E1: its digits, and how many of them come after the point. There may be
/// more of those than digits, or fewer than none.
#[derive(Clone, Debug, PartialEq)]
pub struct Decimal {
    digits: Vec<u8>,
    decimals: i64,
}

/// The rate of a currency: `mantissa / 10^scale` base units for one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub mantissa: i128,
    pub scale: u32,
}

impl Rate {
    pub const ONE: Rate = Rate { mantissa: 1, scale: 0 };

    /// From the text of a decimal without sign and exponent.
    pub fn of(text: &str) -> Rate {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let mantissa = format!("{whole}{fraction}").parse().expect("a rate is a plain decimal");
        Rate { mantissa, scale: fraction.len() as u32 }
    }
}

/// The first check of `amount`: JSON's number grammar in at most 64 characters, no sign (but -0 is 0), above 0 if
/// `positive`.
pub fn decimal(text: &str, positive: bool) -> Option<Decimal> {
    if !is_number(text) || text.chars().count() > 64 {
        return None;
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
    let is_zero = digits.iter().all(|digit| *digit == 0);
    if is_zero && positive || negative && !is_zero {
        return None;
    }
    let decimals = if is_zero { 0 } else { fraction.len() as i64 - exponent_of(exponent) };
    Some(Decimal { digits, decimals })
}

fn exponent_of(text: &str) -> i64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    sign * digits.trim_start_matches('0').parse().unwrap_or(if digits.trim_start_matches('0').is_empty() {
        0
    } else {
        1 << 40
    })
}

/// Minor units of the base currency, half away from zero; `None` over 10^15 (the last check of E1). Digit by digit, as
/// on paper.
pub fn minor_units(decimal: &Decimal, rate: Rate, base_decimals: u32) -> Option<i64> {
    let mut product = times(&decimal.digits, rate.mantissa * 10_i128.pow(base_decimals));
    let mut decimals = decimal.decimals + i64::from(rate.scale);
    while decimals < 0 {
        product.push(0);
        decimals += 1;
        if value(&product) > MINOR_MAX {
            return None;
        }
    }
    while product.len() as i64 <= decimals && product.len() < 200 {
        product.insert(0, 0);
    }
    let whole = (product.len() as i64 - decimals).max(0) as usize;
    let rounds_up = product.get(whole).is_some_and(|digit| *digit >= 5);
    let rounded = value(&product[..whole]) + i128::from(rounds_up && decimals < 200);
    (rounded <= MINOR_MAX).then_some(rounded as i64)
}

/// The digits of a product.
fn times(digits: &[u8], factor: i128) -> Vec<u8> {
    let mut product = Vec::new();
    let mut carry = 0;
    for digit in digits.iter().rev() {
        carry += i128::from(*digit) * factor;
        product.push((carry % 10) as u8);
        carry /= 10;
    }
    while carry > 0 {
        product.push((carry % 10) as u8);
        carry /= 10;
    }
    product.reverse();
    product
}

/// The number that digits make; a large one if there are many.
fn value(digits: &[u8]) -> i128 {
    digits.iter().fold(0, |value, digit| (value * 10 + i128::from(*digit)).min(1 << 100))
}

/// Major units with exactly the currency's decimals, as changes contain money.
pub fn major_text(minor: i64, decimals: u32) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.unsigned_abs();
    if decimals == 0 {
        return format!("{sign}{minor}");
    }
    let unit = 10_u64.pow(decimals);
    format!("{sign}{}.{:0width$}", minor / unit, minor % unit, width = decimals as usize)
}
