//! The real worker on the log in memory: crashes, several topics and live time, torn transactions, alerts and their
//! counts, traces, rebuilds, and what earlier versions left behind.

mod alerts;
mod census;
mod live;
mod rebuild;
mod recovery;
mod repair;
mod traceparent;
mod upgrade;
