//! Money from text (O1, E1 `amount`): exact integers, rounded once to minor units of the base currency.

use super::json::is_number;

/// An amount of more minor units is rejected (E1).
const MINOR_MAX: i128 = 1_000_000_000_000_000;

/// A decimal that passes the first check of E1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decimal {
    Millionths(i128),
    /// Above 10^19: over the bound in any currency with a realistic rate.
    Huge,
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

/// The first check of `amount`: JSON's number grammar, at most 6 decimals, no sign (but -0 is 0), above 0 if
/// `positive`.
pub fn decimal(text: &str, positive: bool) -> Option<Decimal> {
    if !is_number(text) {
        return None;
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = exponent_of(exponent);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() as i64 - exponent > 6 {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return (!positive).then_some(Decimal::Millionths(0));
    }
    if negative {
        return None;
    }
    let zeros = 6 - (fraction.len() as i64 - exponent);
    if digits.len() as i64 + zeros > 25 {
        return Some(Decimal::Huge);
    }
    let millionths = digits.parse::<i128>().expect("at most 25 digits") * 10_i128.pow(zeros as u32);
    Some(Decimal::Millionths(millionths))
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

/// Minor units of the base currency, half away from zero; `None` over 10^15 (the last check of E1).
pub fn minor_units(decimal: Decimal, rate: Rate, base_decimals: u32) -> Option<i64> {
    let Decimal::Millionths(millionths) = decimal else { return None };
    let numerator = millionths.checked_mul(rate.mantissa)?.checked_mul(10_i128.pow(base_decimals))?;
    let denominator = 10_i128.pow(6 + rate.scale);
    let rounded = (2 * numerator + denominator) / (2 * denominator);
    (rounded <= MINOR_MAX).then_some(rounded as i64)
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
