//! Between a shard's state and the bytes of Arrow IPC files that any Arrow library can read.
//!
//! A file holds one record batch, so that its dictionaries are its own and it is written by one request. Its checksum
//! stands in the manifest and is compared before anything here sees the bytes.

mod decode;
mod encode;
mod entries;
mod lists;
mod older;
mod rows;
pub mod schema;
mod shared;
mod words;

pub use decode::Customers;
pub use encode::{CUSTOMERS_MAX, CustomersBuilder, Texts};
pub use schema::Kind;
pub use shared::{Hours, IdsBuilder, MarksBuilder, read_marks};
pub(super) use words::tidy_batch;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{convert::try_fb_to_schema, root_as_footer};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes at the end of a file: the length of the footer, and the magic word.
const TRAILER: usize = 10;

/// The bytes of a file.
pub fn write(batch: &RecordBatch) -> Result<Bytes, String> {
    let written = || {
        let mut bytes = Vec::with_capacity(batch.get_array_memory_size() + 16 * 1024);
        let mut writer = FileWriter::try_new(&mut bytes, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
        drop(writer);
        Ok(bytes)
    };
    written().map(Bytes::from).map_err(|error: ArrowError| format!("cannot write an Arrow file: {error}"))
}

/// The one batch of a file of a kind. The arrays lie in the bytes, which are not copied.
pub fn read(kind: Kind, bytes: Bytes) -> Result<RecordBatch, String> {
    let wrong = |error: ArrowError| format!("not a readable Arrow file: {error}");
    let short = || "not a readable Arrow file: it is too short".to_owned();
    let buffer = Buffer::from(bytes);
    let end = buffer.len().checked_sub(TRAILER).ok_or_else(short)?;
    let trailer = buffer[end..].try_into().expect("ten bytes");
    let start = end.checked_sub(read_footer_length(trailer).map_err(wrong)?).ok_or_else(short)?;
    let footer = root_as_footer(&buffer[start..end]).map_err(|error| format!("not a readable Arrow file: {error}"))?;
    let schema = footer.schema().ok_or("not a readable Arrow file: it has no schema")?;
    let found = try_fb_to_schema(schema).map_err(wrong)?;
    let is_older = kind == Kind::Customers && found.fields() == older::customers_of_format_1().fields();
    if found.fields() != kind.schema().fields() && !is_older {
        return Err(format!("expected the columns of {} in format {}, found others", kind.name(), schema::FORMAT));
    }
    // The file's own: it knows the dictionaries by their numbers.
    let mut decoder = FileDecoder::new(Arc::new(found), footer.version());
    let block = |block: &arrow::ipc::Block| {
        let place = usize::try_from(block.offset()).ok()?;
        let length = usize::try_from(block.bodyLength()).ok()? + usize::try_from(block.metaDataLength()).ok()?;
        (place.checked_add(length)? <= buffer.len()).then(|| buffer.slice_with_length(place, length))
    };
    for dictionary in footer.dictionaries().iter().flatten() {
        let data = block(dictionary).ok_or_else(short)?;
        decoder.read_dictionary(dictionary, &data).map_err(wrong)?;
    }
    let batches = footer.recordBatches().into_iter().flatten().collect::<Vec<_>>();
    let [batch] = batches[..] else { return Err(format!("expected one batch in the file, found {}", batches.len())) };
    let data = block(batch).ok_or_else(short)?;
    let batch = decoder.read_record_batch(batch, &data).map_err(wrong)?;
    let batch = batch.ok_or_else(|| "the file's batch is none".to_owned())?;
    if is_older { older::from_format_1(&batch).map_err(wrong) } else { Ok(batch) }
}
