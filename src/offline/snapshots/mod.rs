//! `shoal snapshot`: what lies where snapshots are kept, whether it is whole, and as tables for other programs.

pub mod export;
mod features;
pub mod list;
mod tables;
pub mod verify;
