//! Snapshots of shards with random events: round trips, damage to every block, stores that fail, what is kept, other
//! programs that read the files, and a real S3 server.

mod bucket;
mod damage;
mod faults;
mod golden;
mod kept;
mod python;
mod round_trip;
mod values;
mod world;
