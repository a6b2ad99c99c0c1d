//! Which partitioner the producers of a topic use. A sample of keys, the oldest and the newest of each partition, shows
//! where they were placed.
//!
//! The newest keys are judged by themselves too: after a producer was replaced, only they show what it does now.

use super::inspect::{Finding, Verdict};
use crate::kafka::client::{Logging, consumer_config, make, stop};
use crate::kafka::{Failure, KafkaSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Records of each partition, from both ends: the keys of a producer that was replaced are among the oldest.
const OLDEST: usize = 150;
const NEWEST: usize = 150;
const POLL: Duration = Duration::from_millis(100);

/// A partitioner: its name in the settings, the clients that use it, and the function from a key and the number of
/// partitions to the partition.
#[derive(Clone, Copy)]
pub struct Placement {
    pub name: &'static str,
    pub clients: &'static str,
    pub partition_of: fn(&[u8], u32) -> u32,
}

/// A partitioner that is recognised, but has no name in the settings.
const FNV1A: Placement =
    Placement { name: "fnv1a", clients: "the default of Sarama, `fnv1a_random` of librdkafka", partition_of: fnv1a };

/// FNV-1a of 32 bits, without its sign, modulo the partitions.
fn fnv1a(key: &[u8], partitions: u32) -> u32 {
    let hash = key.iter().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed().unsigned_abs() % partitions
}

/// A record of the sample.
#[derive(Clone, Debug, PartialEq)]
struct Sampled {
    partition: u32,
    offset: i64,
    /// By placement, whether it chooses this partition; `None` without a key.
    fits: Option<Vec<bool>>,
}

/// What a sample shows.
#[derive(Debug, Default, PartialEq)]
struct Sample {
    records: Vec<Sampled>,
}

/// What keys show: their number, and the number of those in the partition that each placement chooses.
#[derive(Debug, Default, PartialEq)]
struct Keys {
    count: usize,
    fitting: Vec<usize>,
    /// Keys in a partition that no placement chooses.
    strange: usize,
}

impl Sample {
    fn add(&mut self, placements: &[Placement], key: Option<&[u8]>, (partition, offset): (u32, i64), partitions: u32) {
        let fits = |key: &[u8]| -> Vec<bool> {
            placements.iter().map(|placement| (placement.partition_of)(key, partitions) == partition).collect()
        };
        self.records.push(Sampled { partition, offset, fits: key.map(fits) });
    }

    fn without_key(&self) -> usize {
        self.records.iter().filter(|record| record.fits.is_none()).count()
    }

    fn keys(&self) -> Keys {
        Keys::of(self.records.iter())
    }

    /// The newer half of the keys of each partition.
    fn newest_keys(&self) -> Keys {
        let mut sorted: Vec<&Sampled> = self.records.iter().filter(|record| record.fits.is_some()).collect();
        sorted.sort_unstable_by_key(|record| (record.partition, record.offset));
        let partitions = sorted.chunk_by(|a, b| a.partition == b.partition);
        Keys::of(partitions.flat_map(|records| &records[records.len() / 2..]).copied())
    }
}

impl Keys {
    fn of<'a>(records: impl Iterator<Item = &'a Sampled>) -> Self {
        let mut keys = Self::default();
        for fits in records.filter_map(|record| record.fits.as_ref()) {
            keys.count += 1;
            keys.fitting.resize(fits.len(), 0);
            keys.fitting.iter_mut().zip(fits).for_each(|(fitting, fits)| *fitting += usize::from(*fits));
            keys.strange += usize::from(!fits.contains(&true));
        }
        keys
    }

    /// The placements that choose the partitions of all keys.
    fn all_fit<'a>(&self, placements: &'a [Placement]) -> Vec<&'a Placement> {
        let fitting = placements.iter().zip(&self.fitting);
        fitting.filter(|(_, fitting)| **fitting == self.count).map(|(placement, _)| placement).collect()
    }
}

/// Samples a topic, until `deadline` at the latest.
pub fn partitioner(
    settings: &KafkaSettings,
    placements: &[Placement],
    (topic, partitions): (&str, u32),
    deadline: Instant,
) -> Result<Finding, Failure> {
    let about = format!("partitioner of {topic}");
    if partitions < 2 {
        return Ok(Finding::new(about, Verdict::Ok, "one partition, so any partitioner fits"));
    }
    let mut config = consumer_config(settings);
    // librdkafka needs a group even where it is not joined. Open transactions do not matter here.
    config.set("group.id", &settings.group).set("isolation.level", "read_uncommitted");
    config.set("queued.max.messages.kbytes", "4096").set("fetch.message.max.bytes", "65536");
    let consumer = make::<BaseConsumer<Logging>>(settings, &config, Logging, "the Kafka consumer")?;
    let placements = &[placements, &[FNV1A]].concat();
    let mut sample = Sample::default();
    // The oldest and the newest records of a short partition are the same.
    let mut next = vec![0; partitions as usize];
    let mut is_whole = true;
    for (from, count) in [(Offset::Beginning, OLDEST), (Offset::OffsetTail(NEWEST as i64), NEWEST)] {
        is_whole &= read(&consumer, (topic, partitions), from, count, deadline, &mut |record| {
            let (partition, offset) = (record.partition() as u32, record.offset());
            if offset >= next[partition as usize] {
                next[partition as usize] = offset + 1;
                sample.add(placements, record.key(), (partition, offset), partitions);
            }
        })?;
    }
    if sample == Sample::default() && !is_whole {
        return Ok(Finding::new(about, Verdict::Warning, "not sampled: no record arrived in time"));
    }
    let (verdict, message) = judge(&sample, placements, &settings.partitioner);
    Ok(Finding::new(about, verdict, message))
}

/// Passes up to `count` records of each partition to `keep`. Returns false if the time was too short.
fn read(
    consumer: &BaseConsumer<Logging>,
    (topic, partitions): (&str, u32),
    from: Offset,
    count: usize,
    deadline: Instant,
    keep: &mut impl FnMut(&BorrowedMessage<'_>),
) -> Result<bool, Failure> {
    let what = format!("sampling {topic}");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, from).map_err(stop(&what))?;
    }
    consumer.assign(&list).map_err(stop(&what))?;
    let mut left = vec![count; partitions as usize];
    while left.iter().any(|&left| left > 0) && Instant::now() < deadline {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let left = &mut left[message.partition() as usize];
                if *left > 0 {
                    *left -= 1;
                    keep(&message);
                }
                if *left == 0 {
                    let mut done = TopicPartitionList::new();
                    done.add_partition(topic, message.partition());
                    consumer.pause(&done).map_err(stop(&what))?;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => left[partition as usize] = 0,
            // Logged by the client, which retries by itself; records that arrive too late are not in the sample.
            Some(Err(_)) | None => {}
        }
    }
    Ok(left.iter().all(|&left| left == 0))
}

fn judge(sample: &Sample, placements: &[Placement], configured: &str) -> (Verdict, String) {
    let (keys, without_key) = (sample.keys(), sample.without_key());
    if keys.count == 0 {
        let none = if without_key > 0 { "no record of the sample has a key" } else { "the topic has no records" };
        let verdict = if without_key > 0 { Verdict::Warning } else { Verdict::Ok };
        return (verdict, format!("{none}; {configured} is configured"));
    }
    let without_key = match without_key {
        0 => String::new(),
        count => format!(" ({count} further records have no key and would be rejected)"),
    };
    let all_fit = keys.all_fit(placements);
    if all_fit.iter().any(|placement| placement.name == configured) {
        let count = keys.count;
        let message = format!("all {count} keys of the sample are in the partitions that it chooses{without_key}");
        return (Verdict::Ok, format!("{configured}: {message}"));
    }
    let found = match all_fit.first() {
        Some(Placement { name, clients, .. }) => {
            format!("all {} keys of the sample are in the partitions that {name} chooses ({clients})", keys.count)
        }
        None => mixed(sample, &keys, placements),
    };
    if configured == "any" {
        return (Verdict::Ok, format!("any is configured, so it is not checked; {found}{without_key}"));
    }
    let remedy = match all_fit.first() {
        Some(Placement { name: "fnv1a", .. }) => format!(
            "but `partitioner` of [kafka] is {configured}. Let the producers use it, or set `partitioner` to \"any\": then it \
             is not checked"
        ),
        Some(Placement { name, .. }) => format!("but `partitioner` of [kafka] is {configured}. Set it to {name:?}"),
        None => "All events of a customer must be in one partition. Let all producers use one partitioner (of librdkafka: \
                 `partitioner=murmur2_random` for \"murmur2\", `consistent_random` for \"crc32\") and write the topic again, \
                 or, if another partitioner has placed all keys, set `partitioner` of [kafka] to \"any\""
            .to_owned(),
    };
    let joint = if all_fit.is_empty() { ". " } else { ", " };
    (Verdict::Error, format!("{found}{without_key}{joint}{remedy}"))
}

/// What keys show that were placed by several partitioners. If the newest ones fit one, the producer was replaced.
fn mixed(sample: &Sample, keys: &Keys, placements: &[Placement]) -> String {
    let parts: Vec<String> = placements
        .iter()
        .zip(&keys.fitting)
        .filter(|(_, count)| **count > 0)
        .map(|(placement, count)| format!("{count} fit {} ({})", placement.name, placement.clients))
        .collect();
    let parts = if parts.is_empty() { "none fits a known one".to_owned() } else { parts.join(", ") };
    let newest = sample.newest_keys();
    let newest = match newest.all_fit(placements).first() {
        Some(placement) => format!("; the newest {} all fit {}", newest.count, placement.name),
        None => String::new(),
    };
    format!("mixed: of {} keys of the sample, {parts}, and {} fit neither{newest}", keys.count, keys.strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEMENTS: [Placement; 2] = [
        Placement { name: "first", clients: "a", partition_of: |key, partitions| u32::from(key[0]) % partitions },
        Placement {
            name: "last",
            clients: "b",
            partition_of: |key, partitions| u32::from(key[key.len() - 1]) % partitions,
        },
    ];

    /// The records in their order.
    fn sample(records: &[(&[u8], u32)]) -> Sample {
        let mut sample = Sample::default();
        for (offset, (key, partition)) in (0..).zip(records) {
            sample.add(&PLACEMENTS, Some(key), (*partition, offset), 10);
        }
        sample
    }

    #[test]
    fn a_sample_names_its_partitioner() {
        let first = sample(&[(&[1, 2], 1), (&[3, 4], 3), (&[5, 5], 5)]);
        assert_eq!(judge(&first, &PLACEMENTS, "first").0, Verdict::Ok);
        let (verdict, message) = judge(&first, &PLACEMENTS, "last");
        assert_eq!(verdict, Verdict::Error);
        assert!(
            message.contains("partitions that first chooses (a)") && message.contains("Set it to \"first\""),
            "{message}"
        );
        assert_eq!(judge(&first, &PLACEMENTS, "any").0, Verdict::Ok);
    }

    #[test]
    fn a_mix_is_an_error_whatever_is_configured() {
        let mixed = sample(&[(&[1, 2], 1), (&[3, 4], 4), (&[5, 6], 9)]);
        for configured in ["first", "last"] {
            let (verdict, message) = judge(&mixed, &PLACEMENTS, configured);
            assert_eq!(verdict, Verdict::Error);
            assert!(
                message.contains("of 3 keys of the sample, 1 fit first (a)") && message.contains("1 fit neither"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_newest_keys_show_that_a_producer_was_replaced() {
        // In both partitions, the older half was placed by the first byte, the newer one by the last.
        let keys: Vec<(&[u8], u32)> = vec![
            (&[1, 2], 1),
            (&[2, 3], 2),
            (&[1, 4], 1),
            (&[2, 5], 2),
            (&[3, 1], 1),
            (&[4, 2], 2),
            (&[5, 1], 1),
            (&[6, 2], 2),
        ];
        let (verdict, message) = judge(&sample(&keys), &PLACEMENTS, "first");
        assert_eq!(verdict, Verdict::Error);
        assert!(
            message.contains("4 fit first (a), 4 fit last (b), and 0 fit neither; the newest 4 all fit last"),
            "{message}"
        );
        let (_, message) =
            judge(&sample(&[(&[1, 2], 1), (&[3, 4], 4), (&[1, 2], 1), (&[3, 4], 4)]), &PLACEMENTS, "first");
        assert!(!message.contains("the newest"), "always mixed: {message}");
    }

    /// The hashes of the authors' page, 811c9dc5, e40c292c and bf9cf968, as signed numbers without their sign.
    #[test]
    fn fnv_1a_is_known() {
        let hashes = [&b""[..], b"a", b"foobar"].map(|key| fnv1a(key, u32::MAX));
        assert_eq!(hashes, [0x7EE3_623B, 0x1BF3_D6D4, 0x4063_0698]);
    }

    #[test]
    fn a_topic_without_records_is_no_error() {
        assert_eq!(judge(&Sample::default(), &PLACEMENTS, "first").0, Verdict::Ok);
        let mut without = Sample::default();
        without.add(&PLACEMENTS, None, (0, 0), 10);
        assert_eq!(judge(&without, &PLACEMENTS, "first").0, Verdict::Warning);
    }
}
