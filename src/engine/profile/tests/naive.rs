//! The naive model of one customer, by the letter of the semantics: all events are stored, and each read walks over
//! them.

use crate::engine::event::{AttributeValue, DAY, Event, EventType, HOUR, MINUTE, Millis, REMEMBERED};
use crate::engine::event_settings::EventSettings;

#[derive(Clone, Debug)]
pub struct NaiveOrder {
    pub id: Option<String>,
    pub time: Millis,
    pub purchased: i64,
    /// Amendments in order of arrival: time and amount.
    pub amendments: Vec<(Millis, i64)>,
    pub given: i64,
    pub foreign: bool,
    pub cancelled: bool,
    pub returned: bool,
    pub discounted: bool,
    pub categories: Vec<String>,
    pub channel: Option<String>,
}

impl NaiveOrder {
    /// What the order was worth before refunds: the latest amendment, of several at one time the last.
    pub fn amount(&self) -> i64 {
        let latest = self.amendments.iter().max_by_key(|amendment| amendment.0);
        latest.map_or(self.purchased, |amendment| amendment.1)
    }

    pub fn net(&self) -> i64 {
        (self.amount() - self.given).max(0)
    }

    pub fn counts(&self) -> bool {
        let dust = if self.foreign { 5 } else { 0 };
        !self.cancelled && (self.given == 0 || self.net() > dust)
    }
}

/// The ids of a refund, cancellation or amendment: order and event.
type NaiveId = (String, String);

#[derive(Default)]
pub struct Naive {
    pub events: Vec<Event<'static>>,
    /// In order of arrival, including orders that were too old on arrival to be found again.
    pub orders: Vec<NaiveOrder>,
    /// Time, refunded amount, and whether it has no order.
    pub refunds: Vec<(Millis, i64, bool)>,
    /// Refunds, cancellations and amendments that wait.
    waiting: Vec<Event<'static>>,
    ids: Vec<NaiveId>,
    /// Ids that were dropped at the bound.
    pub ids_dropped: u32,
    pub sessions: Vec<Millis>,
}

impl Naive {
    pub fn add(&mut self, event: &Event<'static>, at: Millis, event_settings: &EventSettings) {
        if event_settings.is_browsing(event.event_type) {
            let browsing = self.events.iter().filter(|known| event_settings.is_browsing(known.event_type));
            if browsing.map(|known| known.time).max().is_none_or(|latest| event.time - latest > 30 * MINUTE) {
                self.sessions.push(event.time);
            }
        }
        self.events.push(event.clone());
        self.forget(at);
        match (event.event_type, &event.order_id) {
            (EventType::PURCHASE, _) => self.purchase(event, at),
            (EventType::REFUND, None) => self.refunds.push((event.time, event.amount.unwrap(), true)),
            (EventType::REFUND | EventType::CANCEL | EventType::AMEND, Some(order)) => {
                self.change(event, at);
                self.forget(at);
                if let Some(id) = &event.event_id {
                    self.ids.push((order.to_string(), id.to_string()));
                    self.forget(at);
                    if self.ids.len() > 64 {
                        self.ids.remove(0);
                        self.ids_dropped += 1;
                    }
                }
            }
            _ => {}
        }
    }

    /// Forgets what has waited too long, and ids without an order that is remembered or an event that waits.
    fn forget(&mut self, at: Millis) {
        self.waiting.retain(|known| at - known.time <= REMEMBERED);
        let ids = std::mem::take(&mut self.ids);
        self.ids = ids.into_iter().filter(|id| self.is_held(id, at)).collect();
    }

    fn is_held(&self, (order, id): &NaiveId, at: Millis) -> bool {
        let is_it =
            |known: &Event<'_>| known.event_id.as_deref() == Some(id) && known.order_id.as_deref() == Some(order);
        self.index_of(order, at).is_some()
            || self.waiting.iter().any(|known| is_it(known) && at - known.time <= REMEMBERED)
    }

    pub fn is_duplicate_return(&self, event: &Event<'_>, at: Millis) -> bool {
        let is_return = matches!(event.event_type, EventType::REFUND | EventType::CANCEL | EventType::AMEND);
        let (Some(order), Some(id)) = (&event.order_id, &event.event_id) else { return false };
        let id = (order.to_string(), id.to_string());
        is_return && self.ids.contains(&id) && self.is_held(&id, at)
    }

    pub fn is_duplicate(&self, event: &Event<'_>, at: Millis) -> bool {
        event.order_id.as_deref().is_some_and(|id| self.index_of(id, at).is_some())
    }

    fn index_of(&self, id: &str, at: Millis) -> Option<usize> {
        self.orders.iter().position(|order| order.id.as_deref() == Some(id) && at - order.time <= REMEMBERED)
    }

    fn purchase(&mut self, event: &Event<'_>, at: Millis) {
        let id = event.order_id.as_ref().map(|id| id.to_string());
        self.orders.push(NaiveOrder {
            id: id.clone(),
            time: event.time,
            purchased: event.amount.unwrap(),
            amendments: Vec::new(),
            given: 0,
            foreign: event.foreign,
            cancelled: false,
            returned: false,
            discounted: event.discounted(),
            categories: event.categories.iter().map(String::from).collect(),
            channel: event.channel.as_ref().map(|channel| channel.to_string()),
        });
        let Some(id) = id.filter(|_| at - event.time <= REMEMBERED) else { return };
        let (mine, others): (Vec<_>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|known| known.order_id.as_deref() == Some(id.as_str()));
        self.waiting = others;
        for waiting in mine {
            self.change(&waiting, at);
        }
    }

    /// Applies a refund, cancellation or amendment of an order, or lets it wait.
    fn change(&mut self, event: &Event<'static>, at: Millis) {
        let Some(index) = self.index_of(event.order_id.as_deref().unwrap(), at) else {
            self.waiting.push(event.clone());
            self.waiting.retain(|known| at - known.time <= REMEMBERED);
            if self.waiting.len() > 16 {
                let oldest = self.waiting.iter().map(|known| known.time).min().unwrap();
                let nth = self.waiting.iter().position(|known| known.time == oldest).unwrap();
                self.waiting.remove(nth);
            }
            return;
        };
        let order = &mut self.orders[index];
        order.foreign |= event.foreign;
        match event.event_type {
            EventType::CANCEL => order.cancelled = true,
            EventType::AMEND => order.amendments.push((event.time, event.amount.unwrap())),
            _ if order.cancelled => {}
            _ => {
                let left = order.net();
                let given = event.amount.unwrap_or(left).min(left);
                order.given += given;
                order.returned = true;
                self.refunds.push((event.time, given, false));
            }
        }
    }

    /// Orders by (time, arrival).
    pub fn sorted(&self) -> Vec<&NaiveOrder> {
        let mut orders: Vec<_> = self.orders.iter().collect();
        orders.sort_by_key(|order| order.time);
        orders
    }

    fn times(&self, event_type: EventType) -> Vec<Millis> {
        if event_type == EventType::SESSION {
            return self.sessions.clone();
        }
        self.events.iter().filter(|known| known.event_type == event_type).map(|known| known.time).collect()
    }

    pub fn latest(&self, event_type: EventType) -> Option<Millis> {
        self.times(event_type).into_iter().max()
    }

    /// The hours of some times, latest first, with newest time and number, if the newest time is after `after`.
    fn hours(times: &[Millis], after: Millis) -> Vec<(Millis, u64)> {
        let mut hours = std::collections::BTreeMap::<i64, (Millis, u64)>::new();
        for &time in times {
            let hour = hours.entry(time / HOUR).or_insert((time, 0));
            *hour = (hour.0.max(time), hour.1 + 1);
        }
        hours.into_values().rev().filter(|hour| hour.0 > after).collect()
    }

    pub fn hours_after(&self, event_type: EventType, after: Millis) -> Vec<(Millis, u64)> {
        Self::hours(&self.times(event_type), after)
    }

    pub fn views_in(&self, category: &str, after: Millis) -> Vec<(Millis, u64)> {
        let views = self.events.iter().filter(|known| {
            known.event_type == EventType::VIEW && known.categories.iter().any(|known| known == category)
        });
        Self::hours(&views.map(|known| known.time).collect::<Vec<_>>(), after)
    }

    pub fn attribute(&self, index: u8) -> Option<AttributeValue<'static>> {
        let mut best: Option<(Millis, AttributeValue<'static>)> = None;
        for event in &self.events {
            for (known, value) in &event.attributes {
                if *known == index && best.as_ref().is_none_or(|best| event.time >= best.0) {
                    best = Some((event.time, value.clone()));
                }
            }
        }
        best.map(|best| best.1).filter(|value| *value != AttributeValue::Removed)
    }

    /// Cart events by (time, arrival).
    fn cart(&self) -> Vec<&Event<'static>> {
        let is_cart =
            |event_type| matches!(event_type, EventType::CART_ADD | EventType::CART_REMOVE | EventType::CHECKOUT);
        let mut events: Vec<_> = self.events.iter().filter(|known| is_cart(known.event_type)).collect();
        events.sort_by_key(|event| event.time);
        events
    }

    /// The latest event reached from the nth cart event, if the cart is open from it to `now` (B3).
    fn open_from(&self, cart: &[&Event<'static>], nth: usize, now: Millis) -> Option<Millis> {
        let add = cart[nth];
        let ordered = self.orders.iter().any(|order| order.counts() && order.time >= add.time);
        let emptied = cart[nth..].iter().any(|event| event.cart_total == Some(0));
        let mut reached = add.time;
        for event in &cart[nth..] {
            if event.time - reached >= 30 * DAY {
                break;
            }
            reached = event.time;
        }
        let is_add = add.event_type == EventType::CART_ADD;
        (is_add && !ordered && !emptied && now - reached < 30 * DAY).then_some(reached)
    }

    /// The open cart's latest event, and its value if known.
    pub fn open_cart(&self, now: Millis) -> Option<(Millis, Option<i64>)> {
        let cart = self.cart();
        let latest_add = cart.iter().rposition(|event| event.event_type == EventType::CART_ADD)?;
        let reached = self.open_from(&cart, latest_add, now)?;
        let opening = (0..cart.len()).find(|&nth| self.open_from(&cart, nth, now).is_some())?;
        let value =
            cart[opening..].iter().rev().filter(|event| event.time <= reached).find_map(|event| event.cart_total);
        Some((reached, value))
    }
}
