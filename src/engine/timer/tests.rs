//! The wheel by examples, and against an ordered set of deadlines.

use super::*;
use crate::engine::event::{DAY, HOUR};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::collections::BTreeSet;

const NOW: Millis = 1_763_806_251_000;

fn drain(wheel: &mut Wheel, until: Millis) -> Vec<(u32, Millis)> {
    let mut due = Vec::new();
    while wheel.next_due().is_some_and(|next| next <= until) {
        assert!(wheel.advance(until, 1_000, &mut due) > 0, "an advance makes progress");
    }
    wheel.advance(until, 1, &mut due);
    due
}

#[test]
fn comes_at_its_millisecond() {
    for ahead in [0, 1, 63, 64, 65, HOUR, DAY, 60 * DAY, 400 * DAY, 50_000 * DAY] {
        let mut wheel = Wheel::new(NOW);
        wheel.insert(7, NOW + ahead);
        assert_eq!(drain(&mut wheel, NOW + ahead - 1), [], "{ahead}");
        assert_eq!(drain(&mut wheel, NOW + ahead), [(7, NOW + ahead)], "{ahead}");
        assert!(wheel.is_empty());
    }
}

#[test]
fn what_is_behind_comes_at_once_and_in_order() {
    let mut wheel = Wheel::new(0);
    wheel.advance(NOW, 10, &mut Vec::new());
    for (row, at) in [(1, NOW), (2, -5), (3, NOW - 1), (4, NOW + 1)] {
        wheel.insert(row, at);
    }
    assert_eq!(wheel.next_due(), Some(-5));
    assert_eq!(drain(&mut wheel, NOW), [(2, -5), (3, NOW - 1), (1, NOW)]);
}

#[test]
fn before_the_first_watermark_nothing_happens() {
    let mut wheel = Wheel::new(0);
    wheel.insert(1, NOW);
    let mut due = Vec::new();
    assert_eq!(wheel.advance(Millis::MIN, 10, &mut due), 0);
    assert_eq!((due.len(), wheel.len()), (0, 1));
    wheel.insert(2, Millis::MAX - 1);
    let due = drain(&mut wheel, Millis::MAX);
    assert!(due.len() == 1 && due[0].0 == 1, "{due:?}");
}

#[test]
fn a_million_in_one_second_come_in_slices() {
    let mut wheel = Wheel::new(NOW);
    for row in 0..1_000_000 {
        wheel.insert(row, NOW + 60 * DAY + Millis::from(row % 1_000));
    }
    assert!(wheel.bytes() < 20_000_000, "{} bytes", wheel.bytes());
    let mut due = Vec::new();
    while due.len() < 1_000_000 {
        let handled = wheel.advance(NOW + 61 * DAY, 1_024, &mut due);
        assert!((1..=1_024).contains(&handled));
    }
    assert!(due.is_sorted_by_key(|(_, at)| *at));
    assert!(wheel.is_empty() && wheel.bytes() < 1_000_000, "{} bytes", wheel.bytes());
}

#[test]
fn far_moments_come_early_by_less_than_the_rounding() {
    let mut wheel = Wheel::new(0);
    let far = (1 << 47) + 1_023;
    wheel.insert(1, far);
    let due = drain(&mut wheel, far);
    assert!(due[0].1 <= far && far - due[0].1 < Wheel::ROUNDING_MAX, "{due:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Insert { ahead: Millis },
    Advance { by: Millis, budget: usize },
}

/// Distances of all magnitudes up to `2^bits` ms, many at the edges of slots.
fn steps(bits: u32) -> impl Strategy<Value = Vec<Step>> {
    let distance = prop_oneof![
        -100..100_i64,
        0..5_000_i64,
        0..1_i64 << bits,
        (0..bits, -2..3_i64).prop_map(|(bits, off)| (1_i64 << bits) + off)
    ];
    let step = prop_oneof![
        3 => distance.clone().prop_map(|ahead| Step::Insert { ahead }),
        2 => (distance, 0..20_usize).prop_map(|(by, budget)| Step::Advance { by, budget }),
    ];
    prop::collection::vec(step, 1..400)
}

/// Against an ordered set: the same entries at the same advances, in order of time, early by less than `rounding`.
/// Like the wheel's owner, it inserts again what came early.
fn agree(steps: Vec<Step>, rounding: Millis) -> Result<(), TestCaseError> {
    let (mut wheel, mut watermark) = (Wheel::new(NOW - 5), NOW);
    let (mut deadlines, mut naive) = (Vec::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::Insert { ahead } => {
                let row = deadlines.len() as u32;
                deadlines.push(watermark + ahead);
                wheel.insert(row, watermark + ahead);
                naive.insert((watermark + ahead, row));
            }
            Step::Advance { by, budget } => {
                watermark += by.max(0);
                let mut due = Vec::new();
                let handled = wheel.advance(watermark, budget, &mut due);
                prop_assert!(due.len() <= handled && handled <= budget);
                prop_assert!(due.is_sorted_by_key(|(_, at)| *at), "in order of time");
                for (row, at) in due {
                    let exact = deadlines[row as usize];
                    prop_assert!(at <= exact && exact - at < rounding, "{} came at {}", exact, at);
                    let earlier = naive.first().map_or(exact, |(at, _)| *at);
                    prop_assert!(exact - earlier < rounding, "{} came before {}", exact, earlier);
                    if exact <= watermark {
                        naive.remove(&(exact, row));
                    } else {
                        wheel.insert(row, exact);
                    }
                }
                let all_came = naive.first().is_none_or(|(at, _)| *at > watermark);
                prop_assert!(handled == budget || all_came, "nothing due stays");
            }
        }
        let first = naive.first().map(|(at, _)| *at);
        prop_assert!(wheel.next_due() <= first, "a lower bound");
        prop_assert_eq!(wheel.next_due().is_some(), first.is_some());
        prop_assert_eq!(wheel.len(), naive.len());
    }
    Ok(())
}

fn agrees_with_an_ordered_set(bits: u32, rounding: Millis) {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(Config::default().rng_algorithm, &bytes);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new_with_rng(config, rng).run(&steps(bits), |steps| agree(steps, rounding));
    result.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
}

#[test]
fn agrees_with_an_ordered_set_to_the_millisecond() {
    // 400 steps stay below the 2^36 ms from which on moments are rounded.
    agrees_with_an_ordered_set(27, 1);
}

#[test]
fn agrees_with_an_ordered_set_over_centuries() {
    agrees_with_an_ordered_set(38, Wheel::ROUNDING_MAX);
}
