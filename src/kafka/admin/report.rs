//! `shoal check --connect`: inspects everything that `shoal run` needs of Kafka, without changing a topic.

use super::connect::{Broker, connect};
use super::inspect::{
    Finding, INPUT_RIGHTS, OWN_RIGHTS, TopicState, Verdict, inspect_inputs, inspect_own, inspect_replication,
    missing_rights, partitions_text,
};
use super::retention::{ReadAgain, inspect_retention};
use super::sample::{self, Placement};
use super::topics::{Admin, Creation, cannot_be_created};
use crate::kafka::client::{Logging, config, init_transactions, make};
use crate::kafka::{Failure, KafkaSettings, Own};
use rdkafka::producer::BaseProducer;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Bound on the whole report, except for an answer that is awaited when it is reached.
const REPORT_MAX: Duration = Duration::from_secs(12);
const CONTACT_WAIT: Duration = Duration::from_secs(6);
const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// Number of brokers whose advertised addresses are tried, one after the other.
const BROKERS_TRIED: usize = 8;
const ADDRESS_WAIT: Duration = Duration::from_secs(1);

/// The findings, in the order of inspection. A failure that prevents further inspection is the last one.
pub fn report(settings: &KafkaSettings, read_again: ReadAgain, placements: &[Placement]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(failure) = inspect(settings, read_again, placements, &mut findings) {
        findings.push(Finding::new("Kafka", Verdict::Error, failure.to_string()));
    }
    findings
}

fn inspect(
    settings: &KafkaSettings,
    read_again: ReadAgain,
    placements: &[Placement],
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + REPORT_MAX;
    findings.push(addresses(&connect(settings, CONTACT_WAIT)?));
    let admin = Admin::new(settings, ANSWER_WAIT)?;
    let inputs = admin.inputs(settings)?;
    findings.extend(inspect_inputs(&inputs));
    findings.extend(inspect_retention(&inputs, read_again));
    let own = admin.own(settings)?;
    let shards = inputs.iter().find(|topic| topic.exists()).map(TopicState::partitions);
    findings.extend(inspect_own(settings, &own, shards));
    findings.extend(missing_topics(settings, &admin, &own, shards.unwrap_or(1))?);
    findings.extend(inspect_replication(inputs.iter().chain(own.iter().map(|(_, topic)| topic))));
    findings.extend(rights(settings, &admin, &inputs, &own)?);
    findings.push(transactions(settings)?);
    let may_be_read = |topic: &&TopicState| missing_rights("topic", &topic.description, &INPUT_RIGHTS).is_none();
    for topic in inputs.iter().filter(|topic| topic.exists()).filter(may_be_read) {
        findings.push(sample::partitioner(settings, placements, (topic.name(), topic.partitions()), deadline)?);
    }
    Ok(())
}

/// Clients connect to the addresses that the brokers advertise, which may not be reachable from here.
fn addresses(brokers: &[Broker]) -> Finding {
    let tried = brokers.iter().take(BROKERS_TRIED);
    let unreachable: Vec<String> = tried
        .filter_map(|Broker { id, host, port }| {
            let addresses = (host.as_str(), *port).to_socket_addrs();
            let address = addresses.and_then(|mut all| all.next().ok_or_else(|| std::io::ErrorKind::NotFound.into()));
            let connected = address.and_then(|address| TcpStream::connect_timeout(&address, ADDRESS_WAIT));
            connected.err().map(|error| format!("broker {id} at {host}:{port}: {error}"))
        })
        .collect();
    let names: Vec<String> = brokers.iter().map(|Broker { id, host, port }| format!("{id} at {host}:{port}")).collect();
    if unreachable.is_empty() {
        return Finding::new("brokers", Verdict::Ok, format!("reached: {}", names.join(", ")));
    }
    let message = format!(
        "not reached at the address it advertises: {}. Set its `advertised.listeners` to an address that can be reached \
         from here",
        unreachable.join("; ")
    );
    Finding::new("brokers", Verdict::Error, message)
}

/// Those of Shoal's own topics that `shoal run` will create, if it is allowed to.
fn missing_topics(
    settings: &KafkaSettings,
    admin: &Admin,
    own: &[(Own, TopicState)],
    shards: u32,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for (own, topic) in own.iter().filter(|(_, topic)| topic.is_missing()) {
        let about = format!("topic {}", topic.name());
        let partitions = own.partitions(shards);
        findings.push(match admin.create(settings, *own, partitions, Creation::Validate)? {
            Ok(()) => Finding::new(
                about,
                Verdict::Ok,
                format!("missing; `shoal run` creates it, with {}", partitions_text(partitions)),
            ),
            Err(code) => Finding::new(about, Verdict::Error, cannot_be_created(topic.name(), code)),
        });
    }
    Ok(findings)
}

fn rights(
    settings: &KafkaSettings,
    admin: &Admin,
    inputs: &[TopicState],
    own: &[(Own, TopicState)],
) -> Result<Vec<Finding>, Failure> {
    let mut findings = admin.missing_input_rights(settings, inputs)?;
    findings.extend(own.iter().flat_map(|(_, topic)| missing_rights("topic", &topic.description, &OWN_RIGHTS)));
    if findings.is_empty() {
        let message = match own.iter().any(|(_, topic)| topic.is_missing()) {
            true => "all that can be checked are granted; those on missing topics are unknown",
            false => "all that `shoal run` needs on topics and group are granted",
        };
        findings.push(Finding::new("rights", Verdict::Ok, message));
    }
    Ok(findings)
}

/// Initialises transactions under an identity of its own, so that a running process is not fenced.
fn transactions(settings: &KafkaSettings) -> Result<Finding, Failure> {
    let id = format!("{}-{}-check", settings.group, settings.instance);
    let mut config = config(settings);
    config.set("transactional.id", &id);
    let producer = make::<BaseProducer<Logging>>(settings, &config, Logging, "the Kafka producer")?;
    Ok(match init_transactions(&producer, &id, ANSWER_WAIT) {
        Ok(()) => Finding::new("transactions", Verdict::Ok, format!("can be begun, as {id}")),
        Err(failure) => Finding::new("transactions", Verdict::Error, failure.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_advertised_address_is_reported() {
        let finding = addresses(&[Broker { id: 7, host: "127.0.0.1".into(), port: 1 }]);
        assert_eq!(finding.verdict, Verdict::Error);
        assert!(finding.message.contains("broker 7 at 127.0.0.1:1: Connection refused"), "{finding}");
        assert!(finding.message.contains("advertised.listeners"), "{finding}");
    }
}
