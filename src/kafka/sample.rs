//! Which partitioner the producers of a topic use: a sample of keys, oldest and latest of each partition, shows where they
//! were placed.

use super::client::{Logging, consumer_config, make, stop};
use super::inspect::{Finding, Verdict};
use super::{Failure, KafkaSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// From both ends: a producer that was replaced has left its keys among the oldest.
const OLDEST: usize = 150;
const LATEST: usize = 150;
const POLL: Duration = Duration::from_millis(100);

/// A way to place keys: its name in the settings, and the partition of a key among so many.
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
    /// Keys that are where each placement puts them.
    fitting: Vec<usize>,
    /// Keys that are where none puts them.
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
        return Ok(Finding::new(about, Verdict::Well, "one partition: every key belongs there"));
    }
    let mut config = consumer_config(settings);
    // librdkafka wants a group even where it is not joined. Open transactions do not matter here.
    config.set("group.id", &settings.group).set("isolation.level", "read_uncommitted");
    config.set("queued.max.messages.kbytes", "4096").set("fetch.message.max.bytes", "65536");
    let consumer = make::<BaseConsumer<Logging>>(settings, &config, Logging, "the Kafka consumer")?;
    let mut sample = Sample::default();
    // Oldest and latest of a short partition are the same records.
    let mut next = vec![0; partitions as usize];
    let mut is_whole = true;
    for (from, count) in [(Offset::Beginning, OLDEST), (Offset::OffsetTail(LATEST as i64), LATEST)] {
        is_whole &= take(&consumer, (topic, partitions), from, count, deadline, &mut |record| {
            let (partition, offset) = (record.partition() as u32, record.offset());
            if offset >= next[partition as usize] {
                next[partition as usize] = offset + 1;
                sample.add(placements, record.key(), partition, partitions);
            }
        })?;
    }
    if sample == Sample::default() && !is_whole {
        return Ok(Finding::new(about, Verdict::Warning, "not sampled: no record came in time"));
    }
    let (verdict, words) = judge(&sample, placements, &settings.partitioner);
    Ok(Finding::new(about, verdict, words))
}

/// Hands over so many records of each partition, or what there is. False if the time was too short.
fn take(
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
            // Logged by the client, which goes on by itself; what does not come in time is not in the sample.
            Some(Err(_)) | None => {}
        }
    }
    Ok(left.iter().all(|&left| left == 0))
}

fn judge(sample: &Sample, placements: &[Placement], configured: &str) -> (Verdict, String) {
    let keys = sample.keys;
    if keys == 0 {
        let none = if sample.without_key > 0 { "no record of the sample has a key" } else { "no records to judge by" };
        let verdict = if sample.without_key > 0 { Verdict::Warning } else { Verdict::Well };
        return (verdict, format!("{none}; configured is {configured}"));
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
            Verdict::Well,
            format!("{configured}: all {keys} keys of the sample are where it puts them{without_key}"),
        );
    }
    let found = match all_fit.first() {
        Some(fits) => format!("all {keys} keys of the sample are where {fits} puts them"),
        None => {
            let fitting = placements.iter().zip(&sample.fitting);
            let parts: Vec<String> =
                fitting.map(|(placement, count)| format!("{count} are where {} puts them", placement.name)).collect();
            format!("mixed: of {keys} keys of the sample {}, {} where neither does", parts.join(", "), sample.strange)
        }
    };
    match (configured, all_fit.first()) {
        ("any", _) => (Verdict::Well, format!("any, so it is not checked; {found}{without_key}")),
        (_, Some(fits)) => {
            let remedy = format!("and `partitioner` of [kafka] is {configured}. Set it to {fits:?}");
            (Verdict::Wrong, format!("{found}, {remedy}{without_key}"))
        }
        (_, None) => {
            let remedy = "All events of a customer must be in one partition. Write the topic anew with one partitioner, or, if \
                          they are in one although placed in some other way, set `partitioner` of [kafka] to \"any\"";
            (Verdict::Wrong, format!("{found}{without_key}. {remedy}"))
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
        assert_eq!(judge(&first, &PLACEMENTS, "first").0, Verdict::Well);
        let (verdict, words) = judge(&first, &PLACEMENTS, "last");
        assert_eq!(verdict, Verdict::Wrong);
        assert!(words.contains("where first puts them") && words.contains("Set it to \"first\""), "{words}");
        assert_eq!(judge(&first, &PLACEMENTS, "any").0, Verdict::Well);
    }

    #[test]
    fn a_mix_is_wrong_whatever_is_configured() {
        let mixed = sample(&[(&[1, 2], 1), (&[3, 4], 4), (&[5, 6], 9)]);
        for configured in ["first", "last"] {
            let (verdict, words) = judge(&mixed, &PLACEMENTS, configured);
            assert_eq!(verdict, Verdict::Wrong);
            assert!(
                words.contains("of 3 keys of the sample 1 are where first") && words.contains("1 where neither"),
                "{words}"
            );
        }
    }

    #[test]
    fn nothing_to_judge_by_is_no_fault() {
        assert_eq!(judge(&Sample::default(), &PLACEMENTS, "first").0, Verdict::Well);
        let mut without = Sample::default();
        without.add(&PLACEMENTS, None, 0, 10);
        assert_eq!(judge(&without, &PLACEMENTS, "first").0, Verdict::Warning);
    }
}
