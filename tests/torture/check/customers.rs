//! Customers in snapshots: reads them from the Arrow files, and compares them with the last change of each customer.

use super::Faults;
use super::changes::{ByCustomer, ends_life};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampMillisecondType, UInt32Type};
use arrow::ipc::reader::FileReader;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// A customer as the snapshot describes it.
#[derive(Debug, PartialEq)]
pub struct Known {
    pub id: String,
    pub is_alive: bool,
    pub life: Option<i64>,
    pub sequence: u32,
}

/// By shard and number of the row.
pub type Customers = BTreeMap<(u64, u32), Known>;

/// Adds the customers of a file; rows with a known number are replaced.
pub fn read(path: &Path, shard: u64, customers: &mut Customers) -> Result<(), String> {
    let message = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| message(&error))?;
    for batch in FileReader::try_new(file, None).map_err(|error| message(&error))? {
        add_batch(&batch.map_err(|error| message(&error))?, shard, customers)
            .ok_or_else(|| message(&"not the columns"))?;
    }
    Ok(())
}

/// `None` if a column is missing or has another type.
fn add_batch(batch: &RecordBatch, shard: u64, customers: &mut Customers) -> Option<()> {
    let column = |name: &str| batch.column_by_name(name);
    let numbers = column("number")?.as_primitive_opt::<UInt32Type>()?;
    let sequences = column("sequence")?.as_primitive_opt::<UInt32Type>()?;
    let lives = column("life")?.as_primitive_opt::<TimestampMillisecondType>()?;
    let (alive, ids) = (column("alive")?.as_boolean_opt()?, column("id")?.as_string_opt::<i32>()?);
    for row in 0..batch.num_rows() {
        let known = Known {
            id: ids.value(row).to_owned(),
            is_alive: alive.value(row),
            life: lives.is_valid(row).then(|| lives.value(row)),
            sequence: sequences.value(row),
        };
        customers.insert((shard, numbers.value(row)), known);
    }
    Some(())
}

/// Life and sequence of every customer must be those of its last change. Returns the number of correct customers.
pub fn compare(customers: &Customers, changes: &ByCustomer, faults: &mut Faults) -> usize {
    let mut alive: BTreeMap<&str, &Known> = BTreeMap::new();
    for known in customers.values().filter(|known| known.is_alive) {
        if alive.insert(&known.id, known).is_some() {
            faults.add(format!("snapshots: customer {} exists twice", known.id));
        }
    }
    let mut right = 0;
    for (customer, changes) in changes {
        let Some(last) = changes.last() else { continue };
        let expected = Some((last["life"].as_i64(), last["sequence"].as_u64())).filter(|_| !ends_life(last));
        let known = alive.remove(customer.as_str());
        let found = known.map(|known| (known.life, Some(u64::from(known.sequence))));
        // A customer that left may have returned, without a published change yet.
        if found == expected || expected.is_none() && known.is_some_and(|known| known.sequence == 0) {
            right += 1;
        } else {
            faults
                .add(format!("snapshots: of {customer} life and sequence are {found:?}, they should be {expected:?}"));
        }
    }
    for known in alive.into_values().filter(|known| known.sequence > 0) {
        faults.add(format!("snapshots: customer {} has no published change, found {known:?}", known.id));
    }
    right
}
