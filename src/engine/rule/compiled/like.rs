//! LIKE patterns (R1): `%` matches any text, `_` one Unicode character, any other character itself.
//!
//! Patterns are case-sensitive. There is no escape character unless ESCAPE names one; the character that follows it
//! matches itself.

/// A pattern, matched without allocation.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    escape: Option<char>,
}

/// What the beginning of a pattern matches.
enum Part {
    Any,
    One,
    This(char),
}

impl Pattern {
    /// `None` if the pattern ends with the escape character, which then escapes nothing.
    pub fn new(text: &str, escape: Option<char>) -> Option<Self> {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if Some(letter) == escape {
                letters.next()?;
            }
        }
        Some(Self { text: text.into(), escape })
    }

    /// The first part of a pattern, and the pattern after it.
    fn split<'p>(&self, pattern: &'p str) -> Option<(Part, &'p str)> {
        let mut letters = pattern.chars();
        let part = match letters.next()? {
            letter if Some(letter) == self.escape => Part::This(letters.next()?),
            '%' => Part::Any,
            '_' => Part::One,
            letter => Part::This(letter),
        };
        Some((part, letters.as_str()))
    }

    /// On a mismatch the latest `%` matches one more character. At most length times length steps.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut text) = (&*self.text, text);
        // Where to go back to: the pattern after the latest `%`, and the text from where that `%` ends so far.
        let mut retry: Option<(&str, &str)> = None;
        loop {
            let (part, after) = self.split(pattern).unzip();
            let mut letters = text.chars();
            let matches = match (part, letters.next()) {
                (Some(Part::Any), _) => {
                    pattern = after.unwrap_or_default();
                    retry = Some((pattern, text));
                    continue;
                }
                (None, None) => return true,
                (Some(Part::One), Some(_)) => true,
                (Some(Part::This(expected)), Some(found)) => expected == found,
                _ => false,
            };
            if matches {
                (pattern, text) = (after.unwrap_or_default(), letters.as_str());
                continue;
            }
            let Some((again, taken)) = retry else { return false };
            let mut letters = taken.chars();
            if letters.next().is_none() {
                return false;
            }
            (pattern, text) = (again, letters.as_str());
            retry = Some((again, text));
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

    fn matches(pattern: &str, escape: Option<char>, text: &str) -> bool {
        Pattern::new(pattern, escape).expect(pattern).matches(text)
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
            assert_eq!(matches(pattern, None, text), expected, "{text:?} LIKE {pattern:?}");
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
                assert_eq!(matches(&pattern, None, text), expected, "{text:?} LIKE {pattern:?}");
                checked += 1;
            }
        }
        assert_eq!(checked, 25_000);
    }
    #[test]
    fn the_character_after_an_escape_is_itself() {
        for (pattern, escape, text, expected) in [
            ("50!%", '!', "50%", true),
            ("50!%", '!', "50!", false),
            ("50!%", '!', "505", false),
            ("50!%%", '!', "50% off", true),
            ("a!_b", '!', "a_b", true),
            ("a!_b", '!', "axb", false),
            ("a!!b", '!', "a!b", true),
            ("a!bc", '!', "abc", true),
            ("%!%!%", '!', "100%%", true),
            ("%!%!%", '!', "100%", false),
            ("a%%b", '%', "a%b", true),
            ("a%%b", '%', "axb", false),
            ("__", '_', "_", true),
            ("ö_öö", 'ö', "_ö", true),
            ("_öö", 'ö', "xö", true),
        ] {
            assert_eq!(matches(pattern, Some(escape), text), expected, "{text:?} LIKE {pattern:?} ESCAPE {escape:?}");
        }
        for (pattern, is_one) in [("50!", false), ("50!!", true), ("!", false), ("!!!", false), ("", true)] {
            assert_eq!(Pattern::new(pattern, Some('!')).is_some(), is_one, "{pattern:?}");
        }
    }
}
