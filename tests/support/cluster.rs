//! A cluster of brokers, each also a controller: as many replicas as brokers, of which more than half must be in sync.
//! For tests that stop and kill brokers while the others go on.

use super::Broker;
use super::broker::{BrokerOptions, Node, context};
use super::wait::wait_until;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);
/// Another process may bind a port between the choice and the brokers' start.
const ATTEMPTS_MAX: u32 = 3;

/// The running brokers. Requests of tests go through the first one, which knows the addresses of all.
pub struct Cluster {
    pub brokers: Vec<Broker>,
}

impl Cluster {
    pub fn start(jars: &str, count: usize, options: &BrokerOptions) -> Result<Self, String> {
        let mut failures = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let nodes = Node::all(count)?;
            let brokers = nodes.into_iter().map(|node| Broker::spawn(jars, options, node));
            let brokers = brokers.collect::<Result<Vec<_>, String>>()?;
            match brokers.iter().try_for_each(Broker::wait_until_ready) {
                Ok(()) => return Ok(Self { brokers }),
                Err(failure) => failures.push_str(&failure),
            }
        }
        Err(format!("Kafka did not start in {ATTEMPTS_MAX} attempts:\n{failures}"))
    }

    /// A broker with the addresses of all.
    pub fn any(&self) -> &Broker {
        &self.brokers[0]
    }

    /// Whether every partition has all its replicas in sync.
    pub fn is_in_sync(&self) -> Result<bool, String> {
        let client: BaseConsumer = self.any().client().create().map_err(context("client"))?;
        let metadata = client.fetch_metadata(None, Duration::from_secs(5));
        Ok(metadata.is_ok_and(|metadata| {
            let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            metadata.brokers().len() == self.brokers.len()
                && partitions
                    .all(|partition| partition.leader() >= 0 && partition.isr().len() == partition.replicas().len())
        }))
    }

    /// # Panics
    /// If the replicas are not in sync in time.
    pub fn wait_until_in_sync(&self) {
        wait_until("all replicas are in sync", PATIENCE, || self.is_in_sync() == Ok(true));
    }
}
