//! Amounts from decimal text to minor units of the base currency: exact, rounded once, half away from zero (O1).
//!
//! An amount is an integer with any number of decimals, and a rate is an integer with decimals of its own. Their
//! product is exact and divided once. The common amount fits one register; all others are of four. No amount is ever a
//! float.

use crate::engine::decode::json::number_length;
use crate::engine::event_settings::Currency;

/// Minor units of an amount at most (E1).
pub const MINOR_UNITS_MAX: u64 = 1_000_000_000_000_000;
/// Characters of an amount at most (E1).
pub const AMOUNT_CHARACTERS_MAX: usize = 64;
/// Digits of an amount at most, once its exponent is applied. A larger amount is over the bound at every rate: the
/// smallest rate is 10^-28 units.
const DIGITS_MAX: i64 = 64;
/// With more decimals than this, every amount of that many digits is rounded to 0 at every rate.
const DECIMALS_MAX: i64 = 150;
/// The largest power of ten in 64 bits.
const POWER_MAX: u32 = 19;

/// A decimal that is not negative, as written: `digits / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// At most 18 digits; zero always has this form.
    Short { digits: u64, decimals: u32 },
    /// At most 64 digits, the lowest part first.
    Long { digits: [u64; 4], decimals: u32 },
    /// Above 10^64 units.
    Huge,
}

impl Amount {
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Short { digits: 0, .. })
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
        let well_formed = !bytes.is_empty() && (point.is_none() || decimals > 0);
        well_formed.then_some(Self::Short { digits, decimals: decimals as u32 })
    }

    fn parse_any(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > AMOUNT_CHARACTERS_MAX {
            return Err("a decimal of at most 64 characters");
        }
        if number_length(bytes) != Ok(bytes.len()) {
            return Err("a decimal as JSON writes numbers, such as 12.50");
        }
        let exponent_at = bytes.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(bytes.len());
        let (mantissa, exponent) = bytes.split_at(exponent_at);
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let fraction = point.map_or(0, |point| mantissa.len() - 1 - point) as i64;
        let mut decimals = fraction - exponent_value(exponent);
        let written = mantissa.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u64::from(byte - b'0'));
        let mut length = 0;
        let mut digits = [0_u64; 4];
        for digit in written.skip_while(|digit| *digit == 0) {
            multiply_add(&mut digits, 10, digit);
            length += 1;
        }
        if length == 0 {
            return Ok(Self::Short { digits: 0, decimals: 0 });
        }
        if bytes[0] == b'-' {
            return Err("a decimal that is not negative");
        }
        if length - decimals > DIGITS_MAX {
            return Ok(Self::Huge);
        }
        while decimals < 0 {
            multiply_add(&mut digits, 10, 0);
            decimals += 1;
        }
        Ok(Self::Long { digits, decimals: decimals.min(DECIMALS_MAX) as u32 })
    }
}

/// The value of `e±NN`, 0 for an empty text. A value that does not fit gives a large one of its sign.
fn exponent_value(exponent: &[u8]) -> i64 {
    const LARGE: i64 = 1_000_000;
    let negative = exponent.get(1) == Some(&b'-');
    let mut value = 0_i64;
    for byte in exponent.iter().filter(|byte| byte.is_ascii_digit()) {
        value = (value * 10 + i64::from(byte - b'0')).min(LARGE);
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
        let units = match amount {
            Amount::Short { digits, decimals } => match self.short_units(digits, decimals) {
                Some(units) => units,
                None => self.long_units([digits, 0, 0, 0], decimals)?,
            },
            Amount::Long { digits, decimals } => self.long_units(digits, decimals)?,
            Amount::Huge => return None,
        };
        (units <= MINOR_UNITS_MAX).then_some(units as i64)
    }

    /// `None` if 64 bits do not hold the product.
    #[inline]
    fn short_units(self, digits: u64, decimals: u32) -> Option<u64> {
        let product = u64::try_from(self.digits).ok().and_then(|rate| digits.checked_mul(rate))?;
        let power = decimals + self.scale;
        if product >= u64::MAX / 2 || power >= POWER_MAX {
            return None;
        }
        let divisor = 10_u64.pow(power);
        Some((product + divisor / 2) / divisor)
    }

    /// `None` if 64 bits do not hold the result.
    #[cold]
    fn long_units(self, digits: [u64; 4], decimals: u32) -> Option<u64> {
        divide_rounded(multiply(digits, self.digits), decimals + self.scale)
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

    /// The rate of a currency by its code, in any case; `None` if it is unknown.
    pub fn rate(&self, code: &str) -> Option<Rate> {
        if code == self.base {
            return Some(self.base_rate);
        }
        if let Some((_, rate)) = self.others.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)) {
            return Some(*rate);
        }
        code.eq_ignore_ascii_case(&self.base).then_some(self.base_rate)
    }

    /// The codes that have a rate, for messages.
    pub fn codes(&self) -> String {
        let others = self.others.iter().map(|(code, _)| code.as_str());
        std::iter::once(self.base.as_str()).chain(others).collect::<Vec<_>>().join(", ")
    }
}

/// `value * factor + addend`, which must fit.
fn multiply_add(value: &mut [u64; 4], factor: u64, addend: u64) {
    let mut carry = u128::from(addend);
    for part in value.iter_mut() {
        carry += u128::from(*part) * u128::from(factor);
        *part = carry as u64;
        carry >>= 64;
    }
    debug_assert_eq!(carry, 0);
}

/// The product, lowest part first.
fn multiply(left: [u64; 4], right: u128) -> [u64; 6] {
    let mut product = [0_u64; 6];
    for (i, left) in left.into_iter().enumerate() {
        let mut carry = 0_u128;
        for (j, right) in [right as u64, (right >> 64) as u64].into_iter().enumerate() {
            carry += u128::from(left) * u128::from(right) + u128::from(product[i + j]);
            product[i + j] = carry as u64;
            carry >>= 64;
        }
        product[i + 2] = carry as u64;
    }
    product
}

/// `value / 10^power`, rounded half up (no value is negative); `None` if it does not fit in 64 bits.
fn divide_rounded(mut value: [u64; 6], power: u32) -> Option<u64> {
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

fn divide(value: &mut [u64; 6], divisor: u64) {
    let mut remainder = 0_u128;
    for part in value.iter_mut().rev() {
        let dividend = remainder << 64 | u128::from(*part);
        *part = (dividend / u128::from(divisor)) as u64;
        remainder = dividend % u128::from(divisor);
    }
}

fn narrow(value: [u64; 6]) -> Option<u64> {
    (value[1..] == [0; 5]).then_some(value[0])
}

#[cfg(test)]
mod tests;
