//! Finds a feature by its name in a rule.

use super::table::{FEATURES, RESERVED};
use super::{Feature, Parameters, WINDOW_MAX, WINDOW_MIN};
use crate::engine::event::{DAY, EventType, HOUR, Millis};

/// Event types by the names of their counts.
static COUNTS: &[(&str, EventType)] = &[
    ("views", EventType::VIEW),
    ("searches", EventType::SEARCH),
    ("cart_adds", EventType::CART_ADD),
    ("cart_removes", EventType::CART_REMOVE),
    ("checkouts", EventType::CHECKOUT),
    ("sessions", EventType::SESSION),
    ("opens", EventType::OPEN),
    ("clicks", EventType::CLICK),
    ("exposures", EventType::EXPOSURE),
    ("views_in", EventType::VIEW),
    ("top_viewed_category", EventType::VIEW),
];

/// The meaning of a name without parentheses.
#[derive(Debug)]
pub enum Found {
    Feature(&'static Feature, Option<Millis>),
    /// It needs a window.
    NeedsWindow(&'static Feature),
    /// It has no window.
    TakesNoWindow(&'static Feature),
    /// The window is not from 1 h to 400 d.
    WindowOutOfBounds(&'static Feature),
    /// It needs parentheses.
    Function(&'static Feature),
    /// It is reserved for a later release.
    Reserved,
    Unknown,
}

/// Finds a feature by its name in lower case, including the suffix of the window.
pub fn find(name: &str) -> Found {
    if let Some(feature) = by_name(name) {
        return match feature.parameters {
            Parameters::None | Parameters::OptionalWindow => Found::Feature(feature, None),
            Parameters::Window => Found::NeedsWindow(feature),
            _ => Found::Function(feature),
        };
    }
    let (base, window) = match split_window(name) {
        Some((base, window)) => (base, Some(window)),
        None => (name, None),
    };
    if RESERVED.contains(&base) {
        return Found::Reserved;
    }
    match (by_name(base), window) {
        (Some(feature), Some(window)) => match (feature.parameters, window) {
            (Parameters::Window | Parameters::OptionalWindow, Some(window)) => Found::Feature(feature, Some(window)),
            (Parameters::Window | Parameters::OptionalWindow, None) => Found::WindowOutOfBounds(feature),
            (Parameters::None, _) => Found::TakesNoWindow(feature),
            _ => Found::Function(feature),
        },
        _ => Found::Unknown,
    }
}

/// Finds a feature by its name without window. The row of the attributes has no name of its own.
pub fn by_name(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name && feature.parameters != Parameters::Attribute)
}

/// The row that all declared attributes share.
pub fn attribute() -> &'static Feature {
    FEATURES
        .iter()
        .find(|feature| feature.parameters == Parameters::Attribute)
        .expect("the table has the row of attributes")
}

/// The event type that is counted by a count of this name.
pub fn counted_type(name: &str) -> Option<EventType> {
    COUNTS.iter().find(|(count, _)| *count == name).map(|(_, event_type)| *event_type)
}

/// Splits `orders_30d` into `orders` and the window, which is `None` if it is out of bounds.
fn split_window(name: &str) -> Option<(&str, Option<Millis>)> {
    let (base, suffix) = name.rsplit_once('_')?;
    let unit = match suffix.as_bytes().last()? {
        b'h' => HOUR,
        b'd' => DAY,
        _ => return None,
    };
    let digits = &suffix[..suffix.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let window = digits.parse::<Millis>().ok().and_then(|count| count.checked_mul(unit));
    Some((base, window.filter(|window| (WINDOW_MIN..=WINDOW_MAX).contains(window))))
}
