//! A Parquet file that is written batch by batch, for the tables of an export.

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows per row group; a row group is in memory until it is full.
const GROUP_ROWS: usize = 131_072;

/// The type of times, in UTC.
pub fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub struct ParquetFile {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    pub rows: u64,
}

impl ParquetFile {
    pub fn create(folder: &Path, name: &str, fields: Vec<Field>) -> anyhow::Result<Self> {
        let path = folder.join(name);
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let open = || -> anyhow::Result<ArrowWriter<File>> {
            Ok(ArrowWriter::try_new(File::create(&path)?, schema.clone(), Some(properties))?)
        };
        let writer = open().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, schema, writer, rows: 0 })
    }

    /// Writes a batch of columns of equal length.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> anyhow::Result<()> {
        let batch =
            RecordBatch::try_new(self.schema.clone(), columns).context("the columns do not match their schema")?;
        self.rows += batch.num_rows() as u64;
        self.writer.write(&batch).with_context(|| format!("cannot write {}", self.path.display()))
    }

    pub fn finish(self) -> anyhow::Result<()> {
        self.writer.close().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(())
    }
}
