//! How much a worker's client may buffer, from one number of bytes for all partitions that it may get.

/// What the client needs for a message besides its bytes.
const MESSAGE_BYTES: u64 = 512;
/// With fewer messages at hand the client would be asked too often.
const MESSAGES_MIN: u64 = 64;
/// More do not make it faster.
const MESSAGES_MAX: u64 = 20_000;
const FETCH_BYTES_MIN: u64 = 64 << 10;
const FETCH_BYTES_MAX: u64 = 1 << 20;
const QUEUED_BYTES_MAX: u64 = 16 << 20;
const ANSWER_BYTES_MIN: u64 = 1 << 20;
const ANSWER_BYTES_MAX: u64 = 50 << 20;

/// The client's limits. Of what a partition may take, a quarter is for queued bytes, half for what queued messages need
/// besides, and a quarter for records that the worker has taken and not yet applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimits {
    /// Of a partition's queue: below this number of messages, and of bytes, the client fetches more.
    pub queued_messages: u64,
    pub queued_bytes: u64,
    /// Bytes of one partition in one answer, and of the whole answer.
    pub fetch_bytes: u64,
    pub answer_bytes: u64,
    /// Bytes that the worker takes from one partition before it applies them.
    pub taken_bytes: u64,
}

impl BufferLimits {
    pub fn of(buffer_bytes: u64, partitions: u64) -> Self {
        let each = buffer_bytes / partitions.max(1);
        Self {
            queued_messages: (each / 2 / MESSAGE_BYTES).clamp(MESSAGES_MIN, MESSAGES_MAX),
            queued_bytes: (each / 4).clamp(FETCH_BYTES_MIN, QUEUED_BYTES_MAX),
            fetch_bytes: (each / 4).clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX),
            answer_bytes: (buffer_bytes / 4).clamp(ANSWER_BYTES_MIN, ANSWER_BYTES_MAX),
            taken_bytes: (each / 4).max(FETCH_BYTES_MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_partitions_share_what_one_has() {
        let one = BufferLimits::of(128 << 20, 1);
        assert_eq!((one.queued_messages, one.queued_bytes, one.fetch_bytes), (20_000, 16 << 20, 1 << 20));
        for partitions in [8_u64, 64, 256] {
            let limits = BufferLimits::of(128 << 20, partitions);
            let each = limits.queued_bytes + limits.queued_messages * MESSAGE_BYTES + limits.taken_bytes;
            assert!(each * partitions <= 128 << 20, "{partitions}: {limits:?}");
        }
        let least = BufferLimits::of(0, 1_000);
        assert_eq!((least.queued_messages, least.queued_bytes, least.fetch_bytes), (64, 64 << 10, 64 << 10));
    }
}
