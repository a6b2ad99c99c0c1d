//! The admin address with worker statuses made by hand: access, refusals, and the contents of its answers.

mod access;
mod client;
mod command;
mod health;
mod limits;
mod tls;
