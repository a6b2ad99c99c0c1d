//! The partition of a key, as Kafka's clients compute it.

/// How the producers of the input topics choose the partition of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// The Java client's default: murmur2 of the key without its sign bit, modulo the partitions.
    Murmur2,
    /// `consistent` of librdkafka: CRC-32 of the key, modulo the partitions.
    Crc32,
    /// Unknown and not checked. Records that Shoal itself produces are partitioned as with `Murmur2`.
    Any,
}

impl Partitioner {
    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "crc32",
            Self::Any => "any",
        }
    }
}

/// The partition of a key in a topic with `partitions` of them.
pub fn partition_of(partitioner: Partitioner, key: &[u8], partitions: u32) -> u32 {
    let hash = match partitioner {
        Partitioner::Murmur2 | Partitioner::Any => murmur2(key) & 0x7FFF_FFFF,
        Partitioner::Crc32 => crc32(key),
    };
    hash % partitions
}

/// Murmur2 as in Kafka's clients: 32 bits, seed 0x9747b28c.
fn murmur2(key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5BD1_E995;
    let mut hash = 0x9747_B28C ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

fn crc32(key: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(key);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_the_one_of_the_java_client() {
        // Values of the Java client's own test.
        for (key, hash) in [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn crc32_is_the_usual_one() {
        assert_eq!(partition_of(Partitioner::Crc32, b"123456789", u32::MAX), 0xCBF4_3926);
        assert_eq!(partition_of(Partitioner::Crc32, b"123456789", 8), 0xCBF4_3926 % 8);
    }

    #[test]
    fn murmur2_drops_the_sign() {
        assert_eq!(partition_of(Partitioner::Murmur2, b"foobar", 10), (-790332482_i32 as u32 & 0x7FFF_FFFF) % 10);
        assert_eq!(partition_of(Partitioner::Any, b"foobar", 10), partition_of(Partitioner::Murmur2, b"foobar", 10));
    }
}
