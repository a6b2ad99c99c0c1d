//! The rules of this repository, as tests: what the engine must not use, which way imports run, where unsafe code is
//! allowed, and what no file may contain. Each failure says what to do instead. CONTRIBUTING.md lists the rules.

mod circles;
mod code;
mod imports;
mod paths;
mod purity;
mod sources;
mod texts;
