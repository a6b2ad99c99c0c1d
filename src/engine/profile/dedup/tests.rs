//! The memory of event ids by examples, and against a map of ids to hours.

use super::*;
use std::collections::BTreeMap;

fn id(n: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
}

#[test]
fn remembered_until_past_the_horizon() {
    let mut memory = DuplicateMemory::new(24, 100);
    memory.insert(id(1), 1_000);
    memory.insert(0, 1_000);
    memory.expire(1_024);
    assert!(memory.contains(id(1)) && memory.contains(0) && !memory.contains(id(2)));
    memory.expire(1_025);
    assert!(!memory.contains(id(1)) && !memory.contains(0));
    assert_eq!((memory.len(), memory.lost(), memory.horizon_held()), (0, 0, 24));
}

#[test]
fn at_the_bound_the_whole_oldest_hour_is_removed() {
    let mut memory = DuplicateMemory::new(24, 4);
    for (n, hour) in [(1, 10), (2, 10), (3, 11), (4, 12), (5, 12)] {
        memory.insert(id(n), hour);
    }
    assert_eq!([1, 2, 3, 4, 5].map(|n| memory.contains(id(n))), [false, false, true, true, true]);
    assert_eq!((memory.len(), memory.lost(), memory.horizon_held()), (3, 2, 1));
    memory.expire(30);
    assert_eq!(memory.horizon_held(), 19);
}

#[test]
fn an_id_accepted_again_counts_from_the_later_hour() {
    let mut memory = DuplicateMemory::new(2, 100);
    memory.insert(id(1), 10);
    memory.insert(id(1), 12);
    memory.expire(13);
    memory.insert(id(2), 13);
    assert!(memory.contains(id(1)));
    memory.expire(15);
    assert!(!memory.contains(id(1)));
}

#[test]
fn numbers_of_batches_come_again() {
    let mut memory = DuplicateMemory::new(24, 2);
    for n in 0..200_000 {
        assert!(!memory.contains(id(n)), "id {n} is new");
        memory.insert(id(n), n as i64);
        assert!(memory.contains(id(n)) && (n < 2 || !memory.contains(id(n - 2))), "after id {n}");
    }
}

#[test]
fn memory_per_id() {
    let mut memory = DuplicateMemory::new(24, 1_000_000);
    for n in 0..500_000 {
        memory.insert(id(n), (n / 20_000) as i64);
    }
    let per_id = memory.bytes() as f64 / memory.len() as f64;
    assert!((18.0..36.0).contains(&per_id), "{per_id} bytes");
}

/// Ids with their hours, by the letter of the rule.
struct Naive {
    horizon: i64,
    max_ids: usize,
    ids: BTreeMap<u64, i64>,
    lost: u64,
}

impl Naive {
    fn insert(&mut self, id: u64, hour: i64) {
        while !self.ids.is_empty() && self.ids.len() >= self.max_ids {
            let oldest = *self.ids.values().min().unwrap();
            let before = self.ids.len();
            self.ids.retain(|_, hour| *hour != oldest);
            self.lost += (before - self.ids.len()) as u64;
        }
        self.ids.insert(id, hour);
    }

    fn expire(&mut self, watermark_hour: i64) {
        self.ids.retain(|_, hour| watermark_hour <= *hour + self.horizon);
    }
}

/// Few distinct home slots, so that probes run long and wrap round the end of the table.
fn crowded(random: u64) -> u64 {
    let top = [0, 0xFFFF_FFFF_FFFF_F000, 0x8000_0000_0000_0000][(random % 3) as usize];
    top + (random >> 8) % 300
}

#[test]
fn agrees_with_a_map() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    for round in 0..40 {
        let mut state = seed.wrapping_add(round << 32);
        let mut random = move || {
            state = state.wrapping_add(1);
            id(state)
        };
        let (horizon, max_ids) = (random() % 5, 1 + random() % 600);
        let mut memory = DuplicateMemory::new(horizon as u32, max_ids as u32);
        let mut naive = Naive { horizon: horizon as i64, max_ids: max_ids as usize, ids: BTreeMap::new(), lost: 0 };
        let mut hour = -3;
        for _ in 0..3_000 {
            let id = if round % 2 == 0 { crowded(random()) } else { id(random() % 2_000) };
            assert_eq!(memory.contains(id), naive.ids.contains_key(&stored(id)), "seed {seed} round {round}");
            if !memory.contains(id) {
                memory.insert(id, hour);
                naive.insert(stored(id), hour);
            }
            if random() % 100 == 0 {
                hour += (random() % 4) as i64;
                memory.expire(hour);
                naive.expire(hour);
            }
            assert_eq!((memory.len(), memory.lost()), (naive.ids.len(), naive.lost), "seed {seed} round {round}");
        }
    }
}
