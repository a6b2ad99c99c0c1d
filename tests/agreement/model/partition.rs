//! The partition of a key (E1 `partition`), as common Kafka clients choose it.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Files,
    Log { partitioner: Partitioner, partitions: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Partitioner {
    Murmur2,
    Crc32,
    Any,
}

impl Source {
    /// Whether a record with this key may be in this partition.
    pub fn accepts(self, key: &[u8], partition: u32) -> bool {
        match self {
            Source::Files | Source::Log { partitioner: Partitioner::Any, .. } => true,
            Source::Log { partitioner: Partitioner::Murmur2, partitions } => {
                (murmur2(key) & 0x7fff_ffff) % partitions == partition
            }
            Source::Log { partitioner: Partitioner::Crc32, partitions } => crc32(key) % partitions == partition,
        }
    }
}

/// 32 bits of Austin Appleby's second Murmur hash, with the seed of Kafka's Java client.
fn murmur2(key: &[u8]) -> u32 {
    let m = 0x5bd1_e995_u32;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let mut rest = key;
    while rest.len() >= 4 {
        let mut word = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]).wrapping_mul(m);
        word = (word ^ (word >> 24)).wrapping_mul(m);
        hash = hash.wrapping_mul(m) ^ word;
        rest = &rest[4..];
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(m);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(m);
    hash ^ (hash >> 15)
}

/// CRC-32 bit by bit.
fn crc32(key: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in key {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn hashes_are_the_known_ones() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    // From the Java client's own test.
    assert_eq!(murmur2(b"21") as i32, -973_932_308);
    assert_eq!(murmur2(b"foobar") as i32, -790_332_482);
}
