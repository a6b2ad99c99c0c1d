//! The journal's bytes: round trips, damage, bounds.

use super::*;
use proptest::prelude::*;

fn part() -> impl Strategy<Value = StepPart> {
    (0_u16..16, 0..i64::MAX / 2, 0..i64::MAX / 2, any::<u32>(), any::<u64>())
        .prop_map(|(topic, from, length, records, hash)| StepPart { topic, from, to: from + length, records, hash })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (any::<i64>(), prop::collection::vec(part(), 0..=TOPICS_MAX))
            .prop_map(|(now, parts)| Operation::Step { now, parts }),
        any::<i64>().prop_map(Operation::Tick),
        (0..i64::MAX).prop_map(Operation::Control),
        (any::<i64>(), any::<u32>()).prop_map(|(now, customers)| Operation::Sweep { now, customers }),
        any::<u32>().prop_map(Operation::Fire),
        (any::<u16>(), 0..i64::MAX).prop_map(|(topic, offset)| Operation::Skip { topic, offset }),
        any::<i64>().prop_map(Operation::Census),
        any::<u64>().prop_map(Operation::Seed),
        any::<u64>().prop_map(Operation::Rebuild),
    ]
}

fn encode(operations: &[Operation], positions: &[i64]) -> Vec<u8> {
    let mut encoder = Operations::default();
    operations.iter().for_each(|operation| encoder.push(operation));
    encoder.record(&Frame {
        shard: 3,
        transaction: 700,
        transactional_id: "shoal-a-0",
        outputs_before: 41,
        outputs: 2,
        digest: 0xfeed_beef_0000_0001,
        positions,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        operations in prop::collection::vec(operation(), 0..40),
        positions in prop::collection::vec(0..i64::MAX, 0..TOPICS_MAX),
    ) {
        let record = JournalRecord::read(&encode(&operations, &positions)).unwrap();
        prop_assert_eq!(record.operations, operations);
        prop_assert_eq!(record.positions, positions);
        prop_assert_eq!((record.shard, record.transaction, record.digest), (3, 700, 0xfeed_beef_0000_0001));
        prop_assert_eq!((record.outputs_before, record.outputs), (41, 2));
        prop_assert_eq!(record.transactional_id, "shoal-a-0");
    }

    #[test]
    fn damage_is_noticed(operations in prop::collection::vec(operation(), 1..9), index: prop::sample::Index, bit in 0_u32..8) {
        let mut bytes = encode(&operations, &[9]);
        let index = index.index(bytes.len());
        bytes[index] ^= 1_u8 << bit;
        prop_assert_eq!(JournalRecord::read(&bytes), Err(Unreadable::Checksum));
        prop_assert_eq!(JournalRecord::read(&bytes[..index]), Err(Unreadable::Checksum));
    }

    #[test]
    fn a_full_record_stays_within_its_bound(operations in prop::collection::vec(operation(), 200..400)) {
        let mut encoder = Operations::default();
        for operation in operations.iter().cycle().take(100_000) {
            if encoder.is_full() {
                break;
            }
            encoder.push(operation);
        }
        let frame = Frame {
            shard: u32::MAX,
            transaction: u64::MAX,
            transactional_id: &"i".repeat(249),
            outputs_before: u64::MAX,
            outputs: u64::MAX,
            digest: 0,
            positions: &[i64::MAX; TOPICS_MAX],
        };
        prop_assert!(encoder.is_full());
        prop_assert!(encoder.record(&frame).len() <= RECORD_BYTES_MAX);
    }
}

#[test]
fn a_typical_step_is_short() {
    let step = |now, from| Operation::Step {
        now,
        parts: vec![StepPart { topic: 0, from, to: from + 1_000, records: 1_000, hash: 7 }],
    };
    let one = encode(&[step(1_763_806_251_001, 5_000_000)], &[5_001_000]).len();
    let two = encode(&[step(1_763_806_251_001, 5_000_000), step(1_763_806_251_013, 5_001_000)], &[5_002_000]).len();
    assert_eq!(two - one, 20);
}

#[test]
fn an_unknown_version_is_named() {
    let with = |index: usize, value: u8| {
        let mut bytes = encode(&[], &[]);
        bytes[index] = value;
        let end = bytes.len() - 8;
        let checksum = xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        JournalRecord::read(&bytes)
    };
    assert_eq!(with(0, 2), Err(Unreadable::Format(2)));
    assert_eq!(with(1, 9), Err(Unreadable::Semantics(9)));
    assert_eq!(with(1, 3), Err(Unreadable::Semantics(3)));
    assert_eq!(with(1, 4).unwrap().semantics, 4);
}

#[test]
fn the_step_hash_sees_offsets_and_lengths() {
    type Bytes = Option<&'static [u8]>;
    let hash = |records: &[(i64, Bytes, Bytes)]| {
        let mut hash = StepHash::default();
        records.iter().for_each(|&(offset, key, value)| hash.add(offset, key, value));
        hash.value()
    };
    let base = hash(&[(1, Some(b"k"), Some(b"v")), (2, None, Some(b"v"))]);
    assert_ne!(base, hash(&[(1, Some(b"k"), Some(b"v")), (3, None, Some(b"v"))]));
    assert_ne!(base, hash(&[(1, Some(b"k"), Some(b"vv")), (2, None, Some(b"v"))]));
    assert_ne!(base, hash(&[(1, Some(b"k"), Some(b"v")), (2, Some(b""), Some(b"v"))]));
    assert_ne!(base, hash(&[(1, Some(b"k"), Some(b"v")), (2, None, None)]));
    assert_ne!(base, hash(&[(1, Some(b"k"), Some(b"v"))]));
}
