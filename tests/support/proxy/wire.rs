//! As much of Kafka's protocol as the proxy has to know: where a request ends, of what kind it is, and who sends it.

use std::io::{self, Read};

/// No request of a client is longer.
const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Kinds of requests as Kafka's protocol numbers them.
pub const PRODUCE: i16 = 0;
pub const ADD_PARTITIONS: i16 = 24;
pub const END_TRANSACTION: i16 = 26;
/// All that a transaction sends.
pub const OF_TRANSACTIONS: &[i16] = &[PRODUCE, ADD_PARTITIONS, 25, END_TRANSACTION, 28];

/// One request: its length in four bytes, followed by that many bytes.
pub fn read_frame(input: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(io::Error::other("not a request of Kafka's"));
    }
    frame.clear();
    frame.extend_from_slice(&length);
    frame.resize(4 + bytes, 0);
    input.read_exact(&mut frame[4..])
}

/// Behind length, kind, version and number: two bytes of length, and the text.
pub fn client_id(frame: &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
    let text = frame.get(14..14 + usize::from(length))?;
    Some(String::from_utf8_lossy(text).into_owned())
}
