//! Amounts from decimal text to minor units of the base currency: exact, rounded once, half away from zero (O1).
//!
//! An amount is an integer with at most six decimals, and a rate is an integer with decimals of its own. Their product
//! is exact in 256 bits and divided once. No amount is ever a float.

use crate::engine::decode::json::number_length;
use crate::engine::event_settings::Currency;

/// Minor units of an amount at most (E1).
pub const MINOR_UNITS_MAX: u64 = 1_000_000_000_000_000;
/// Digits after the point that an amount may have once its exponent is applied.
const DECIMALS_MAX: i64 = 6;
/// From here on an amount exceeds the bound at any realistic rate: at least 10^32 units.
const DIGITS_END: u128 = 10_u128.pow(38);
/// The largest power of ten in 64 bits.
const POWER_MAX: u32 = 19;

/// A decimal that is not negative, as written: `digits / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The largest value if the digits do not fit.
    digits: u128,
    decimals: u32,
}

impl Amount {
    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// Parses a decimal by the grammar of JSON numbers; the error says what was expected.
    #[inline]
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match Self::parse_short(text.as_bytes()) {
            Some(amount) => Ok(amount),
            None => Self::parse_any(text.as_bytes()),
        }
    }

    /// Parses the common form, such as `39.90`; `None` for all others, which [`Self::parse_any`] parses.
    #[inline]
    fn parse_short(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > 18 || bytes.first() == Some(&b'0') && bytes.get(1) != Some(&b'.') {
            return None;
        }
        let mut digits = 0_u64;
        let mut point = None;
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' => digits = digits * 10 + u64::from(byte - b'0'),
                b'.' if point.is_none() && index > 0 => point = Some(index),
                _ => return None,
            }
        }
        let decimals = point.map_or(0, |point| bytes.len() - 1 - point);
        let well_formed = !bytes.is_empty() && (point.is_none() || (1..=6).contains(&decimals));
        well_formed.then_some(Self { digits: u128::from(digits), decimals: decimals as u32 })
    }

    fn parse_any(bytes: &[u8]) -> Result<Self, &'static str> {
        if number_length(bytes) != Ok(bytes.len()) {
            return Err("a decimal as JSON writes numbers, such as 12.50");
        }
        let exponent_at = bytes.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(bytes.len());
        let (mantissa, exponent) = bytes.split_at(exponent_at);
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let fraction = point.map_or(0, |point| mantissa.len() - 1 - point) as i64;
        let decimals = fraction.saturating_sub(exponent_value(exponent));
        if decimals > DECIMALS_MAX {
            return Err("at most 6 digits after the point");
        }
        let mut digits = 0_u128;
        for byte in mantissa.iter().filter(|byte| byte.is_ascii_digit()) {
            digits = digits.saturating_mul(10).saturating_add(u128::from(byte - b'0'));
        }
        if digits == 0 {
            return Ok(Self { digits, decimals: 0 });
        }
        if bytes[0] == b'-' {
            return Err("a decimal that is not negative");
        }
        if let Ok(decimals) = u32::try_from(decimals) {
            return Ok(Self { digits, decimals });
        }
        let power = u32::try_from(-decimals).ok().and_then(|power| 10_u128.checked_pow(power)).unwrap_or(u128::MAX);
        Ok(Self { digits: digits.saturating_mul(power), decimals: 0 })
    }
}

/// The value of `e±NN`, 0 for an empty text. A value that does not fit gives the end of the range.
fn exponent_value(exponent: &[u8]) -> i64 {
    let negative = exponent.get(1) == Some(&b'-');
    let mut value = 0_i64;
    for byte in exponent.iter().filter(|byte| byte.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    if negative { -value } else { value }
}

/// The value of one unit of a currency: `digits / 10^scale` minor units of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    digits: u128,
    scale: u32,
}

impl Rate {
    fn new(mut digits: u128, mut scale: u32) -> Self {
        while scale > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            scale -= 1;
        }
        Self { digits, scale }
    }

    /// Minor units of the base for an amount; `None` if they exceed [`MINOR_UNITS_MAX`].
    #[inline]
    pub fn minor_units(self, amount: Amount) -> Option<i64> {
        let power = amount.decimals + self.scale;
        let product = amount.digits.checked_mul(self.digits).and_then(|product| u64::try_from(product).ok());
        let units = match product {
            Some(product) if product < u64::MAX / 2 && power < POWER_MAX => {
                let divisor = 10_u64.pow(power);
                (product + divisor / 2) / divisor
            }
            _ if amount.digits >= DIGITS_END => return None,
            _ => divide_rounded(multiply(amount.digits, self.digits), power)?,
        };
        (units <= MINOR_UNITS_MAX).then_some(units as i64)
    }
}

/// The base currency and the table of rates.
pub struct Rates {
    base: String,
    base_rate: Rate,
    others: Vec<(String, Rate)>,
}

impl Rates {
    pub fn new(currency: &Currency) -> Self {
        let minor = 10_u128.pow(currency.decimals);
        let others = currency.rates.iter().map(|(code, rate)| {
            let rate = rate.normalize();
            (code.clone(), Rate::new(rate.mantissa().unsigned_abs() * minor, rate.scale()))
        });
        Self { base: currency.base.clone(), base_rate: Rate::new(minor, 0), others: others.collect() }
    }

    pub fn base(&self) -> Rate {
        self.base_rate
    }

    /// Whether a code that has a rate is that of the base currency.
    pub fn is_base(&self, code: &str) -> bool {
        code.eq_ignore_ascii_case(&self.base)
    }

    /// The rate of a currency by its code; `None` if it is unknown.
    pub fn rate(&self, code: &str) -> Option<Rate> {
        if code == self.base {
            return Some(self.base_rate);
        }
        self.others.iter().find(|(known, _)| known == code).map(|(_, rate)| *rate)
    }

    /// The codes that have a rate, for messages.
    pub fn codes(&self) -> String {
        let others = self.others.iter().map(|(code, _)| code.as_str());
        std::iter::once(self.base.as_str()).chain(others).collect::<Vec<_>>().join(", ")
    }
}

/// The product in 256 bits, lowest part first.
fn multiply(left: u128, right: u128) -> [u64; 4] {
    let halves = |value: u128| [value as u64, (value >> 64) as u64];
    let mut product = [0_u64; 4];
    for (i, left) in halves(left).into_iter().enumerate() {
        let mut carry = 0_u128;
        for (j, right) in halves(right).into_iter().enumerate() {
            carry += u128::from(left) * u128::from(right) + u128::from(product[i + j]);
            product[i + j] = carry as u64;
            carry >>= 64;
        }
        product[i + 2] = carry as u64;
    }
    product
}

/// `value / 10^power`, rounded half up (no value is negative); `None` if it does not fit in 64 bits.
fn divide_rounded(mut value: [u64; 4], power: u32) -> Option<u64> {
    let Some(power_before) = power.checked_sub(1) else { return narrow(value) };
    // Rounding half up depends on the first removed digit only, so all divisions before the last one may truncate.
    let mut left = power_before;
    while left > 0 {
        let step = left.min(POWER_MAX);
        divide(&mut value, 10_u64.pow(step));
        left -= step;
    }
    let tenths = narrow(value)?;
    Some(tenths / 10 + u64::from(tenths % 10 >= 5))
}

fn divide(value: &mut [u64; 4], divisor: u64) {
    let mut remainder = 0_u128;
    for part in value.iter_mut().rev() {
        let dividend = remainder << 64 | u128::from(*part);
        *part = (dividend / u128::from(divisor)) as u64;
        remainder = dividend % u128::from(divisor);
    }
}

fn narrow(value: [u64; 4]) -> Option<u64> {
    (value[1..] == [0; 3]).then_some(value[0])
}

#[cfg(test)]
mod tests;
