//! Segmentations that several tests use, under a name. A test adds what else its rules need.

/// The lifecycle of a shop's customers: prospect, then new, active, at_risk and dormant, by days since the last order
/// or activity. The three bounds are the last days of new, active and at_risk; tests that wait for them use small
/// fractions.
pub fn lifecycle([new, active, at_risk]: [&str; 3]) -> String {
    format!(
        r#"
[segmentation.lifecycle]
ladder = ["dormant", "at_risk", "prospect", "new", "active"]
segments = [
  {{ name = "prospect", when = "orders = 0" }},
  {{ name = "new", when = "orders = 1 AND recency_days <= {new}" }},
  {{ name = "active", when = "recency_days <= {active}" }},
  {{ name = "at_risk", when = "recency_days <= {at_risk}" }},
  {{ name = "dormant" }},
]
"#
    )
}

/// Customers who are loyal, those who are about to be lost, and the others, by two conditions.
pub fn loyalty(loyal: &str, at_risk: &str) -> String {
    format!(
        r#"
[segmentation.lifecycle]
ladder = ["none", "at_risk", "loyal"]
segments = [
  {{ name = "loyal", when = "{loyal}" }},
  {{ name = "at_risk", when = "{at_risk}" }},
  {{ name = "none" }},
]
"#
    )
}
