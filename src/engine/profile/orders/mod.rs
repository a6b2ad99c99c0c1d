//! The orders of a customer: what is stored of orders and refunds, and how purchases, refunds and cancellations change
//! it (O2-O8).

mod apply;
mod order;

pub use apply::{OrderChange, is_remembered};
pub use order::{Order, OrderParts, Refund, Totals, Waiting};
