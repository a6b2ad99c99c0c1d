//! Customers out of columns, into a shard in the making. [`super::rows`] reads the columns of one customer.

use super::rows::{Rows, values};
use crate::engine::profile::CustomerBuilder;
use crate::engine::shard::Restored;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::UInt32Type;

/// The rows of a file.
pub struct Customers {
    batch: RecordBatch,
}

impl Customers {
    /// The rows of a batch that [`super::read`] gave.
    pub fn new(batch: RecordBatch) -> Self {
        Self { batch }
    }

    pub(super) fn column(&self, name: &str) -> &ArrayRef {
        self.batch.column_by_name(name).expect("the columns were compared with the schema")
    }

    /// Numbers of the rows.
    pub fn numbers(&self) -> &[u32] {
        values::<UInt32Type>(self.column("number"))
    }

    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Which rows hold a customer.
    pub fn alive(&self) -> &BooleanArray {
        self.column("alive").as_boolean()
    }

    /// Puts the customers of those rows that `is_wanted` into a shard in the making; it is asked once for each row.
    pub fn restore(&self, restored: &mut Restored, mut is_wanted: impl FnMut(u32) -> bool) -> Result<(), String> {
        let rows = Rows::new(self, restored)?;
        let (numbers, alive) = (self.numbers(), self.alive());
        let ids = self.column("id").as_string::<i32>();
        let mut builder = CustomerBuilder::default();
        for (place, &number) in numbers.iter().enumerate() {
            if place > 0 && numbers[place - 1] >= number {
                return Err(format!("expected rows in order of their numbers, found {number} out of it"));
            }
            if !is_wanted(number) || !alive.value(place) {
                continue;
            }
            let id = ids.value(place);
            if !(1..=256).contains(&id.len()) {
                return Err(format!("expected an id of 1 to 256 bytes in row {number}, found {}", id.len()));
            }
            builder.begin(id);
            rows.fill(place, &mut builder);
            restored.add(number, id, &builder);
        }
        Ok(())
    }
}
