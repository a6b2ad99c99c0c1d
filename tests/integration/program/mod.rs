//! The program as a user runs it, without a broker.

mod check;
mod convert;
mod convert_files;
mod convert_money;
mod convert_shops;
mod help;
mod input;
mod replay;
mod seed;
mod sql;
