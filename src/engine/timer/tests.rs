//! The wheel: examples, and random steps against an ordered set of deadlines.

use super::*;
use crate::engine::event::{DAY, HOUR};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::collections::BTreeSet;

const NOW: Millis = 1_763_806_251_000;

/// The owner of a wheel without rounded entries is never asked for a deadline.
fn not_asked(_: u32) -> Millis {
    unreachable!("no entry was rounded")
}

fn drain(wheel: &mut Wheel, until: Millis, armed: impl Fn(u32) -> Millis) -> Vec<(u32, Millis)> {
    let mut due = Vec::new();
    wheel.advance(until, usize::MAX, armed, &mut due);
    due
}

#[test]
fn an_entry_comes_due_at_its_millisecond() {
    for ahead in [0, 1, 63, 64, 65, HOUR, DAY, 60 * DAY, 400 * DAY, 50_000 * DAY] {
        let mut wheel = Wheel::new(NOW, NOW);
        wheel.insert(7, NOW + ahead);
        assert_eq!(drain(&mut wheel, NOW + ahead - 1, |_| NOW + ahead), [], "{ahead}");
        assert_eq!(drain(&mut wheel, NOW + ahead, |_| NOW + ahead), [(7, NOW + ahead)], "{ahead}");
        assert!(wheel.is_empty());
    }
}

#[test]
fn entries_behind_the_position_come_due_at_once_and_in_order() {
    let mut wheel = Wheel::new(0, NOW);
    for (row, at) in [(1, NOW), (2, -5), (0, NOW), (3, NOW - 1), (4, NOW + 1)] {
        wheel.insert(row, at);
    }
    assert_eq!(wheel.next_due(), Some(-5));
    assert_eq!(drain(&mut wheel, NOW, not_asked), [(2, -5), (3, NOW - 1), (0, NOW), (1, NOW)]);
}

#[test]
fn an_entry_inserted_into_a_started_millisecond_keeps_the_order() {
    let mut wheel = Wheel::new(NOW, NOW);
    [9, 5, 7].into_iter().for_each(|row| wheel.insert(row, NOW + 3));
    let mut due = Vec::new();
    wheel.advance(NOW + 3, 1, not_asked, &mut due);
    wheel.insert(6, NOW + 3);
    wheel.advance(NOW + 3, 9, not_asked, &mut due);
    assert_eq!(due.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [5, 6, 7, 9]);
}

#[test]
fn nothing_comes_due_before_the_first_watermark() {
    let mut wheel = Wheel::new(0, Millis::MIN);
    wheel.insert(1, NOW);
    assert_eq!(drain(&mut wheel, Millis::MIN, |_| NOW), []);
    assert_eq!(wheel.len(), 1);
    wheel.insert(2, Millis::MAX - 1);
    assert_eq!(drain(&mut wheel, Millis::MAX, |_| NOW), [(1, NOW)]);
}

#[test]
fn a_million_entries_of_one_second_come_due_in_slices() {
    let mut wheel = Wheel::new(NOW, NOW);
    for row in 0..1_000_000 {
        wheel.insert(row, NOW + 60 * DAY + Millis::from(row % 1_000));
    }
    assert!(wheel.bytes() < 20_000_000, "{} bytes", wheel.bytes());
    let mut due = Vec::new();
    while due.len() < 1_000_000 {
        let before = due.len();
        wheel.advance(NOW + 61 * DAY, 1_024, not_asked, &mut due);
        assert!(due.len() == 1_000_000 || due.len() == before + 1_024);
    }
    assert!(due.is_sorted_by_key(|&(row, at)| (at, row)));
    assert!(wheel.is_empty() && wheel.bytes() < 1_000_000, "{} bytes", wheel.bytes());
}

#[test]
fn far_entries_are_exact_and_stale_ones_are_dropped() {
    let mut wheel = Wheel::new(0, 0);
    let far = (1 << 47) + 1_023;
    wheel.insert(1, far);
    wheel.insert(2, far);
    let armed = |row| if row == 1 { far } else { far - 5_000 };
    assert_eq!(drain(&mut wheel, far - 1, armed), []);
    assert_eq!(drain(&mut wheel, far, armed), [(1, far)]);
    assert!(wheel.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Insert { ahead: Millis },
    Advance { by: Millis, limit: usize },
}

/// Steps with distances of all magnitudes up to `2^bits` ms, many of them at the edges of slots.
fn steps(bits: u32) -> impl Strategy<Value = Vec<Step>> {
    let distance = prop_oneof![
        -100..100_i64,
        0..5_000_i64,
        0..1_i64 << bits,
        (0..bits, -2..3_i64).prop_map(|(bits, off)| (1_i64 << bits) + off)
    ];
    let step = prop_oneof![
        3 => distance.clone().prop_map(|ahead| Step::Insert { ahead }),
        2 => (distance, 0..20_usize).prop_map(|(by, limit)| Step::Advance { by, limit }),
    ];
    prop::collection::vec(step, 1..400)
}

/// Compares with an ordered set: the same entries at the same advances, in order of moment and row. Now and then the
/// wheel is rebuilt from the armed deadlines, which must change nothing.
fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut wheel, mut watermark) = (Wheel::new(NOW - 5, NOW - 5), NOW);
    let (mut deadlines, mut naive) = (Vec::new(), BTreeSet::new());
    for (nth, step) in steps.into_iter().enumerate() {
        match step {
            Step::Insert { ahead } => {
                let row = deadlines.len() as u32;
                deadlines.push(watermark + ahead);
                wheel.insert(row, watermark + ahead);
                naive.insert((watermark + ahead, row));
            }
            Step::Advance { by, limit } => {
                watermark += by.max(0);
                let mut due = Vec::new();
                wheel.advance(watermark, limit, |row| deadlines[row as usize], &mut due);
                let expected: Vec<(u32, Millis)> = naive.iter().map(|&(at, row)| (row, at)).collect();
                let expected: Vec<_> = expected.into_iter().filter(|(_, at)| *at <= watermark).take(limit).collect();
                prop_assert_eq!(&due, &expected);
                due.iter().for_each(|&(row, at)| assert!(naive.remove(&(at, row))));
            }
        }
        if nth % 50 == 49 {
            wheel = Wheel::new(NOW - 5, watermark);
            naive.iter().for_each(|&(at, row)| wheel.insert(row, at));
        }
        let first = naive.first().map(|(at, _)| *at);
        prop_assert!(wheel.next_due() <= first, "a lower bound");
        prop_assert_eq!(wheel.next_due().is_some(), first.is_some());
        prop_assert_eq!(wheel.len(), naive.len());
    }
    Ok(())
}

fn agrees_with_an_ordered_set(bits: u32) {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(Config::default().rng_algorithm, &bytes);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new_with_rng(config, rng).run(&steps(bits), agree);
    result.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
}

#[test]
fn agrees_with_an_ordered_set_within_days() {
    agrees_with_an_ordered_set(27);
}

#[test]
fn agrees_with_an_ordered_set_over_centuries() {
    agrees_with_an_ordered_set(38);
}
