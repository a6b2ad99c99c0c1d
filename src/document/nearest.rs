//! Known names for the hint of a mistake: the one nearest to what was written, or all of them.

/// The known name nearest to what was written, if one is near: at most a third of the letters differ. Two exchanged
/// neighbours count as one difference; case does not count.
pub fn nearest_name<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = written.to_lowercase();
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (distance, name) = distances.min()?;
    let is_near = distance <= (lower.chars().count().max(name.chars().count()) / 3).max(1);
    is_near.then_some(name)
}

/// The hint for a name that was meant.
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The hint with the nearest known name, if one is near.
pub fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest_name(written, known).map(did_you_mean)
}

/// The hint with the nearest known name, or with all of them if none is near.
pub fn nearest_or_all<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    nearest(written, known.iter().copied()).unwrap_or_else(|| match known[..] {
        [] => String::from("no name is known here"),
        _ => format!("known here: `{}`", known.join("`, `")),
    })
}

/// Names for a sentence: `a`, `b` or `c`.
pub fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => String::from("nothing"),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_if_a_third_of_it_differs() {
        let known = ["orders", "recency_days", "at_risk"];
        assert_eq!(nearest("oders", known).as_deref(), Some("did you mean `orders`?"));
        assert_eq!(nearest("Recncey_days", known).as_deref(), Some("did you mean `recency_days`?"));
        assert_eq!(nearest("visits", known), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest_or_all("visits", known), "known here: `orders`, `recency_days`, `at_risk`");
        assert_eq!(nearest_or_all("oders", known), "did you mean `orders`?");
    }
}
