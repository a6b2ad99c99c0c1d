//! Event ids that are remembered (E3), as a plain list.

use super::value::HOUR;

#[derive(Clone, Debug, Default)]
pub struct Ids {
    remembered: Vec<Remembered>,
}

#[derive(Clone, Debug)]
struct Remembered {
    hour: i64,
    /// `None` once the customer was erased: the id is forgotten, and counts towards the bound until its hour ends.
    customer: Option<String>,
    id: String,
}

impl Ids {
    pub fn is_known(&self, customer: &str, id: &str, watermark: Option<i64>, horizon_hours: i64) -> bool {
        self.remembered.iter().any(|one| {
            one.customer.as_deref() == Some(customer) && one.id == id && !is_past(one.hour, watermark, horizon_hours)
        })
    }

    /// Remembers the id of an event that was accepted and has raised the watermark. Whether the bound was reached.
    pub fn keep(&mut self, customer: &str, id: &str, watermark: i64, horizon_hours: i64, ids_max: usize) -> bool {
        self.remembered.retain(|one| !is_past(one.hour, Some(watermark), horizon_hours));
        let mut met = false;
        while self.remembered.len() >= ids_max {
            let oldest = self.remembered.iter().map(|one| one.hour).min().expect("there are ids");
            self.remembered.retain(|one| one.hour != oldest);
            met = true;
        }
        let hour = watermark.div_euclid(HOUR);
        self.remembered.push(Remembered { hour, customer: Some(customer.into()), id: id.into() });
        met
    }

    pub fn forget(&mut self, customer: &str) {
        for one in self.remembered.iter_mut().filter(|one| one.customer.as_deref() == Some(customer)) {
            one.customer = None;
        }
    }
}

/// Whether the watermark is past `hour + horizon`.
fn is_past(hour: i64, watermark: Option<i64>, horizon_hours: i64) -> bool {
    watermark.is_some_and(|watermark| watermark.div_euclid(HOUR) > hour + horizon_hours)
}
