//! The value of a segmentation or audience that a customer has, packed into one word of the customer's block.

use crate::engine::event::{DAY, Millis};

/// The value of one segmentation or audience that a customer has, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldValue {
    /// Index of the segment; of an audience 0 (out) or 1 (in); [`HeldValue::NULL`] without a value.
    pub value: u16,
    /// `effective_at` of the change to this value.
    pub since: Millis,
    /// Whether `min_dwell` applies to it: not if the value before was null (R5).
    pub dwells: bool,
    /// The value before it; [`HeldValue::NULL`] if there was none or it is no longer known.
    pub before: u16,
}

impl HeldValue {
    pub const NULL: u16 = u16::MAX;
    pub const NONE: Self = Self::new(Self::NULL, 0, false);

    /// A value of which no earlier one is known.
    pub const fn new(value: u16, since: Millis, dwells: bool) -> Self {
        Self { value, since, dwells, before: Self::NULL }
    }

    /// The value that follows this one.
    pub fn then(self, value: u16, since: Millis, dwells: bool) -> Self {
        Self { value, since, dwells, before: self.value }
    }

    /// Whether a change to `value` at `at` returns to the value before within a day.
    pub fn is_return(self, value: u16, at: Millis) -> bool {
        value == self.before && value != Self::NULL && at - self.since <= DAY
    }

    /// In one word: 8 bits of value, `dwells`, 8 bits of the value before, and 47 bits of the time: the years until
    /// 4199.
    pub(super) fn pack(self) -> u64 {
        let (value, before) = (self.value.min(0xff), self.before.min(0xff));
        (self.since << 17) as u64 | u64::from(before) << 9 | u64::from(self.dwells) << 8 | u64::from(value)
    }

    /// The value in a word; 255 is null.
    pub(super) fn byte_of(word: u64) -> u8 {
        (word & 0xff) as u8
    }

    pub(super) fn unpack(word: u64) -> Self {
        let value = |bits: u64| if bits & 0xff == 0xff { Self::NULL } else { (bits & 0xff) as u16 };
        Self { value: value(word), since: word as i64 >> 17, dwells: word & 0x100 != 0, before: value(word >> 9) }
    }

    /// The word that fingerprints contain. Where the value before is null, it is that of versions without such a value.
    pub(super) fn canonical(self) -> u64 {
        let before = (self.before.min(0xff) as u8).wrapping_add(1);
        ((self.since << 9) as u64 | u64::from(self.dwells) << 8 | u64::from(self.value.min(0xff)))
            ^ u64::from(before) << 56
    }
}
