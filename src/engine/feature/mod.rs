//! Features: what rules can say about a customer.
//!
//! Each is declared in one place, the table: its name and parameters, type and unit, meaning in words, which events affect
//! it, how it reads, when it next steps by the passing of time, and how it moves between steps. Everything else follows
//! from that: checking, deadlines, `because`, the documentation and `shoal check --features`.

use super::event::Millis;

/// The value of a feature, or of the left side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    /// Minor units, and how many decimals the currency has.
    Money(i64, u32),
    Double(f64),
    Text(&'a str),
    Boolean(bool),
    Time(Millis),
}
