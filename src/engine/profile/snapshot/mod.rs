//! Customers on their way out of the state and into it: which ones changed since the last snapshot, their copies, and
//! building a customer from what was stored.

mod builder;
mod changes;
mod image;

pub use builder::CustomerBuilder;
pub use changes::Changes;
pub use image::{CustomerImage, CustomerImages};
