//! How long the inputs must be kept: the one rule, for the start, `shoal check --connect`, `shoal produce` and the
//! pages.
//!
//! After a restart records are read again from the older kept snapshot on. Without snapshots they are read from where
//! the journal begins.

use super::inspect::{Finding, TopicState, Verdict};

/// The rule in words, which the pages repeat.
pub const RETENTION_ADVICE: &str = "keep each input for at least 7 days and longer than Shoal may be stopped \
                                    (retention.ms), without a limit in bytes (retention.bytes = -1); keep it forever \
                                    (retention.ms = -1) while there are no snapshots, and while it holds events that \
                                    are older";

/// The shortest retention without a warning.
const RETENTION_MIN_MS: i64 = 7 * 86_400_000;

/// From where on inputs are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAgain {
    /// From the older kept snapshot.
    FromSnapshots,
    /// From where the journal begins, since there are no snapshots.
    FromTheBeginning,
}

/// A warning of inputs that may not be kept for long enough; none if the settings cannot be read.
pub fn inspect_retention(inputs: &[TopicState], from: ReadAgain) -> Option<Finding> {
    let short: Vec<String> = inputs.iter().flat_map(|topic| short_settings(topic, from)).collect();
    let reason = match from {
        ReadAgain::FromSnapshots => "",
        ReadAgain::FromTheBeginning => " and there are no snapshots ([snapshots] url)",
    };
    let message = format!("{}{reason}: {RETENTION_ADVICE}", short.join(", "));
    (!short.is_empty()).then(|| Finding::new("retention", Verdict::Warning, message))
}

/// The settings of a topic that keep records for too short a time.
fn short_settings(topic: &TopicState, from: ReadAgain) -> Vec<String> {
    let limit = |key: &str| topic.setting(key).parse::<i64>().ok().filter(|limit| *limit >= 0);
    let ms = limit("retention.ms").filter(|ms| from == ReadAgain::FromTheBeginning || *ms < RETENTION_MIN_MS);
    let shown = |key: &str, limit: i64| format!("{} has {key} = {limit}", topic.name());
    let ms = ms.map(|ms| shown("retention.ms", ms));
    let bytes = limit("retention.bytes").map(|bytes| shown("retention.bytes", bytes));
    ms.into_iter().chain(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::raw::admin::Description;

    fn warned(from: ReadAgain, settings: &[(&str, &str)]) -> Option<String> {
        let description = Description {
            name: "orders".into(),
            error: None,
            id: String::new(),
            replicas: vec![3],
            allowed: None,
            members: Vec::new(),
        };
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        inspect_retention(&[TopicState { description, settings }], from).map(|finding| finding.message)
    }

    #[test]
    fn a_week_is_enough_with_snapshots_and_without_them_nothing_is() {
        use ReadAgain::{FromSnapshots, FromTheBeginning};
        let week = ("retention.ms", "604800000");
        assert_eq!(warned(FromSnapshots, &[week, ("retention.bytes", "-1")]), None);
        assert_eq!(warned(FromTheBeginning, &[("retention.ms", "-1"), ("retention.bytes", "-1")]), None);
        assert_eq!(warned(FromSnapshots, &[]), None, "settings that cannot be read");
        let message = warned(FromTheBeginning, &[week]).unwrap();
        assert!(message.starts_with("orders has retention.ms = 604800000 and there are no snapshots"), "{message}");
        let message = warned(FromSnapshots, &[("retention.ms", "604799999"), ("retention.bytes", "1000")]).unwrap();
        let both = "orders has retention.ms = 604799999, orders has retention.bytes = 1000: keep each input for ";
        assert!(message.starts_with(both), "{message}");
    }

    /// Operators find one rule, wherever they look.
    #[test]
    fn the_pages_have_the_same_advice() {
        let words = |text: &str| text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for page in [
            "README.md",
            "docs/operations.md",
            "docs/recovery.md",
            "docs/seeding.md",
            "docs/runbooks/ShoalRetentionMarginSmall.md",
        ] {
            let text = std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            assert!(words(&text).contains(&words(RETENTION_ADVICE)), "{page} has another advice");
        }
    }
}
