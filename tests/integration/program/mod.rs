//! The program as a user runs it, without a broker.

mod check;
mod convert;
mod replay;
mod seed;
mod sql;
