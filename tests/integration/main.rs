//! Tests that need more than one module: of the worker, the program, the admin address, snapshots, and everything on a
//! real broker.
//!
//! They are one program, so that the support code is compiled and linked once and all tests share one broker. Each test
//! keeps to topics, groups and files of its own, since tests run at the same time.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod kafka;
mod observe;
mod program;
mod scenarios;
mod security;
mod snapshots;
mod worker;
