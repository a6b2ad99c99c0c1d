//! The bytes of a change and of a membership value.

use super::evaluate::{HeldValue, Truth, Values, View};
use super::rules::Rules;
use super::value::json_text;
use super::{customer::Customer, moment};

/// An entry of `because`; `value` is JSON already.
#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    pub rule: String,
    pub value: String,
    pub was: Truth,
    pub now: Truth,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    pub to: String,
    pub at: i64,
}

/// The event that caused a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    pub event_id: Option<String>,
    pub kind: String,
    pub time: i64,
}

pub struct Change<'a> {
    pub name: &'a str,
    pub from: &'a HeldValue,
    pub to: Option<&'a str>,
    pub cause: &'a str,
    pub fill: bool,
    pub effective_at: i64,
    pub detected_at: i64,
    pub trigger: Option<&'a Trigger>,
    pub because: Vec<Because>,
    pub next: Option<Next>,
    /// JSON.
    pub features: String,
}

impl Change<'_> {
    pub fn json(&self, customer: &Customer, rules: &Rules) -> String {
        let because: Vec<String> = self.because.iter().map(because_json).collect();
        let next = self.next.as_ref().map(|next| format!("{{\"to\":{},\"at\":{}}}", json_text(&next.to), at(next.at)));
        [
            "{\"schema\":1".to_string(),
            format!("\"customer_id\":{}", json_text(&customer.id)),
            format!("\"life\":{}", customer.life),
            format!("\"sequence\":{}", customer.sequence),
            format!("\"segmentation\":{}", json_text(self.name)),
            format!("\"from\":{}", optional_text(self.from.value.as_deref())),
            format!("\"from_since\":{}", self.from.since.map_or("null".into(), at)),
            format!("\"to\":{}", optional_text(self.to)),
            format!("\"cause\":{}{}", json_text(self.cause), if self.fill { ",\"fill\":true" } else { "" }),
            format!("\"effective_at\":{}", at(self.effective_at)),
            format!("\"detected_at\":{}", at(self.detected_at)),
            format!("\"trigger\":{}", self.trigger.map_or("null".into(), trigger_json)),
            format!("\"because\":[{}]", because.join(",")),
            format!("\"next\":{}", next.unwrap_or("null".into())),
            format!("\"features\":{}", self.features),
            format!("\"rules_version\":{}", json_text(&rules.version)),
            "\"cuts_version\":null}".to_string(),
        ]
        .join(",")
    }
}

/// The included features at one instant.
pub fn features_json(rules: &Rules, view: View) -> String {
    let one = |(name, scalar): &(String, _)| {
        format!("{}:{}", json_text(name), view.scalar(scalar).map_or("null".into(), |value| value.json()))
    };
    let all: Vec<String> = rules.include.iter().map(one).collect();
    format!("{{{}}}", all.join(","))
}

/// R12, as of the customer's last change.
pub fn membership_json(customer: &Customer, values: &Values, rules: &Rules, effective_at: i64) -> String {
    let mut segments = Vec::new();
    let mut audiences = Vec::new();
    for (name, target) in &rules.targets {
        let held = &values[name];
        let since = held.since.map_or("null".into(), at);
        if target.is_audience() {
            let inside = held.value.as_deref() == Some("in");
            audiences.push(format!("{}:{{\"in\":{inside},\"since\":{since}}}", json_text(name)));
        } else {
            let value = optional_text(held.value.as_deref());
            segments.push(format!("{}:{{\"value\":{value},\"since\":{since}}}", json_text(name)));
        }
    }
    [
        format!("{{\"customer_id\":{}", json_text(&customer.id)),
        format!("\"life\":{}", customer.life),
        format!("\"sequence\":{}", customer.sequence),
        format!("\"effective_at\":{}", at(effective_at)),
        format!("\"rules_version\":{}", json_text(&rules.version)),
        "\"cuts_version\":null".to_string(),
        format!("\"segments\":{{{}}}", segments.join(",")),
        format!("\"audiences\":{{{}}}", audiences.join(",")),
        format!("\"features\":{}}}", features_json(rules, customer.view(effective_at))),
    ]
    .join(",")
}

fn because_json(entry: &Because) -> String {
    let truth = |truth: Truth| truth.map_or("null".to_string(), |truth| truth.to_string());
    let Because { rule, value, was, now } = entry;
    format!("{{\"rule\":{},\"value\":{value},\"was\":{},\"now\":{}}}", json_text(rule), truth(*was), truth(*now))
}

fn trigger_json(trigger: &Trigger) -> String {
    format!(
        "{{\"topic\":{},\"partition\":{},\"offset\":{},\"event_id\":{},\"type\":{},\"time\":{}}}",
        json_text(&trigger.topic),
        trigger.partition,
        trigger.offset,
        optional_text(trigger.event_id.as_deref()),
        json_text(&trigger.kind),
        at(trigger.time)
    )
}

fn optional_text(text: Option<&str>) -> String {
    text.map_or("null".into(), json_text)
}

fn at(moment: i64) -> String {
    format!("\"{}\"", moment::text(moment))
}
