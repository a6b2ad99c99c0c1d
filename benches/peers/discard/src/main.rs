//! `discard BROKERS TOPIC PARTITIONS EVENTS`: consumes a topic by librdkafka as Shoal does, discards every record, and
//! prints the seconds and the seconds of processor time that this took.

#[path = "../../../support/cpu.rs"]
mod cpu;
#[path = "../../../support/discard.rs"]
mod discard;

use discard::{Fetching, discard};
use rdkafka::ClientConfig;
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, partitions, events] = &arguments[..] else {
        panic!("expected BROKERS TOPIC PARTITIONS EVENTS, found {arguments:?}")
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|error| panic!("{text:?} is no number: {error}"));
    let fetching = Fetching { batch: 4_096, queue_backoff_ms: 5, queued_messages_min: 100_000, read_committed: true };
    let (begin, before) = (Instant::now(), cpu::nanoseconds());
    discard(config, topic, number(partitions) as i32, number(events), &fetching);
    println!("{} {}", begin.elapsed().as_secs_f64(), (cpu::nanoseconds() - before) / 1e9);
}
