//! What the brokers know of a topic's partitions: their number, leaders and offsets.

use crate::kafka::Failure;
use crate::kafka::client::{Logging, REQUEST_WAIT};
use crate::kafka::error_class::classify_request;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use std::time::Duration;

/// How long the client may take to learn again what it knows of a topic.
const REFRESH_WAIT: Duration = Duration::from_secs(5);

/// Lets a client find the leaders of a topic's partitions. Assigning partitions does not: librdkafka looks for a topic
/// that is new to the client only once a second.
pub fn find_leaders<C: ConsumerContext>(consumer: &BaseConsumer<C>, name: &str) -> Result<(), Failure> {
    let metadata = consumer.fetch_metadata(Some(name), REQUEST_WAIT);
    metadata.map(drop).map_err(classify_request(format!("the leaders of {name}")))
}

/// Oldest offset and end of a partition, as the client's isolation level shows them.
pub fn watermarks(client: &BaseConsumer<Logging>, name: &str, partition: u32) -> Result<(i64, i64), Failure> {
    let watermarks = client.fetch_watermarks(name, partition as i32, REQUEST_WAIT);
    watermarks.map_err(|error| {
        // What the client knows of the topic may be a part of it, from a broker that has just started: the next attempt
        // must not rely on it.
        let _ = client.fetch_metadata(Some(name), REFRESH_WAIT);
        classify_request(format!("the ends of {name}[{partition}]"))(error)
    })
}

/// The current number of partitions of a topic.
pub fn partition_count(client: &BaseConsumer<Logging>, name: &str) -> Result<u32, Failure> {
    let what = format!("the partitions of {name}");
    let metadata = client.fetch_metadata(Some(name), REQUEST_WAIT).map_err(classify_request(what.clone()))?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
    found
        .map(|topic| topic.partitions().len() as u32)
        .ok_or_else(|| Failure::Rebuild(format!("{what}: the broker that was asked does not know the topic")))
}
