//! Columns of texts that many rows share: written from the engine's references, read back into them, and tidied after
//! files were merged, so that nothing stays in a file that no row of it says.

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;
use std::collections::HashMap;
use std::sync::Arc;

/// A column in the making; each different text stands in it once.
#[derive(Default)]
pub(super) struct Words {
    keys: Vec<Option<i32>>,
    values: Vec<Arc<str>>,
    /// By what the caller calls the texts.
    known: HashMap<u32, i32>,
}

impl Words {
    /// Adds a text under its reference, which is made at its first use; reference 0 is none.
    pub fn push(&mut self, reference: u32, text: impl FnOnce() -> Arc<str>) {
        if reference == 0 {
            self.keys.push(None);
            return;
        }
        let Self { keys, values, known } = self;
        let key = *known.entry(reference).or_insert_with(|| {
            values.push(text());
            values.len() as i32 - 1
        });
        keys.push(Some(key));
    }

    pub fn take(&mut self) -> ArrayRef {
        self.known.clear();
        let keys = Int32Array::from(std::mem::take(&mut self.keys));
        let values = StringArray::from_iter_values(std::mem::take(&mut self.values));
        Arc::new(DictionaryArray::new(keys, Arc::new(values)))
    }
}

/// The array with only those texts that are used, each once, in order of their first use; also within lists and structs.
pub(super) fn tidy(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, _) => Arc::new(tidy_words(array.as_dictionary())),
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let values = tidy(list.values())?;
            Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let record = array.as_struct();
            let columns = record.columns().iter().map(tidy).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, record.nulls().cloned())?)
        }
        _ => array.clone(),
    })
}

fn tidy_words(words: &DictionaryArray<Int32Type>) -> DictionaryArray<Int32Type> {
    let texts = words.values().as_string::<i32>();
    let mut places: Vec<Option<i32>> = vec![None; texts.len()];
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut values: Vec<&str> = Vec::new();
    let keys = words.keys().iter().map(|key| {
        let key = key? as usize;
        if places[key].is_none() {
            let text = texts.value(key);
            places[key] = Some(*known.entry(text).or_insert_with(|| {
                values.push(text);
                values.len() as i32 - 1
            }));
        }
        places[key]
    });
    let keys: Int32Array = keys.collect();
    DictionaryArray::new(keys, Arc::new(StringArray::from_iter_values(values)))
}

/// A batch, tidied.
pub(in crate::store) fn tidy_batch(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(tidy).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(batch.schema(), columns)
}
