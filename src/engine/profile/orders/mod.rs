//! The orders of a customer: what is stored of orders and refunds, and how purchases, refunds, cancellations and
//! amendments change it (O2-O9).

mod apply;
mod forget;
mod order;
mod returns;

pub use apply::{OrderChange, is_remembered, is_return_remembered};
pub use order::{Order, OrderParts, Refund, Totals};
pub use returns::{OrderAction, ReturnId, Waiting};
