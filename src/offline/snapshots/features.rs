//! The table `customers` of an export: a row per customer with a column for every feature.

use super::tables::{ParquetFile, moment};
use crate::engine::event::Millis;
use crate::engine::feature::{Unit, Value};
use crate::engine::profile::{Customer, split_set};
use crate::engine::rule::columns::Column;
use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMillisecondBuilder, UInt32Builder,
};
use arrow::datatypes::{DataType, Field};
use std::path::Path;
use std::sync::Arc;

/// Precision of amounts: the digits of 64-bit integers.
const MONEY_DIGITS: u8 = 19;
/// The column of the id, which is a feature, too.
const ID: &str = "customer_id";
/// Rows per batch.
const ROWS_MAX: usize = 16_384;

/// The table `customers`.
pub struct Customers {
    file: ParquetFile,
    ids: StringBuilder,
    shards: UInt32Builder,
    lives: TimestampMillisecondBuilder,
    sequences: UInt32Builder,
    read_at: TimestampMillisecondBuilder,
    features: Vec<(Column, Cells)>,
}

/// The cells of a feature's column.
enum Cells {
    Whole(Int64Builder),
    Money(Decimal128Builder, u8),
    Double(Float64Builder),
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Time(TimestampMillisecondBuilder),
    Texts(ListBuilder<StringBuilder>),
}

impl Customers {
    pub fn create(folder: &Path, columns: Vec<Column>) -> anyhow::Result<Self> {
        let features: Vec<(Column, Cells)> = columns
            .into_iter()
            .filter(|column| column.name != ID)
            .map(|column| {
                let cells = Cells::new(column.call.unit, column.call.arguments.decimals);
                (column, cells)
            })
            .collect();
        // Names of features and attributes start with a letter, so they differ from these.
        let mut fields = vec![
            Field::new(ID, DataType::Utf8, false),
            Field::new("_shard", DataType::UInt32, false),
            Field::new("_life", moment(), false),
            Field::new("_sequence", DataType::UInt32, false),
            Field::new("_at", moment(), false),
        ];
        fields.extend(features.iter().map(|(column, cells)| Field::new(&column.name, cells.data_type(), true)));
        Ok(Self {
            file: ParquetFile::create(folder, "customers.parquet", fields)?,
            ids: StringBuilder::new(),
            shards: UInt32Builder::new(),
            lives: times(),
            sequences: UInt32Builder::new(),
            read_at: times(),
            features,
        })
    }

    /// Adds a customer with its features at a time that is not before any of its events.
    pub fn add(&mut self, shard: u32, customer: &Customer<'_>, at: Millis) -> anyhow::Result<()> {
        let row = customer.row();
        self.ids.append_value(customer.id());
        self.shards.append_value(shard);
        self.lives.append_value(row.life);
        self.sequences.append_value(row.sequence);
        self.read_at.append_value(at);
        for (column, cells) in &mut self.features {
            cells.add(column.call.read(customer, at));
        }
        if self.ids.len() >= ROWS_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.shards.finish()),
            Arc::new(self.lives.finish()),
            Arc::new(self.sequences.finish()),
            Arc::new(self.read_at.finish()),
        ];
        columns.extend(self.features.iter_mut().map(|(_, cells)| cells.finish()));
        self.file.write(columns)
    }

    /// Writes the remaining rows. Returns the number of customers.
    pub fn finish(mut self) -> anyhow::Result<u64> {
        self.flush()?;
        let rows = self.file.rows;
        self.file.finish()?;
        Ok(rows)
    }
}

pub fn times() -> TimestampMillisecondBuilder {
    TimestampMillisecondBuilder::new().with_data_type(moment())
}

impl Cells {
    fn new(unit: Unit, decimals: u32) -> Self {
        match unit {
            Unit::Count => Self::Whole(Int64Builder::new()),
            Unit::Money => {
                let decimals = decimals as u8;
                let amounts = Decimal128Builder::new().with_precision_and_scale(MONEY_DIGITS, decimals as i8);
                Self::Money(amounts.expect("currencies have few decimals"), decimals)
            }
            Unit::Days | Unit::Minutes | Unit::Number | Unit::Ratio => Self::Double(Float64Builder::new()),
            Unit::Text => Self::Text(StringBuilder::new()),
            Unit::Boolean => Self::Boolean(BooleanBuilder::new()),
            Unit::Time => Self::Time(times()),
            Unit::Texts => Self::Texts(ListBuilder::new(StringBuilder::new())),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Whole(_) => DataType::Int64,
            Self::Money(_, decimals) => DataType::Decimal128(MONEY_DIGITS, *decimals as i8),
            Self::Double(_) => DataType::Float64,
            Self::Text(_) => DataType::Utf8,
            Self::Boolean(_) => DataType::Boolean,
            Self::Time(_) => moment(),
            Self::Texts(_) => DataType::new_list(DataType::Utf8, true),
        }
    }

    fn add(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Whole(cells), Value::Integer(number)) => cells.append_value(number),
            (Self::Money(cells, _), Value::Money(minor, _)) => cells.append_value(i128::from(minor)),
            (Self::Double(cells), Value::Double(number)) => cells.append_value(number),
            (Self::Text(cells), Value::Text(text)) => cells.append_value(text),
            (Self::Boolean(cells), Value::Boolean(boolean)) => cells.append_value(boolean),
            (Self::Time(cells), Value::Time(moment)) => cells.append_value(moment),
            (Self::Texts(cells), Value::Texts(set)) => cells.append_value(split_set(set).map(Some)),
            (cells, Value::Null) => cells.add_null(),
            (_, value) => unreachable!("{value:?} does not have the unit of its feature"),
        }
    }

    fn add_null(&mut self) {
        match self {
            Self::Whole(cells) => cells.append_null(),
            Self::Money(cells, _) => cells.append_null(),
            Self::Double(cells) => cells.append_null(),
            Self::Text(cells) => cells.append_null(),
            Self::Boolean(cells) => cells.append_null(),
            Self::Time(cells) => cells.append_null(),
            Self::Texts(cells) => cells.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Whole(cells) => Arc::new(cells.finish()),
            Self::Money(cells, _) => Arc::new(cells.finish()),
            Self::Double(cells) => Arc::new(cells.finish()),
            Self::Text(cells) => Arc::new(cells.finish()),
            Self::Boolean(cells) => Arc::new(cells.finish()),
            Self::Time(cells) => Arc::new(cells.finish()),
            Self::Texts(cells) => Arc::new(cells.finish()),
        }
    }
}
