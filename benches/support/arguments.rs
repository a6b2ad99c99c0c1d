//! What was typed behind `cargo bench --bench NAME --`. A name that no bench asks for is passed over, as cargo adds its
//! own.

/// Whether it is a real run: `cargo test` leaves this out, and everything is tiny.
pub fn is_full() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The value behind a name.
///
/// # Panics
/// If there is none.
pub fn option(name: &str) -> Option<String> {
    let mut rest = std::env::args().skip_while(|argument| argument != name);
    rest.next()?;
    Some(rest.next().unwrap_or_else(|| panic!("{name}: expected a value")))
}

/// The number behind a name.
///
/// # Panics
/// If it is none.
pub fn number(name: &str) -> Option<u64> {
    option(name).map(|text| parse(name, &text))
}

/// The numbers behind a name, with commas between them.
///
/// # Panics
/// If one is none.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub fn numbers(name: &str) -> Option<Vec<u64>> {
    option(name).map(|list| list.split(',').map(|text| parse(name, text)).collect())
}

/// Which of the parts of a bench are wanted: those behind `--only`, or all.
///
/// # Panics
/// If it is none of them.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub fn only(parts: &[&str]) -> impl Fn(&str) -> bool {
    let only = option("--only");
    if let Some(only) = &only {
        assert!(parts.contains(&only.as_str()), "--only: expected one of {parts:?}, found {only:?}");
    }
    move |part| only.as_ref().is_none_or(|only| only == part)
}

fn parse(name: &str, text: &str) -> u64 {
    text.parse().unwrap_or_else(|error| panic!("{name}: expected a number, found {text:?}: {error}"))
}
