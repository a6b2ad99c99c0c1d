//! What can be read of a topic at the moment, outside of the group and without waiting for open transactions.

use super::reader::{IdleConsumers, KafkaReader};
use crate::kafka::client::{Logging, REQUEST_WAIT, consumer_config, make};
use crate::kafka::error_class::{classify_request, not_allowed};
use crate::kafka::{Batch, Failure, KafkaBatch, KafkaSettings, Own, Reader};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode::{self, TopicAuthorizationFailed, UnknownTopic, UnknownTopicOrPartition};
use std::sync::Arc;

/// Records read at once.
const RECORDS_MAX: usize = 64;

/// Passes the committed records of the first partition of one of Shoal's own topics to `each`, up to the first open
/// transaction. A topic that does not exist has none.
pub fn read_readable(
    settings: &KafkaSettings,
    own: Own,
    mut each: impl FnMut(&KafkaBatch) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = settings.topics.name(own);
    let mut config = consumer_config(settings);
    config.set("isolation.level", "read_uncommitted");
    let client: Arc<BaseConsumer<Logging>> = make(settings, &config, Logging, "the Kafka client")?;
    let metadata = client.fetch_metadata(Some(name), REQUEST_WAIT);
    let metadata = metadata.map_err(classify_request(format!("the partitions of {name}")))?;
    if let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) {
        match topic.error().map(RDKafkaErrorCode::from) {
            // Such a topic seems to have no partitions.
            Some(TopicAuthorizationFailed) => return Err(Failure::Stop(not_allowed("Read", "topic", name))),
            Some(UnknownTopic | UnknownTopicOrPartition) => return Ok(()),
            _ if topic.partitions().is_empty() => return Ok(()),
            _ => {}
        }
    }
    let mut reader = KafkaReader::open(settings, &IdleConsumers::default(), &client, name, 0, 0)?;
    let (end, mut batch) = (reader.end(), KafkaBatch::default());
    while reader.position() < end {
        reader.read(end, RECORDS_MAX, &mut batch)?;
        if batch.is_empty() && reader.is_held_up()? {
            break;
        }
        each(&batch)?;
        batch.clear();
    }
    Ok(())
}
