//! Which kind of file `shoal check FILE` was given: the tables and keys at the top of a file tell it.

use crate::config;
use crate::document::{Mistake, MistakeCollector, Mistakes, Origin, TextPosition, nearest::nearest_name};
use crate::engine::rule;
use crate::offline::convert::mapping;
use anyhow::Context;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Settings,
    Rules,
    Mapping,
}

/// What a key tells if only one kind of files has it; if it is near to such a key; if several kinds have it.
const OWN: usize = 100;
const NEAR: usize = 10;
const SHARED: usize = 1;

const HINT: &str = "say what it is with --rules, --config or --mapping";

/// The kind of a file.
///
/// # Errors
/// [`Mistakes`] if its keys are of no kind, or of several alike; another error if it cannot be read.
pub fn guess(path: &Path) -> anyhow::Result<FileKind> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let text = String::from_utf8_lossy(&bytes);
    guess_text(&text).map_err(|message| {
        let origin = Origin::File(name, TextPosition::START);
        Mistakes(vec![Mistake { origin, message, hint: Some(hint(&text)) }]).into()
    })
}

fn hint(text: &str) -> String {
    match text.trim_start().starts_with(['{', '[']) && text.contains("\":") {
        true => format!("these look like events, which `shoal replay` reads; else {HINT}"),
        false => HINT.into(),
    }
}

/// The kind, or what is wrong.
fn guess_text(text: &str) -> Result<FileKind, String> {
    // A file with mistakes of TOML has keys nevertheless.
    let document = crate::document::parse(text, &mut MistakeCollector::new(text));
    let keys: Vec<String> = document.get_ref().keys().map(|key| key.get_ref().to_string()).collect();
    let kinds = [
        (FileKind::Rules, rule::SECTIONS.iter().map(|section| (*section).to_owned()).collect::<Vec<_>>()),
        (FileKind::Settings, config::sections()),
        (FileKind::Mapping, mapping::sections()),
    ];
    let score = |known: &[String]| -> usize {
        let of = |key: &String| {
            let kinds_with_it = kinds.iter().filter(|(_, known)| known.contains(key)).count();
            match known.contains(key) {
                true if kinds_with_it == 1 => OWN,
                true => SHARED,
                false if kinds_with_it == 0 => nearest_name(key, known.iter().map(String::as_str)).map_or(0, |_| NEAR),
                false => 0,
            }
        };
        keys.iter().map(of).sum()
    };
    let scores = kinds.each_ref().map(|(kind, known)| (score(known), *kind));
    let best = scores.iter().map(|(score, _)| *score).max().unwrap_or(0);
    let winners: Vec<FileKind> = scores.iter().filter(|(score, _)| *score == best).map(|(_, kind)| *kind).collect();
    match winners[..] {
        [kind] if best > 0 => Ok(kind),
        _ if keys.is_empty() => Err("expected rules, settings or a mapping in TOML, found none of their keys".into()),
        _ => {
            let keys: Vec<_> = keys.iter().take(5).map(|key| format!("`{key}`")).collect();
            Err(format!("expected rules, settings or a mapping, found the keys {}, which do not tell", keys.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_files_are_what_they_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (file, kind) in [
            ("config/rules.toml", FileKind::Rules),
            ("config/demo/rules.toml", FileKind::Rules),
            ("deploy/compose/rules.toml", FileKind::Rules),
            ("config/shoal.toml", FileKind::Settings),
            ("deploy/compose/shoal.toml", FileKind::Settings),
            ("config/mappings/online-retail.toml", FileKind::Mapping),
            ("config/mappings/shopify.toml", FileKind::Mapping),
            ("config/mappings/reference.toml", FileKind::Mapping),
        ] {
            assert_eq!(guess(&root.join(file)).unwrap(), kind, "{file}");
        }
    }

    #[test]
    fn few_keys_are_enough() {
        for (text, expected) in [
            ("[audience.a]\nwhen = \"orders > 1\"\n", Some(FileKind::Rules)),
            ("[audiance.a]\nwhen = \"orders > 1\"\n", Some(FileKind::Rules)),
            ("[audience.a]\nwhen = orders > 1\n", Some(FileKind::Rules)),
            ("rules = \"rules.toml\"\n", Some(FileKind::Settings)),
            ("[kafka]\nbrokers = \"b\"\n", Some(FileKind::Settings)),
            ("[kafak]\nbrokers = \"b\"\n", Some(FileKind::Settings)),
            ("[customer]\ncolumn = \"x\"\n[time]\nzone = \"UTC\"\n", Some(FileKind::Mapping)),
            ("[time]\nzone = \"UTC\"\n", None),
            ("", None),
            ("customer_id,amount\n1,2\n", None),
            ("{\"customer_id\":\"a\"}\n", None),
        ] {
            assert_eq!(guess_text(text).ok(), expected, "{text:?}");
        }
        assert!(hint("{\"customer_id\":\"a\"}\n").contains("shoal replay"));
        let message = guess_text("[time]\nzone = \"UTC\"\n").unwrap_err();
        assert_eq!(message, "expected rules, settings or a mapping, found the keys `time`, which do not tell");
    }
}
