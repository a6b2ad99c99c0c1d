//! `shoal snapshot`: lists, verifies and exports stored snapshots.
//!
//! These commands only read.

pub mod export;
mod features;
pub mod list;
mod tables;
pub mod verify;
