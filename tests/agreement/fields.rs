//! The fields of valid events: every type, every notation of a time or an amount.

use crate::generate::{Moment, Purchase, Stream};
use crate::model::moment;
use crate::model::value::{DAY, MINUTE};
use crate::rules_text::{CATEGORIES, CHANNELS, COUNTRIES, DECLARED, PLANS, TAGS};

impl Stream {
    pub fn head(&mut self, customer: &str, time: i64) -> Vec<(&'static str, String)> {
        let mut fields = vec![("time", self.time(time))];
        if self.is_from_files() || self.random.chance(50) {
            fields.push(("customer_id", text(customer)));
        }
        fields
    }

    fn time(&mut self, time: i64) -> String {
        if self.random.chance(50) {
            return time.to_string();
        }
        let minutes = self.random.pick(&[0, 0, 60, -330]);
        let local = moment::text(time + minutes * MINUTE);
        let zone = match minutes {
            0 => self.random.pick(&["Z", "+00:00", "-00:00"]).to_string(),
            _ => format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60),
        };
        let cut = self.random.pick(&["", "9", "000001"]);
        text(&format!("{}{cut}{zone}", local.trim_end_matches('Z')))
    }

    /// A type of event; the common ones are drawn more often.
    pub fn kind(&mut self) -> &'static str {
        match self.random.below(100) {
            0..=23 => "purchase",
            24..=31 => "refund",
            32..=34 => "cancel",
            35..=38 => "amend",
            39..=46 => "view",
            47..=50 => "search",
            51..=58 => "cart_add",
            59..=62 => "cart_remove",
            63..=66 => "checkout",
            67..=69 => "open",
            70..=73 => "click",
            74..=77 => "exposure",
            78..=83 => "profile",
            84 => "erase",
            85 => "opt_out",
            86..=88 => "opt_in",
            _ => self.random.pick(&DECLARED),
        }
    }

    /// A type that affects the same features: orders, the cart, browsing.
    pub fn similar(&mut self, kind: &'static str) -> &'static str {
        match kind {
            "purchase" | "refund" | "cancel" | "amend" => self.random.pick(&["purchase", "refund", "cancel", "amend"]),
            "cart_add" | "cart_remove" => self.random.pick(&["cart_add", "cart_remove", "checkout", "purchase"]),
            "view" | "search" | "checkout" | "app_screen" => {
                self.random.pick(&["view", "search", "app_screen", "cart_add"])
            }
            other => other,
        }
    }

    pub fn fields(&mut self, customer: &str, time: i64, kind: &str) -> Vec<(&'static str, String)> {
        let mut fields = self.head(customer, time);
        fields.push(("type", text(kind)));
        let is_nearly_whole =
            kind == "refund" && self.random.chance(70) && self.nearly_whole_refund(&mut fields, customer);
        if is_nearly_whole {
            // It has all its fields.
        } else if ["refund", "cancel", "amend"].contains(&kind) && self.random.chance(70) {
            let (order_id, event_id) = self.return_ids(customer);
            fields.push(("order_id", self.notation(&order_id)));
            fields.push(("event_id", self.notation(&event_id)));
        } else if let Some(id) = self.event_id() {
            fields.push(("event_id", self.notation(&id)));
        }
        if self.random.chance(25) {
            let channel = text(self.random.pick(&CHANNELS));
            fields.push(("channel", self.or_unfit(channel)));
        }
        match kind {
            "purchase" => self.purchase(&mut fields, customer),
            "refund" if is_nearly_whole => {}
            "refund" => self.refund(&mut fields),
            "cancel" => self.order_id_once(&mut fields),
            "amend" => {
                self.order_id_once(&mut fields);
                fields.push(("amount", self.amount()));
                self.currency(&mut fields);
            }
            "view" => self.categories(&mut fields),
            "cart_add" | "cart_remove" => self.cart(&mut fields),
            "profile" => self.profile(&mut fields, customer, time),
            "exposure" => {
                fields.push(("cost", self.optional_amount()));
                self.currency(&mut fields);
            }
            _ => {}
        }
        if self.random.chance(25) {
            fields.push(("properties", self.properties()));
        }
        if self.random.chance(20) {
            let coupon = self.random.pick(&["\"SUMMER\"", "\"M\"", "\"\"", "7", "null"]);
            fields.push(("coupon", coupon.into()));
        }
        if self.random.chance(15) {
            fields.push(self.random.pick(&[
                ("campaign", "null".to_string()),
                ("campaign", "\"spring\"".to_string()),
                ("campaign", "\"\"".to_string()),
                ("unknown", r#"{"deep":[1,{"a":null}]}"#.to_string()),
                ("loyalty", "\"\\ud83d\\ude00\"".to_string()),
            ]));
        }
        self.random.shuffle(&mut fields);
        fields
    }

    /// Declared properties of every form, and what does not fit.
    fn properties(&mut self) -> String {
        let long = format!("\"{}\"", "é".repeat(100));
        let mut members = Vec::new();
        if self.random.chance(60) {
            let sizes = ["\"M\"", "\"M\"", "\"L\"", "42", "\"\"", "[]", "null", &long];
            members.push(format!("\"size\":{}", self.random.pick(&sizes)));
        }
        if self.random.chance(60) {
            let durations = ["31", "30", "\"31.5\"", "\"3e1\"", "12", "\"long\"", "1e999", "true", "{\"a\":1}"];
            members.push(format!("\"duration_s\":{}", self.random.pick(&durations)));
        }
        if self.random.chance(50) {
            let truths = ["true", "false", "\"true\"", "\"false\"", "\"TRUE\"", "1"];
            members.push(format!("\"first\":{}", self.random.pick(&truths)));
        }
        if self.random.chance(20) {
            members.push("\"undeclared\":{\"size\":\"M\"}".into());
        }
        self.random.shuffle(&mut members);
        if self.random.chance(10) {
            self.random.pick(&["[]", "\"M\"", "7"]).into()
        } else {
            format!("{{{}}}", members.join(","))
        }
    }

    fn event_id(&mut self) -> Option<String> {
        match self.random.below(10) {
            0..=4 => {
                let id = if self.random.chance(20) {
                    format!("{}", 1 + self.event_ids.len())
                } else {
                    format!("e{}", self.event_ids.len())
                };
                self.event_ids.push(id.clone());
                Some(id)
            }
            5 if !self.event_ids.is_empty() => Some(self.random.pick(&self.event_ids)),
            6 => self.event_ids.last().cloned(),
            7 if self.random.chance(20) => {
                Some(self.random.pick(&["", "null", "Undefined", "anonymous", "nil", "0"]).into())
            }
            _ => None,
        }
    }

    /// What only describes, or at times something that is left out or cut (E5).
    fn or_unfit(&mut self, fit: String) -> String {
        if !self.random.chance(8) {
            return fit;
        }
        match self.random.below(6) {
            0 => "7".into(),
            1 => "\"\"".into(),
            2 => r#"["web"]"#.into(),
            3 => "false".into(),
            // The 128th byte is the first of a character's two, or the last of one.
            4 => text(&format!("{}é{}", "l".repeat(126), self.random.pick(&["", "x", "éx"]))),
            _ => text(&format!("{}é", "l".repeat(127))),
        }
    }

    /// An id as a text, or as an integer if it is one.
    fn notation(&mut self, id: &str) -> String {
        let is_integer = id.bytes().all(|byte| byte.is_ascii_digit());
        if is_integer && self.random.chance(60) { id.into() } else { text(id) }
    }

    /// The id of an order, which no placeholder stands for.
    fn order_id(&mut self) -> String {
        let id = self.plain_order_id();
        self.notation(&id)
    }

    fn plain_order_id(&mut self) -> String {
        if self.random.chance(25) {
            return self.random.between(1, 3).to_string();
        }
        format!("o{}", self.random.between(1, 6))
    }

    fn order_id_once(&mut self, fields: &mut Vec<(&'static str, String)>) {
        if fields.iter().all(|(name, _)| *name != "order_id") {
            fields.push(("order_id", self.order_id()));
        }
    }

    /// Order and event ids of a refund, cancellation or amendment: new ones, or those of an earlier one.
    fn return_ids(&mut self, customer: &str) -> (String, String) {
        let known: Vec<_> = self.returns.iter().filter(|known| known.0 == customer).cloned().collect();
        if !known.is_empty() && self.random.chance(25) {
            let (_, order_id, event_id) = self.random.pick(&known);
            return (order_id, event_id);
        }
        let number = self.returns.len();
        let event_id = if self.random.chance(20) { format!("{}", 1_000 + number) } else { format!("r{number}") };
        let ids = (self.plain_order_id(), event_id);
        self.returns.push((customer.into(), ids.0.clone(), ids.1.clone()));
        ids
    }

    fn placeholder(&mut self) -> String {
        self.random
            .pick(&["\"\"", "\"null\"", "\"None\"", "\"GUEST\"", "0", "\"(not set)\"", "\"nil\"", "\"Nil\""])
            .into()
    }

    /// An amount, or at times something that is left out.
    fn optional_amount(&mut self) -> String {
        if self.random.chance(12) {
            return self.random.pick(&["\"\"", "-2.5", "\"free\"", "{}", "1e99", "\"1,50\"", "true"]).into();
        }
        self.amount()
    }

    fn amount(&mut self) -> String {
        let amounts = [
            "0",
            "0.00",
            "1",
            "9.99",
            "10",
            "10.00",
            "50.00",
            "99.995",
            "100",
            "250.5",
            "0.005",
            "0.004999",
            "1e2",
            "12.5e0",
            "33.333333",
            "0.00499999999999999999999999999999999999999999999999999999999999",
            "0.00500000000000000000000000000000000000000000000000000000000001",
            "49.99500000000",
            "54347.8260869565217391304347826086956521739130434782608695652174",
            "5e-3",
            "1e-400",
            "1234567890123456789012345678901234567890e-38",
        ];
        let amount = self.random.pick(&amounts);
        if self.random.chance(50) { text(amount) } else { amount.into() }
    }

    fn positive_amount(&mut self) -> String {
        let amounts = ["1", "\"9.99\"", "9.98", "9.95", "10", "\"100.00\"", "99.97", "0.001", "5e1"];
        self.random.pick(&amounts).into()
    }

    fn currency(&mut self, fields: &mut Vec<(&'static str, String)>) {
        if self.random.chance(30) {
            let code = self.random.pick(&["USD", "GBP", "XAF", "usd", "Gbp", ""]);
            fields.push(("currency", text(code)));
        }
    }

    fn purchase(&mut self, fields: &mut Vec<(&'static str, String)>, customer: &str) {
        let amount = self.amount();
        self.currency(fields);
        if self.random.chance(75) {
            let order_id = self.order_id();
            let cents = (amount.trim_matches('"').parse::<f64>().expect("an amount") * 100.0).round() as i64;
            let currency = fields.iter().find(|(name, _)| *name == "currency").map(|(_, code)| code.clone());
            let is_new = self.purchases.iter().all(|known| known.customer != customer || known.order_id != order_id);
            if is_new && cents >= 100 {
                let (customer, order_id) = (customer.into(), order_id.clone());
                self.purchases.push(Purchase { customer, order_id, cents, currency });
            }
            fields.push(("order_id", order_id));
        } else if self.random.chance(20) {
            fields.push(("order_id", self.placeholder()));
        }
        fields.push(("amount", amount));
        if self.random.chance(40) {
            let discount = self.random.pick(&["0", "\"0.000001\"", "5", "\"2.50\"", "-5", "\"\""]);
            fields.push(("discount", discount.into()));
        }
        self.categories(fields);
    }

    fn refund(&mut self, fields: &mut Vec<(&'static str, String)>) {
        let has_order = fields.iter().any(|(name, _)| *name == "order_id");
        let loose = !has_order && self.random.chance(60);
        if !loose {
            self.order_id_once(fields);
        }
        if loose || self.random.chance(60) {
            fields.push(("amount", self.positive_amount()));
            self.currency(fields);
        }
    }

    /// A refund of all but a few hundredths of an order, mostly of one in another currency; whether there is one.
    fn nearly_whole_refund(&mut self, fields: &mut Vec<(&'static str, String)>, customer: &str) -> bool {
        let known = || self.purchases.iter().filter(|known| known.customer == customer);
        let foreign: Vec<_> = known().filter(|known| known.currency.is_some()).cloned().collect();
        let known: Vec<_> = known().cloned().collect();
        if known.is_empty() {
            return false;
        }
        let from = if foreign.is_empty() || self.random.chance(30) { known } else { foreign };
        let order = self.random.pick(&from);
        let cents = order.cents - self.random.between(0, 7);
        fields.push(("order_id", order.order_id));
        fields.push(("amount", format!("{}.{:02}", cents / 100, cents % 100)));
        fields.extend(order.currency.map(|code| ("currency", code)));
        true
    }

    fn categories(&mut self, fields: &mut Vec<(&'static str, String)>) {
        if self.random.chance(60) {
            let category = text(self.random.pick(&CATEGORIES));
            fields.push(("category", self.or_unfit(category)));
        }
        if self.random.chance(3) {
            fields.push(("items", self.random.pick(&["{}", "\"[]\"", "5", "[null,7,[]]"]).into()));
        } else if self.random.chance(30) {
            let items: Vec<String> = (0..self.random.between(0, 11))
                .map(|n| match self.random.below(3) {
                    0 => r#"{"sku":"s","quantity":"many"}"#.to_string(),
                    1 => {
                        let category = text(self.random.pick(&CATEGORIES));
                        format!("{{\"category\":{}}}", self.or_unfit(category))
                    }
                    _ => format!("{{\"category\":\"c{n}\",\"price\":null}}"),
                })
                .collect();
            fields.push(("items", format!("[{}]", items.join(","))));
        }
    }

    fn cart(&mut self, fields: &mut Vec<(&'static str, String)>) {
        if self.random.chance(60) {
            let total = self.random.pick(&["0", "\"10.00\"", "50", "99.99", "-1", "\"\""]);
            fields.push(("cart_total", total.into()));
            self.currency(fields);
        }
    }

    fn profile(&mut self, fields: &mut Vec<(&'static str, String)>, customer: &str, time: i64) {
        if self.random.chance(4) {
            return fields.push(("attributes", self.random.pick(&["[]", "\"vip\"", "7"]).into()));
        }
        let mut members = Vec::new();
        if self.random.chance(40) {
            let country = text(self.random.pick(&COUNTRIES));
            members.push(format!("\"country\":{}", self.or_unfit(country)));
        }
        if self.random.chance(60) {
            members.push(format!("\"tags\":{}", self.tags()));
        }
        if self.random.chance(30) {
            let plan = self.random.pick(&PLANS);
            members.push(format!("\"plan\":{}", text(plan)));
        }
        if self.random.chance(40) {
            members.push(format!(
                "\"age\":{}",
                self.random.pick(&[
                    "18",
                    "30.5",
                    "7e0",
                    "-2",
                    "null",
                    "\"18\"",
                    "\"3.05e1\"",
                    "\"old\"",
                    "1e999",
                    "true"
                ])
            ));
        }
        if self.random.chance(40) {
            members.push(format!(
                "\"vip\":{}",
                self.random.pick(&["true", "false", "null", "\"true\"", "\"false\"", "\"yes\"", "1"])
            ));
        }
        if self.random.chance(40) {
            let moment = time + self.random.pick(&[-DAY, -30 * DAY, -1, 0, 1, DAY, 7 * DAY]);
            self.moments.push(Moment { time: moment, customer: customer.into(), kind: "profile" });
            let odd = [
                "\"1907-05-01T00:00:00.5Z\"",
                "\"2019-12-31\"",
                "\"2020-02-30\"",
                "1577836800",
                "99999999999",
                "\"soon\"",
            ];
            let value = if self.random.chance(20) { self.random.pick(&odd).into() } else { self.time(moment) };
            members.push(format!("\"signed_up\":{value}"));
        }
        if self.random.chance(20) {
            members.push("\"undeclared\":[1]".into());
        }
        fields.push(("attributes", format!("{{{}}}", members.join(","))));
    }
}

impl Stream {
    /// The value of an attribute of type `texts`.
    fn tags(&mut self) -> String {
        match self.random.below(10) {
            0 => "[]".into(),
            1 => "null".into(),
            2 => text(self.random.pick(&TAGS)),
            3 => self.random.pick(&["7", "{}", "\"\"", r#"["gold",7,null,""]"#, r#"[["gold"]]"#]).into(),
            4 => {
                // Which of them is among the first 32 different ones depends on the repeated ones before it.
                let skipped = self.random.between(0, 3);
                let mut all: Vec<String> = (skipped..32).map(|n| text(&format!("t{}", n % 31))).collect();
                all.push(text("gold"));
                format!("[{}]", all.join(","))
            }
            _ => {
                let count = self.random.between(1, 4);
                let tags: Vec<String> = (0..count).map(|_| text(self.random.pick(&TAGS))).collect();
                format!("[{}]", tags.join(","))
            }
        }
    }
}

pub fn object(fields: Vec<(&'static str, String)>) -> String {
    let members: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

pub fn text(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}
