//! `shoal produce --demo`: the demo's shop as a stream for a running service, a day of its year in every ten seconds.
//!
//! Moments are moved and shrunk so that the year begins now. Ids of events and orders are made new for each year played:
//! else the second one would be nothing but duplicates of the first.

use super::shop::Shop;
use crate::engine::calendar::rfc3339_text;
use crate::engine::event::Millis;
use crate::kafka::{EventProducer, KafkaSettings, ProducedEvent};
use anyhow::Context;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many of the shop's milliseconds are one here: 86,400 seconds of a day by ten.
const SHRINK: Millis = 8_640;
/// How often events that have become due are written.
const STEP: Duration = Duration::from_millis(100);
/// What the events of a year share with those of another one, and must not.
const IDS: [&str; 2] = ["event_id", "order_id"];

/// Writes a year of the shop into the topic, each event when it is due; how many were written when the year is over or
/// `stopped` is set.
pub fn produce(settings: &KafkaSettings, topic: &str, seed: u64, stopped: &AtomicBool) -> anyhow::Result<u64> {
    let shop = Shop::open(seed)?;
    let producer = EventProducer::open(settings, topic)?;
    let year = Year { opened_at: now(), begins_at: shop.first_time() };
    let mut place = 0;
    while place < shop.len() && !stopped.load(Ordering::Relaxed) {
        let now = now();
        let due = (place..shop.len()).take_while(|place| year.moved(shop.event(*place).time) <= now);
        for event in due.map(|place| shop.event(place)) {
            let value = year.retold(event.time, event.json)?;
            let key = event.customer_id.as_bytes();
            producer.send(ProducedEvent { key, time: year.moved(event.time), value: &value })?;
            place += 1;
        }
        std::thread::sleep(STEP);
    }
    producer.finish()?;
    Ok(place as u64)
}

/// When a year of the shop is played, in milliseconds since 1970.
struct Year {
    opened_at: Millis,
    /// In the shop's own time.
    begins_at: Millis,
}

impl Year {
    fn moved(&self, time: Millis) -> Millis {
        self.opened_at + (time - self.begins_at) / SHRINK
    }

    /// The event as one of this year.
    fn retold(&self, time: Millis, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut event: Map<String, Value> = serde_json::from_slice(json).context("an event of the demo")?;
        let moment = String::from_utf8_lossy(&rfc3339_text(self.moved(time))).into_owned();
        event.insert("time".into(), moment.into());
        for name in IDS {
            if let Some(Value::String(id)) = event.get_mut(name) {
                *id = format!("{id}-{}", self.opened_at);
            }
        }
        Ok(serde_json::to_vec(&event)?)
    }
}

fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_the_shop_takes_ten_seconds_and_no_id_comes_twice() {
        let year = Year { opened_at: 1_700_000_000_000, begins_at: 0 };
        let event =
            br#"{"event_id":"e-1","order_id":"o-1","customer_id":"c","type":"purchase","time":"x","amount":"1.50"}"#;
        let retold: Value = serde_json::from_slice(&year.retold(24 * 3_600_000, event).unwrap()).unwrap();
        assert_eq!(retold["time"], "2023-11-14T22:13:30.000Z");
        assert_eq!(retold["event_id"], "e-1-1700000000000");
        assert_eq!(retold["order_id"], "o-1-1700000000000");
        assert_eq!((&retold["amount"], &retold["customer_id"]), (&"1.50".into(), &"c".into()));
    }

    #[test]
    fn every_event_of_the_shop_can_be_retold() {
        let shop = Shop::open(1).unwrap();
        let year = Year { opened_at: 1_700_000_000_000, begins_at: shop.first_time() };
        let mut last = year.opened_at;
        for event in (0..shop.len()).map(|place| shop.event(place)) {
            let retold = year.retold(event.time, event.json).unwrap();
            assert_eq!(crate::engine::decode::customer_id(&retold), Some(event.customer_id.into()));
            let time = crate::engine::decode::time_of(&retold).unwrap();
            assert!(time >= last && time == year.moved(event.time), "{}", String::from_utf8_lossy(&retold));
            last = time;
        }
        assert!(last - year.opened_at < 4_000_000, "a year takes {} ms", last - year.opened_at);
    }
}
