//! Counts log messages at the levels `error`, which require action, and `warn`, which should be looked at.
//!
//! A layer of the subscriber, so that every message is counted whatever logs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The numbers of messages; a layer of the tracing subscriber.
#[derive(Clone, Debug, Default)]
pub struct LogCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    errors: AtomicU64,
    warnings: AtomicU64,
}

impl LogCounts {
    pub fn errors(&self) -> u64 {
        self.0.errors.load(Ordering::Relaxed)
    }

    pub fn warnings(&self) -> u64 {
        self.0.warnings.load(Ordering::Relaxed)
    }
}

impl<S: Subscriber> Layer<S> for LogCounts {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level == Level::ERROR {
            self.0.errors.fetch_add(1, Ordering::Relaxed);
        } else if level == Level::WARN {
            self.0.warnings.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn errors_and_warnings_are_counted_separately() {
        let counts = LogCounts::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(counts.clone()), || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::warn!("three");
            tracing::info!("four");
        });
        assert_eq!((counts.errors(), counts.warnings()), (1, 2));
    }
}
