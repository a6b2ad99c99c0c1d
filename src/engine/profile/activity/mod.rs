//! What customers do besides ordering, counted by the hour: browsing and engagement (B1, B2), and views per category
//! (B5).

mod categories;
mod counting;
mod hours;

pub use categories::{CategoryHour, count_views, release};
pub use counting::{browse, count, count_own, drop_own, remove_past};
pub use hours::{after, count_after, count_between, is_past};
