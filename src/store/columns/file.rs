//! The bytes of a file: Arrow IPC with one record batch.
//!
//! One batch per file, so that its dictionaries are its own and the file is written by one request. The manifest has
//! the checksum of each file; it is compared before any function of this module sees the bytes.

use super::formats::{complete, fields_in, format_of};
use super::kind::{FORMAT, FileKind};
use super::{customers, ids, marks};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{convert::try_fb_to_schema, root_as_footer};
use bytes::Bytes;
use std::sync::Arc;

/// Bytes at the end of a file: the length of the footer and the magic string.
const TRAILER: usize = 10;

/// The columns of a kind of file in the present format.
pub(super) fn schema(kind: FileKind) -> SchemaRef {
    match kind {
        FileKind::Customers => customers::schema(),
        FileKind::Ids => ids::schema(),
        FileKind::Marks => marks::schema(),
    }
}

/// The bytes of a file with this batch.
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

/// The batch of a file of this kind, with the columns of the present format. The arrays refer to the bytes, which are
/// not copied.
pub fn read(kind: FileKind, bytes: Bytes) -> Result<RecordBatch, String> {
    let unreadable = |error: ArrowError| format!("not a readable Arrow file: {error}");
    let too_short = || "not a readable Arrow file: it is too short".to_owned();
    let buffer = Buffer::from(bytes);
    let end = buffer.len().checked_sub(TRAILER).ok_or_else(too_short)?;
    let trailer = buffer[end..].try_into().expect("ten bytes");
    let start = end.checked_sub(read_footer_length(trailer).map_err(unreadable)?).ok_or_else(too_short)?;
    let footer = root_as_footer(&buffer[start..end]).map_err(|error| format!("not a readable Arrow file: {error}"))?;
    let found = footer.schema().ok_or("not a readable Arrow file: it has no schema")?;
    let found = try_fb_to_schema(found).map_err(unreadable)?;
    let (format, expected) = (format_of(&found)?, schema(kind));
    if *found.fields() != fields_in(format, expected.fields()) {
        return Err(format!("expected the columns of {} in format {format}, found other columns", kind.name()));
    }
    // The schema of the file, not the expected one: it has the ids of the dictionaries.
    let mut decoder = FileDecoder::new(Arc::new(found), footer.version());
    let block = |block: &arrow::ipc::Block| {
        let offset = usize::try_from(block.offset()).ok()?;
        let length = usize::try_from(block.bodyLength()).ok()? + usize::try_from(block.metaDataLength()).ok()?;
        (offset.checked_add(length)? <= buffer.len()).then(|| buffer.slice_with_length(offset, length))
    };
    for dictionary in footer.dictionaries().iter().flatten() {
        let data = block(dictionary).ok_or_else(too_short)?;
        decoder.read_dictionary(dictionary, &data).map_err(unreadable)?;
    }
    let batches = footer.recordBatches().into_iter().flatten().collect::<Vec<_>>();
    let [batch] = batches[..] else {
        return Err(format!("expected one record batch in the file, found {}", batches.len()));
    };
    let data = block(batch).ok_or_else(too_short)?;
    let batch = decoder.read_record_batch(batch, &data).map_err(unreadable)?;
    let batch = batch.ok_or_else(|| "expected a record batch in the file, found none".to_owned())?;
    if format == FORMAT { Ok(batch) } else { complete(&batch, &expected).map_err(unreadable) }
}
