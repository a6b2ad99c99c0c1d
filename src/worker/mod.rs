//! What surrounds the engine: encoding its effects and, on a log, the loop of reading, applying and publishing.
//!
//! In the order in which a batch meets them: `work` (the loop), `held` (a shard and its share of the open transaction),
//! `outbox` and `encode` (effects to bytes), `journal` (what was done, to do it again), `publish` (all of it in one
//! transaction); then `snapshots`, `recovery`, `control`, `lifecycle`, `reporting` (what it tells of itself), and `run`, which starts it
//! all.

pub mod alerts;
mod assign;
pub mod board;
mod careful;
mod census;
pub mod control;
pub mod encode;
mod held;
pub mod histogram;
pub mod journal;
mod lifecycle;
mod live_time;
mod membership;
mod merge;
pub mod outbox;
mod progress;
mod publish;
mod rebuild;
mod recovery;
mod reporting;
mod run;
mod settings;
mod snapshots;
mod spans;
mod tail;
pub mod tally;
mod throttle;
mod traceparent;
mod webhook;
mod work;

pub use crate::engine::calendar::rfc3339_text;
pub use board::Board;
pub use held::HeldShard;
pub use lifecycle::Phase;
pub use rebuild::{InputPlan, Rebuild, ShardPlan, rebuild};
pub use run::{job, run, stop_on_signal};
pub use settings::{RunSettings, WorkerSettings};
pub use spans::TracesSettings;
pub use webhook::{AlertSettings, Webhook, WebhookQueue};
pub use work::{Job, Worker};
