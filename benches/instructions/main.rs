//! Counts instructions, in a program of its own that is quick to build.
//!
//! The sources of the engine, of the worker and of what they need are compiled once more as modules of this program, so
//! that they alone are optimised, and of them only what runs: the libraries stay as the tests have them. `run` builds
//! and starts it.

extern crate self as shoal;

#[path = "../../src/document/mod.rs"]
pub mod document;
#[path = "../../src/engine/mod.rs"]
pub mod engine;
#[path = "../../src/fault_injection.rs"]
pub mod fault_injection;
#[path = "../../src/kafka/mod.rs"]
pub mod kafka;
#[path = "../../src/random.rs"]
pub mod random;
#[path = "../../src/repeats.rs"]
mod repeats;
#[path = "../../src/store/mod.rs"]
pub mod store;
#[path = "../../src/worker/mod.rs"]
pub mod worker;

#[path = "../support/arguments.rs"]
mod arguments;
#[path = "../support/cpu.rs"]
mod cpu;
#[path = "../support/crowd.rs"]
mod crowd;
#[path = "../support/stream.rs"]
mod stream;
#[path = "../support/valgrind.rs"]
mod valgrind;

mod count;

fn main() -> std::process::ExitCode {
    count::run("quick")
}
