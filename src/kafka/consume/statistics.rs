//! The part of librdkafka's statistics events that is read; its STATISTICS.md describes them.

use crate::kafka::ClientReport;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

#[derive(Deserialize)]
pub struct Statistics {
    /// Microseconds of librdkafka's monotonic clock.
    pub ts: i64,
    #[serde(default)]
    pub brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    pub topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
pub struct BrokerStatistics {
    pub nodeid: i32,
    state: String,
    /// Responses received.
    pub rx: u64,
    pub connects: u64,
    #[serde(default)]
    pub req: RequestStatistics,
    #[serde(default)]
    rtt: WindowStatistics,
    #[serde(default)]
    throttle: WindowStatistics,
    #[serde(default)]
    req_timeouts: u64,
    #[serde(default)]
    txerrs: u64,
    #[serde(default)]
    rxerrs: u64,
}

/// Since the previous event; round trips in microseconds, throttling in milliseconds.
#[derive(Deserialize, Default)]
struct WindowStatistics {
    #[serde(default)]
    p50: i64,
    #[serde(default)]
    p99: i64,
    #[serde(default)]
    max: i64,
    #[serde(default)]
    cnt: i64,
}

#[derive(Deserialize, Default)]
pub struct RequestStatistics {
    #[serde(rename = "Fetch", default)]
    pub fetch: u64,
}

#[derive(Deserialize)]
pub struct TopicStatistics {
    #[serde(default)]
    pub partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
pub struct PartitionStatistics {
    pub broker: i32,
    #[serde(default)]
    pub leader: i32,
    pub fetch_state: String,
}

impl BrokerStatistics {
    pub fn is_up(&self) -> bool {
        self.state == "UP"
    }
}

/// The counts of one broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerCounts {
    pub is_up: bool,
    pub connects: u64,
    pub fetches: u64,
    pub received: u64,
}

impl Statistics {
    /// The counts of each broker of the cluster. After restarts the client may have several entries of one broker, of
    /// which those that are not connected any more say nothing.
    pub fn by_number(&self) -> BTreeMap<i32, BrokerCounts> {
        let mut all: BTreeMap<i32, BrokerCounts> = BTreeMap::new();
        for broker in self.known_brokers() {
            let counts = all.entry(broker.nodeid).or_default();
            if broker.is_up() {
                counts.is_up = true;
                counts.connects += broker.connects;
                counts.fetches += broker.req.fetch;
                counts.received += broker.rx;
            }
        }
        all
    }

    /// Brokers of the cluster. Addresses to bootstrap from are brokers of their own, with a negative number.
    pub fn known_brokers(&self) -> impl Iterator<Item = &BrokerStatistics> {
        self.brokers.values().filter(|broker| broker.nodeid >= 0)
    }

    /// What the event says of the client. The client counts from its own start.
    pub fn report(&self) -> ClientReport {
        let measured = self.known_brokers().filter(|broker| broker.rtt.cnt > 0);
        let slowest = measured.max_by_key(|broker| broker.rtt.p99);
        ClientReport {
            brokers_up: self.known_brokers().filter(|broker| broker.is_up()).count() as u64,
            round_trip: slowest.map(|broker| [broker.rtt.p50, broker.rtt.p99].map(|us| us as f64 / 1e6)),
            request_timeouts: self.brokers.values().map(|broker| broker.req_timeouts).sum(),
            request_errors: self.brokers.values().map(|broker| broker.txerrs + broker.rxerrs).sum(),
            reconnects: self.known_brokers().map(|broker| broker.connects.saturating_sub(1)).sum(),
            throttle: self.known_brokers().map(|broker| broker.throttle.max).max().unwrap_or(0) as f64 / 1e3,
            ..ClientReport::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_entries_of_a_broker_those_count_that_are_connected() {
        let broker = |name: &str, id: i32, state: &str, rx: u64| {
            format!(r#""{name}":{{"nodeid":{id},"state":"{state}","rx":{rx},"connects":1,"req":{{"Fetch":{rx}}}}}"#)
        };
        let brokers = [
            broker("a/1", 1, "DOWN", 90),
            broker("a:2/1", 1, "UP", 5),
            broker("b/2", 2, "CONNECT", 7),
            broker("a/bootstrap", -1, "UP", 3),
        ];
        let text = format!(r#"{{"ts":1,"brokers":{{{}}}}}"#, brokers.join(","));
        let counts = serde_json::from_str::<Statistics>(&text).unwrap().by_number();
        let up = BrokerCounts { is_up: true, connects: 1, fetches: 5, received: 5 };
        assert_eq!(counts, BTreeMap::from([(1, up), (2, BrokerCounts::default())]));
    }
}
