//! Whole lives of orders: what rarely meets by chance. An order in another currency of which refunds leave dust (O4),
//! or one that is amended more than once (O9).

use crate::fields::text;
use crate::generate::{Moment, Stream};
use crate::model::value::DAY;

impl Stream {
    pub fn life_of_an_order(&mut self) {
        let customer = self.any_customer();
        let order_id = text(&format!("life-{}", self.moments.len()));
        let currency = self.random.pick(&["USD", "GBP", "gbp"]);
        let cents = self.random.between(100, 20_000);
        let begun = self.soon();
        self.of_an_order((&customer, begun), ("purchase", &order_id), cents, currency);
        let [first, second] = [(); 2].map(|()| begun + self.random.between(0, 3 * DAY));
        if self.random.chance(50) {
            // At most 0.06 of the order are left, seldom nothing, and sometimes a second refund takes some of it.
            let left = self.random.between(0, 6);
            self.of_an_order((&customer, first), ("refund", &order_id), cents - left, currency);
            if self.random.chance(20) && left > 0 {
                self.of_an_order((&customer, second), ("refund", &order_id), 1, currency);
            }
        } else {
            for time in [first, second] {
                let amount = if self.random.chance(20) { 0 } else { self.random.between(0, 20_000) };
                self.of_an_order((&customer, time), ("amend", &order_id), amount, currency);
            }
            if self.random.chance(40) {
                let amount = self.random.between(1, cents);
                self.of_an_order((&customer, second), ("refund", &order_id), amount, currency);
            }
        }
    }

    fn of_an_order(
        &mut self,
        (customer, time): (&str, i64),
        (kind, order_id): (&'static str, &str),
        cents: i64,
        currency: &str,
    ) {
        let mut fields = self.head(customer, time);
        fields.push(("type", text(kind)));
        fields.push(("order_id", order_id.to_owned()));
        fields.push(("amount", format!("{}.{:02}", cents / 100, cents % 100)));
        fields.push(("currency", text(currency)));
        self.happened(Moment { time, customer: customer.to_owned(), kind }, fields);
    }
}
