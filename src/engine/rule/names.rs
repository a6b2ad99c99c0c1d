//! Names people choose: of attributes, types, segmentations, audiences and segments.

use super::document::quoted;
use super::mistake::Mistakes;
use crate::engine::feature::find::{self, Found};

/// Bytes of a name at most.
const LENGTH_MAX: usize = 64;

/// A name begins with a letter and goes on with letters, digits and `_`, all lower case.
pub fn check(name: &str, place: usize, of: &str, mistakes: &mut Mistakes<'_>) {
    let well_formed = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= LENGTH_MAX;
    if !well_formed {
        let what = format!(
            "expected the name of {of}, lower-case letters, digits and `_`, at most {LENGTH_MAX}, found {}",
            quoted(name)
        );
        mistakes.add(place, what, None);
    }
}

/// Whether rules would read a name as a feature.
pub fn is_feature(name: &str) -> bool {
    !matches!(find::find(name), Found::Unknown)
}
