//! Tests of profiles against naive models.

mod bounds;
mod naive;
mod whole;

use crate::engine::event::{Event, EventType, Millis};
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers from a seed that is printed, so that a failing run can be repeated with `SHOAL_SEED`.
pub(super) struct Random(u64);

impl Random {
    pub fn seeded() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64;
        let seed = std::env::var("SHOAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now);
        println!("SHOAL_SEED={seed}");
        Self(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// An event of a type with nothing in it.
pub(super) fn event(event_type: EventType, time: Millis) -> Event<'static> {
    Event {
        event_type,
        time,
        customer_id: "c".into(),
        event_id: None,
        order_id: None,
        amount: None,
        discounted: false,
        cart_total: None,
        cost: None,
        categories: Default::default(),
        channel: None,
        campaign: None,
        attributes: Vec::new(),
    }
}
