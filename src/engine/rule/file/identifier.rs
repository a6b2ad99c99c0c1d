//! Identifiers: the names that people choose for attributes, event types, segmentations, audiences, segments and
//! alerts.

use crate::document::MistakeCollector;
use crate::document::table::quoted;

/// Bytes of an identifier at most.
const LENGTH_MAX: usize = 64;

/// An identifier is a lower-case letter followed by lower-case letters, digits and `_`.
pub fn check(identifier: &str, offset: usize, of: &str, mistakes: &mut MistakeCollector<'_>) {
    let is_well_formed = identifier.starts_with(|letter: char| letter.is_ascii_lowercase())
        && identifier.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && identifier.len() <= LENGTH_MAX;
    if !is_well_formed {
        let message = format!(
            "expected the name of {of}, lower-case letters, digits and `_`, at most {LENGTH_MAX}, found {}",
            quoted(identifier)
        );
        mistakes.add(offset, message, None);
    }
}
