//! Which partitioner the producers of a topic use. A sample of keys, the oldest and the latest of each partition, shows
//! where they were placed.

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
const LATEST: usize = 150;
const POLL: Duration = Duration::from_millis(100);

/// A partitioner: its name in the settings, and the function from a key and the number of partitions to the partition.
#[derive(Clone, Copy)]
pub struct Placement {
    pub name: &'static str,
    pub partition_of: fn(&[u8], u32) -> u32,
}

/// What a sample shows.
#[derive(Debug, Default, PartialEq)]
struct Sample {
    keys: usize,
    without_key: usize,
    /// By placement, the number of keys in the partition that it chooses.
    fitting: Vec<usize>,
    /// Keys in a partition that no placement chooses.
    strange: usize,
}

impl Sample {
    fn add(&mut self, placements: &[Placement], key: Option<&[u8]>, partition: u32, partitions: u32) {
        let Some(key) = key else {
            self.without_key += 1;
            return;
        };
        self.keys += 1;
        self.fitting.resize(placements.len(), 0);
        let mut is_strange = true;
        for (fitting, placement) in self.fitting.iter_mut().zip(placements) {
            let fits = (placement.partition_of)(key, partitions) == partition;
            *fitting += usize::from(fits);
            is_strange &= !fits;
        }
        self.strange += usize::from(is_strange);
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
    let mut sample = Sample::default();
    // The oldest and the latest records of a short partition are the same.
    let mut next = vec![0; partitions as usize];
    let mut is_whole = true;
    for (from, count) in [(Offset::Beginning, OLDEST), (Offset::OffsetTail(LATEST as i64), LATEST)] {
        is_whole &= read(&consumer, (topic, partitions), from, count, deadline, &mut |record| {
            let (partition, offset) = (record.partition() as u32, record.offset());
            if offset >= next[partition as usize] {
                next[partition as usize] = offset + 1;
                sample.add(placements, record.key(), partition, partitions);
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
    let keys = sample.keys;
    if keys == 0 {
        let none =
            if sample.without_key > 0 { "no record of the sample has a key" } else { "the topic has no records" };
        let verdict = if sample.without_key > 0 { Verdict::Warning } else { Verdict::Ok };
        return (verdict, format!("{none}; {configured} is configured"));
    }
    let all_fit: Vec<&str> = placements
        .iter()
        .zip(&sample.fitting)
        .filter(|(_, fitting)| **fitting == keys)
        .map(|(placement, _)| placement.name)
        .collect();
    let without_key = match sample.without_key {
        0 => String::new(),
        count => format!(" ({count} further records have no key and would be rejected)"),
    };
    if all_fit.contains(&configured) {
        return (
            Verdict::Ok,
            format!("{configured}: all {keys} keys of the sample are in the partitions that it chooses{without_key}"),
        );
    }
    let found = match all_fit.first() {
        Some(fits) => format!("all {keys} keys of the sample are in the partitions that {fits} chooses"),
        None => {
            let fitting = placements.iter().zip(&sample.fitting);
            let parts: Vec<String> =
                fitting.map(|(placement, count)| format!("{count} fit {}", placement.name)).collect();
            format!("mixed: of {keys} keys of the sample, {}, and {} fit neither", parts.join(", "), sample.strange)
        }
    };
    match (configured, all_fit.first()) {
        ("any", _) => (Verdict::Ok, format!("any is configured, so it is not checked; {found}{without_key}")),
        (_, Some(fits)) => {
            let remedy = format!("but `partitioner` of [kafka] is {configured}. Set it to {fits:?}");
            (Verdict::Error, format!("{found}, {remedy}{without_key}"))
        }
        (_, None) => {
            let remedy = "All events of a customer must be in one partition. Write the topic again with one partitioner, or, if \
                          another partitioner has placed them so, set `partitioner` of [kafka] to \"any\"";
            (Verdict::Error, format!("{found}{without_key}. {remedy}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEMENTS: [Placement; 2] = [
        Placement { name: "first", partition_of: |key, partitions| u32::from(key[0]) % partitions },
        Placement { name: "last", partition_of: |key, partitions| u32::from(key[key.len() - 1]) % partitions },
    ];

    fn sample(records: &[(&[u8], u32)]) -> Sample {
        let mut sample = Sample::default();
        for (key, partition) in records {
            sample.add(&PLACEMENTS, Some(key), *partition, 10);
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
            message.contains("partitions that first chooses") && message.contains("Set it to \"first\""),
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
                message.contains("of 3 keys of the sample, 1 fit first") && message.contains("1 fit neither"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_topic_without_records_is_no_error() {
        assert_eq!(judge(&Sample::default(), &PLACEMENTS, "first").0, Verdict::Ok);
        let mut without = Sample::default();
        without.add(&PLACEMENTS, None, 0, 10);
        assert_eq!(judge(&without, &PLACEMENTS, "first").0, Verdict::Warning);
    }
}
