//! What plays scenarios: `script` reads a file, `play` plays it on shards and `worker` through the real worker, on `memory` or a real
//! `broker`, `outcome` is what was published, `answer` puts that into the words of the file.

mod answer;
mod broker;
mod memory;
mod outcome;
mod play;
mod script;
mod times;
mod worker;

pub use answer::Answer;
pub use broker::OnBroker;
pub use memory::Memory;
pub use play::{Way, play};
pub use script::Scenario;
pub use worker::play_in;
