//! The values in a snapshot's files, read with the Arrow library alone, so that files of different formats can be
//! compared row by row.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::ipc::reader::FileReader;
use serde_json::{Value, json};
use shoal::store::columns::FileKind;
use shoal::store::manifest::{File, Group, Manifest};
use shoal::store::names;
use shoal::store::objects::{MemoryObjects, Objects};
use std::collections::BTreeMap;
use std::io::Cursor;

/// The rows of a snapshot by their first column; of several rows, that of the latest group counts. Of the ids of an
/// hour, the runs follow each other. Rows without a customer are left out.
pub fn rows(objects: &MemoryObjects, manifest: &Manifest, kind: FileKind) -> BTreeMap<String, Value> {
    let files = |group: &Group| match kind {
        FileKind::Customers => group.customers.clone(),
        FileKind::Ids => group.ids.clone(),
        FileKind::Marks => group.marks.clone(),
    };
    let mut rows = BTreeMap::new();
    for row in manifest.groups.iter().flat_map(files).flat_map(|file| of_file(objects, manifest.shard, &file)) {
        let (key, mut row) = row;
        if kind == FileKind::Ids
            && let Some(known) = rows.get(&key)
        {
            row = joined(known, &row);
        }
        rows.insert(key, row);
    }
    rows.retain(|_, row| row.get("alive") != Some(&Value::Bool(false)));
    rows
}

/// A run of ids after the first `before` ids of another.
fn joined(known: &Value, run: &Value) -> Value {
    let ids = |run: &Value| run["ids"].as_array().expect("ids").clone();
    let kept = (run["before"].as_u64().expect("a number") - known["before"].as_u64().expect("a number")) as usize;
    let all: Vec<Value> = ids(known).into_iter().take(kept).chain(ids(run)).collect();
    json!({ "hour": known["hour"], "before": known["before"], "ids": all })
}

fn of_file(objects: &MemoryObjects, shard: u32, file: &File) -> Vec<(String, Value)> {
    let bytes = objects.get(&format!("{}/{}", names::folder(shard), file.name)).expect("memory").expect("a file");
    let batches =
        FileReader::try_new(Cursor::new(bytes), None).expect("an Arrow file").map(|batch| batch.expect("rows"));
    let rows = batches.flat_map(|batch| {
        let row = |row: usize| {
            let schema = batch.schema();
            let names = schema.fields().iter().map(|field| field.name().clone());
            let values: Vec<Value> = batch.columns().iter().map(|column| value(column, row)).collect();
            (values[0].to_string(), Value::Object(names.zip(values).collect()))
        };
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    });
    rows.collect()
}

fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => json!(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => json!(array.as_primitive::<TimestampMillisecondType>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(array.as_binary::<i32>().value(row)),
        DataType::Dictionary(..) => {
            let texts = array.as_dictionary::<Int32Type>();
            value(texts.values(), texts.keys().value(row) as usize)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|item| value(&items, item)).collect()
        }
        DataType::Struct(fields) => {
            let record = array.as_struct();
            let columns = fields.iter().zip(record.columns());
            Value::Object(columns.map(|(field, column)| (field.name().clone(), value(column, row))).collect())
        }
        other => panic!("no column has the type {other}"),
    }
}

/// Whether everything in `old` is in `new`, which may have more columns.
pub fn contains(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(name, old)| new.get(name).is_some_and(|new| contains(new, old)))
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| contains(new, old))
        }
        _ => new == old,
    }
}
