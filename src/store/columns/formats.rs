//! Files of earlier formats: which columns a format had, and the columns that its files lack.
//!
//! A field that came with a format is declared with [`since`]. Everything else follows: a file of an earlier format is
//! expected without it, and gets it with the default when it is read, so that readers and merges see the columns of
//! the present format only. The default is null, and for a required field 0, false, an empty text or an empty list.

use super::kind::{FORMAT, FORMAT_OLDEST};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, make_array, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The key of a field's metadata with the format that the field came with.
const SINCE: &str = "shoal.since";

/// A field that came with a format: a column, or a field of the entries of a list or struct column.
pub fn since(format: u32, field: Field) -> Field {
    field.with_metadata([(SINCE.to_owned(), format.to_string())])
}

/// The format of a file, from the metadata of its schema.
pub fn format_of(schema: &Schema) -> Result<u32, String> {
    let text = schema.metadata().get("shoal.format").map_or("none", String::as_str);
    let known = text.parse().ok().filter(|format| (FORMAT_OLDEST..=FORMAT).contains(format));
    known.ok_or_else(|| format!("expected a format from {FORMAT_OLDEST} to {FORMAT}, found format {text}"))
}

/// The fields as the files of a format have them.
pub fn fields_in(format: u32, fields: &Fields) -> Fields {
    let is_known = |field: &Field| {
        field.metadata().get(SINCE).is_none_or(|since| since.parse().is_ok_and(|since: u32| since <= format))
    };
    let of_format = |field: &Arc<Field>| match field.data_type() {
        DataType::Struct(fields) => with_type(field, DataType::Struct(fields_in(format, fields))),
        DataType::List(item) => {
            let items = fields_in(format, &Fields::from(vec![item.clone()]));
            with_type(field, DataType::List(items[0].clone()))
        }
        _ => field.clone(),
    };
    fields.iter().filter(|field| is_known(field)).map(of_format).collect()
}

fn with_type(field: &Field, data_type: DataType) -> Arc<Field> {
    Arc::new(field.clone().with_data_type(data_type))
}

/// The batch of an earlier format with all columns of the present one.
pub fn complete(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => complete_column(column, field),
        None => default_column(field, batch.num_rows()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

fn complete_column(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    Ok(match field.data_type() {
        DataType::Struct(fields) => {
            let record = column.as_struct();
            let columns = fields.iter().map(|field| match record.column_by_name(field.name()) {
                Some(column) => complete_column(column, field),
                None => default_column(field, record.len()),
            });
            Arc::new(StructArray::try_new(fields.clone(), columns.collect::<Result<_, _>>()?, record.nulls().cloned())?)
        }
        DataType::List(item) => {
            let list = column.as_list::<i32>();
            let items = complete_column(list.values(), item)?;
            Arc::new(ListArray::try_new(item.clone(), list.offsets().clone(), items, list.nulls().cloned())?)
        }
        _ => column.clone(),
    })
}

/// A column that files of an earlier format lack.
fn default_column(field: &Field, rows: usize) -> Result<ArrayRef, ArrowError> {
    if field.is_nullable() {
        return Ok(new_null_array(field.data_type(), rows));
    }
    match field.data_type() {
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| default_column(field, rows)).collect::<Result<_, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
        }
        DataType::Dictionary(..) => {
            let name = field.name();
            Err(ArrowError::SchemaError(format!("`{name}` is a text that is required, so it has no default")))
        }
        // The values below the nulls are zeros and empty lists.
        data_type => {
            let zeros = new_null_array(data_type, rows).to_data().into_builder().nulls(None).build()?;
            Ok(make_array(zeros))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::{nullable, required, text_type, time_type};
    use super::super::file::schema;
    use super::super::kind::FileKind;
    use super::super::lists::list_field;
    use super::*;
    use arrow::array::{BooleanArray, Int64Array};
    use arrow::buffer::OffsetBuffer;

    /// Fields with something new at every depth.
    fn fields() -> Fields {
        let entry = vec![
            required("amount", DataType::Int64),
            since(3, required("foreign", DataType::Boolean)),
            since(3, nullable("note", text_type())),
        ];
        let numbers = vec![required("amount", DataType::Int64), since(3, nullable("largest", DataType::Int64))];
        Fields::from(vec![
            required("number", DataType::Int64),
            list_field("orders", entry.into()),
            nullable("totals", DataType::Struct(numbers.into())),
            since(3, required("counts", DataType::UInt32)),
            since(3, nullable("at", time_type())),
            since(3, list_field("ids", vec![required("id", DataType::UInt64)].into())),
            since(3, required("hours", DataType::Binary)),
        ])
    }

    fn numbers(numbers: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(numbers.to_vec()))
    }

    /// Two rows of format 2: the first with two orders and totals, the second with one order.
    fn old_batch() -> RecordBatch {
        let old = fields_in(2, &fields());
        let DataType::List(item) = old[1].data_type() else { panic!("a list") };
        let (DataType::Struct(entry), DataType::Struct(totals)) = (item.data_type(), old[2].data_type()) else {
            panic!("structs")
        };
        let orders = Arc::new(StructArray::new(entry.clone(), vec![numbers(&[5, 6, 7])], None));
        let orders = ListArray::new(item.clone(), OffsetBuffer::new(vec![0, 2, 3].into()), orders, None);
        let totals = StructArray::new(totals.clone(), vec![numbers(&[9, 0])], Some(vec![true, false].into()));
        let columns: Vec<ArrayRef> = vec![numbers(&[1, 2]), Arc::new(orders), Arc::new(totals)];
        RecordBatch::try_new(Arc::new(Schema::new(old)), columns).unwrap()
    }

    #[test]
    fn columns_that_an_earlier_format_lacks_get_their_defaults() {
        let names = |fields: &Fields| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&fields_in(2, &fields())), ["number", "orders", "totals"]);
        assert_eq!(fields_in(3, &fields()), fields());
        let old = old_batch();
        let schema = Arc::new(Schema::new(fields()));
        let batch = complete(&old, &schema).unwrap();
        assert_eq!(batch.schema(), schema);
        let (orders, before) = (batch.column(1).as_list::<i32>(), old.column(1).as_list::<i32>());
        assert_eq!(orders.offsets(), before.offsets());
        let entries = orders.values().as_struct();
        assert_eq!(entries.column(0), before.values().as_struct().column(0));
        assert_eq!(entries.column(1).as_boolean(), &BooleanArray::from(vec![false; 3]));
        assert_eq!(entries.column(2).null_count(), 3);
        let totals = batch.column(2).as_struct();
        assert_eq!((totals.is_null(0), totals.is_null(1)), (false, true));
        assert_eq!(totals.column(0), old.column(2).as_struct().column(0));
        assert_eq!(totals.column(1).null_count(), 2);
        assert_eq!(batch.column(3).as_primitive::<arrow::datatypes::UInt32Type>().values(), &[0, 0]);
        assert_eq!(batch.column(4).null_count(), 2);
        assert_eq!(batch.column(5).as_list::<i32>().value_offsets(), [0, 0, 0]);
        assert_eq!(batch.column(6).as_binary::<i32>().value(1), b"");
    }

    /// Without this a forgotten default would be found by the first service that starts from an older snapshot.
    #[test]
    fn all_new_columns_have_defaults() {
        for kind in [FileKind::Customers, FileKind::Ids, FileKind::Marks] {
            let schema = schema(kind);
            let old = Schema::new(fields_in(FORMAT_OLDEST, schema.fields()));
            let empty = RecordBatch::new_empty(Arc::new(old));
            complete(&empty, &schema).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        }
    }
}
