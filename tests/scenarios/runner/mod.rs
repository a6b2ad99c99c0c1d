//! What plays scenarios: `script` reads a file, `play` plays it, `outcome` is what was published, `answer` puts that into
//! the words of the file.

mod answer;
mod outcome;
mod play;
mod script;
mod times;

pub use answer::Answer;
pub use play::{Way, play};
pub use script::Scenario;
