//! What customers do besides ordering, counted by the hour: browsing and engagement (B1, B2), and views per category
//! (B5).

mod categories;
mod counting;
mod hours;

pub use categories::{CategoryHour, count_views, release};
pub use counting::{browse, count, count_own, drop_own, may_lose_hours, remove_past};
pub use hours::{EVENTS_TOLD_APART, after, count_between, count_up_to, is_past};
