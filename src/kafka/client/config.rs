//! The settings that all clients and all consumers share. Those of `[kafka.client]` take precedence over the general
//! ones.

use crate::kafka::KafkaSettings;
use rdkafka::config::ClientConfig;

/// Settings of every client.
pub fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", format!("shoal-{}", settings.instance))
        .set("socket.timeout.ms", "10000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &settings.client {
        config.set(name, value);
    }
    config
}

/// Settings of every consumer.
pub fn consumer_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = config(settings);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", settings.fetch_wait_ms.to_string())
        // The default of 1000 costs a factor of ten.
        .set("fetch.queue.backoff.ms", "5")
        .set("check.crcs", "false");
    config
}
