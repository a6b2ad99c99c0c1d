//! `shoal produce --demo`: writes the events of the demo's shop for a running service, one day of its year in ten
//! seconds.
//!
//! Times are moved and compressed so that the year starts now. Event and order ids are different each time the year is
//! played: otherwise the second year would consist of duplicates of the first.

use super::shop::Shop;
use crate::engine::calendar::rfc3339_text;
use crate::engine::event::Millis;
use crate::kafka::{EventProducer, KafkaSettings, ProducedEvent};
use anyhow::Context;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds of the shop per real millisecond: 86,400 seconds in ten.
const COMPRESSION: Millis = 8_640;
/// How often due events are written.
const STEP: Duration = Duration::from_millis(100);
/// The fields that must differ from year to year.
const IDS: [&str; 2] = ["event_id", "order_id"];

/// Writes the year of the shop to the topic, each event when it is due, until the year is over or `stopped` is set.
/// Returns the number of events.
pub fn produce(settings: &KafkaSettings, topic: &str, seed: u64, stopped: &AtomicBool) -> anyhow::Result<u64> {
    let shop = Shop::open(seed)?;
    let producer = EventProducer::open(settings, topic)?;
    let year = Year { started_at: now(), shop_start: shop.first_time() };
    let mut next = 0;
    while next < shop.len() && !stopped.load(Ordering::Relaxed) {
        let now = now();
        let due = (next..shop.len()).take_while(|index| year.moved(shop.event(*index).time) <= now);
        for event in due.map(|index| shop.event(index)) {
            let value = year.translated(event.time, event.json)?;
            let key = event.customer_id.as_bytes();
            producer.send(ProducedEvent { key, time: year.moved(event.time), value: &value })?;
            next += 1;
        }
        std::thread::sleep(STEP);
    }
    producer.finish()?;
    Ok(next as u64)
}

/// When the year of the shop is played, in milliseconds since 1970.
struct Year {
    started_at: Millis,
    /// The start of the year in the shop's time.
    shop_start: Millis,
}

impl Year {
    fn moved(&self, time: Millis) -> Millis {
        self.started_at + (time - self.shop_start) / COMPRESSION
    }

    /// The event with its time and ids in this year.
    fn translated(&self, time: Millis, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut event: Map<String, Value> = serde_json::from_slice(json).context("an event of the demo")?;
        let moment = String::from_utf8_lossy(&rfc3339_text(self.moved(time))).into_owned();
        event.insert("time".into(), moment.into());
        for name in IDS {
            if let Some(Value::String(id)) = event.get_mut(name) {
                *id = format!("{id}-{}", self.started_at);
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
    fn a_day_of_the_shop_takes_ten_seconds_and_ids_are_new() {
        let year = Year { started_at: 1_700_000_000_000, shop_start: 0 };
        let event =
            br#"{"event_id":"e-1","order_id":"o-1","customer_id":"c","type":"purchase","time":"x","amount":"1.50"}"#;
        let translated: Value = serde_json::from_slice(&year.translated(24 * 3_600_000, event).unwrap()).unwrap();
        assert_eq!(translated["time"], "2023-11-14T22:13:30.000Z");
        assert_eq!(translated["event_id"], "e-1-1700000000000");
        assert_eq!(translated["order_id"], "o-1-1700000000000");
        assert_eq!((&translated["amount"], &translated["customer_id"]), (&"1.50".into(), &"c".into()));
    }

    #[test]
    fn every_event_of_the_shop_can_be_translated() {
        let shop = Shop::open(1).unwrap();
        let year = Year { started_at: 1_700_000_000_000, shop_start: shop.first_time() };
        let mut last = year.started_at;
        for event in (0..shop.len()).map(|index| shop.event(index)) {
            let translated = year.translated(event.time, event.json).unwrap();
            assert_eq!(crate::engine::decode::customer_id(&translated), Some(event.customer_id.into()));
            let time = crate::engine::decode::time_of(&translated).unwrap();
            assert!(time >= last && time == year.moved(event.time), "{}", String::from_utf8_lossy(&translated));
            last = time;
        }
        assert!(last - year.started_at < 4_000_000, "a year takes {} ms", last - year.started_at);
    }
}
