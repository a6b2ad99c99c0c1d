//! The cart of a customer (B3): which cart events are stored and how, and whether the cart is open.

mod events;
mod update;

pub use events::{CartEvent, pack, total, unpack};
pub use update::{CartChange, OPEN, concerns, refresh};
