//! The real worker on the log in memory: crashes, several topics and live time, torn transactions, alerts and their
//! counts, traces, rebuilds, settings of outputs, and golden files of earlier versions.

mod alerts;
mod census;
mod live;
mod outputs;
mod rebuild;
mod recovery;
mod repair;
mod traceparent;
mod upgrade;
