//! Columns of texts that many rows share: dictionary columns in which each different text stands once.
//!
//! They are written from the engine's text references and read back into new ones. After files were merged, unused
//! texts are removed, so that no text remains in a file after the last row that had it.

use crate::engine::profile::{TextReference, split_set};
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, ListArray, PrimitiveArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// The texts of a snapshot by their references.
#[derive(Default)]
pub struct Texts {
    texts: Vec<Option<Arc<str>>>,
    missing: Cell<Option<TextReference>>,
}

impl Texts {
    pub fn add(&mut self, reference: TextReference, text: Arc<str>) {
        let index = reference as usize;
        if index >= self.texts.len() {
            self.texts.resize(index + 1, None);
        }
        self.texts[index] = Some(text);
    }

    /// The text of a reference. An unknown reference is recorded as missing: all texts of a capture precede its
    /// customers.
    pub(super) fn get(&self, reference: TextReference) -> Arc<str> {
        let text = self.texts.get(reference as usize).cloned().flatten();
        text.unwrap_or_else(|| {
            self.missing.set(Some(reference));
            Arc::default()
        })
    }

    /// A reference that a customer used before its text was added: the customer must not be stored.
    pub fn missing(&self) -> Option<TextReference> {
        self.missing.get()
    }
}

/// The JSON array of an interned set of texts.
pub fn set_to_json(set: &str) -> Arc<str> {
    serde_json::Value::from(split_set(set).collect::<Vec<_>>()).to_string().into()
}

pub fn set_from_json(json: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(json).map_err(|_| format!("expected a JSON array of texts, found {json:?}"))
}

/// A text column that is written.
#[derive(Default)]
pub struct TextWriter {
    keys: Vec<Option<i32>>,
    values: Vec<Arc<str>>,
    /// Keys of the values by the caller's references.
    known: HashMap<u32, i32>,
}

impl TextWriter {
    /// Adds a text by its reference; `text` is called at the first use of the reference. Reference 0 is null.
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

    pub fn finish(self) -> ArrayRef {
        let keys = Int32Array::from(self.keys);
        Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from_iter_values(self.values))))
    }
}

/// A text column that is read: each different text is converted once.
pub struct TextColumn<'a, T> {
    keys: &'a PrimitiveArray<Int32Type>,
    converted: Vec<T>,
}

impl<'a, T: Copy + Default> TextColumn<'a, T> {
    pub fn new(column: &'a ArrayRef, convert: impl FnMut(&str) -> Result<T, String>) -> Result<Self, String> {
        let column = column.as_dictionary::<Int32Type>();
        let texts = column.values().as_string::<i32>();
        let converted = texts.iter().map(Option::unwrap_or_default).map(convert).collect::<Result<_, _>>()?;
        Ok(Self { keys: column.keys(), converted })
    }

    /// The converted text; the default if it is null.
    #[inline]
    pub fn get(&self, index: usize) -> T {
        if self.keys.is_valid(index) { self.converted[self.keys.value(index) as usize] } else { T::default() }
    }
}

/// The batch with only those texts that its rows use.
pub(in crate::store) fn without_unused_texts(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(compact).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(batch.schema(), columns)
}

/// The array with only those texts that are used, each once, in order of their first use; also within lists and
/// structs.
fn compact(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, _) => Arc::new(compact_texts(array.as_dictionary())),
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let values = compact(list.values())?;
            Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let record = array.as_struct();
            let columns = record.columns().iter().map(compact).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, record.nulls().cloned())?)
        }
        _ => array.clone(),
    })
}

fn compact_texts(column: &DictionaryArray<Int32Type>) -> DictionaryArray<Int32Type> {
    let texts = column.values().as_string::<i32>();
    let mut new_keys: Vec<Option<i32>> = vec![None; texts.len()];
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut values: Vec<&str> = Vec::new();
    let keys = column.keys().iter().map(|key| {
        let key = key? as usize;
        if new_keys[key].is_none() {
            let text = texts.value(key);
            new_keys[key] = Some(*known.entry(text).or_insert_with(|| {
                values.push(text);
                values.len() as i32 - 1
            }));
        }
        new_keys[key]
    });
    let keys: Int32Array = keys.collect();
    DictionaryArray::new(keys, Arc::new(StringArray::from_iter_values(values)))
}
