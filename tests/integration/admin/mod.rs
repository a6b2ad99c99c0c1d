//! The admin address with statuses made by hand: who gets what, what is refused, and what its answers say.

mod access;
mod client;
mod command;
mod health;
mod limits;
mod tls;
