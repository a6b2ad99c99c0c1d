//! LIKE patterns (R1): `%` matches any text, `_` one Unicode character, any other character itself.
//!
//! Patterns are case-sensitive and have no escape character.

/// A pattern, matched without allocation.
#[derive(Clone, Debug)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// On a mismatch the latest `%` matches one more character. At most length times length steps.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut text) = (&*self.0, text);
        // Where to go back to: the pattern after the latest `%`, and the text from where that `%` ends so far.
        let mut retry: Option<(&str, &str)> = None;
        loop {
            if let Some(rest) = pattern.strip_prefix('%') {
                pattern = rest;
                retry = Some((rest, text));
                continue;
            }
            match (pattern.chars().next(), text.chars().next()) {
                (None, None) => return true,
                (Some(expected), Some(found)) if expected == '_' || expected == found => {
                    pattern = &pattern[expected.len_utf8()..];
                    text = &text[found.len_utf8()..];
                }
                _ => {
                    let Some((after, taken)) = retry else { return false };
                    let Some(one_more) = taken.chars().next() else { return false };
                    text = &taken[one_more.len_utf8()..];
                    pattern = after;
                    retry = Some((after, text));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: every way to take characters for `%`.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((expected, rest)) => text
                .split_first()
                .is_some_and(|(found, text)| (*expected == '_' || expected == found) && naive(rest, text)),
        }
    }

    #[test]
    fn matches_as_sql_says() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("sho_s", "shoes", true),
            ("sho_s", "shöes", false),
            ("sh_es", "shöes", true),
            ("_", "💡", true),
            ("_", "", false),
            ("%es", "shoes", true),
            ("%e%e%", "shoes", false),
            ("Shoes", "shoes", false),
            ("50\\%", "50\\%", true),
            ("50\\%", "50%", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{text:?} LIKE {pattern:?}");
        }
    }

    #[test]
    fn agrees_with_trying_every_way() {
        let letters = ['a', 'b', 'ö', '%', '_'];
        let mut checked = 0;
        for code in 0..5_usize.pow(5) {
            let pattern: Vec<_> = (0..5).map(|power| letters[code / 5_usize.pow(power) % 5]).collect();
            for text in ["", "a", "ab", "aab", "bab", "öa", "ababa", "aöbaab"] {
                let characters: Vec<_> = text.chars().collect();
                let expected = naive(&pattern, &characters);
                let pattern: String = pattern.iter().collect();
                assert_eq!(Pattern::new(&pattern).matches(text), expected, "{text:?} LIKE {pattern:?}");
                checked += 1;
            }
        }
        assert_eq!(checked, 25_000);
    }
}
