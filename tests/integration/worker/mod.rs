//! The real worker on the log in memory: crashes, several topics and live time, torn transactions, alerts and their
//! counts, traces, rebuilds, and golden files of earlier versions.

mod alerts;
mod census;
mod live;
mod rebuild;
mod recovery;
mod repair;
mod traceparent;
mod upgrade;
