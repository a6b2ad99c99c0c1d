//! `shoal check --connect`: everything that `shoal run` needs of Kafka, looked at without changing a topic.

use super::client::{Logging, begin_transactions, config, make};
use super::connect::{Contact, reach};
use super::inspect::{self, Finding, INPUT_RIGHTS, OWN_RIGHTS, Seen, Verdict, of_partitions};
use super::sample::{self, Placement};
use super::topics::{Admin, Creating, cannot_be_made};
use super::{Failure, KafkaSettings, Own};
use rdkafka::producer::BaseProducer;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// All of it together takes no longer, but for the answer that is being waited for then.
const PATIENCE: Duration = Duration::from_secs(12);
const CONTACT: Duration = Duration::from_secs(6);
const ANSWER: Duration = Duration::from_secs(4);
/// Brokers whose advertised addresses are tried, one after the other.
const BROKERS_TRIED: usize = 8;
const KNOCK: Duration = Duration::from_secs(1);

/// What was found, in the order in which it was looked at. After a failure that leaves nothing to look at, that is last.
pub fn report(settings: &KafkaSettings, placements: &[Placement]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(failure) = look(settings, placements, &mut findings) {
        findings.push(Finding::new("Kafka", Verdict::Wrong, failure.to_string()));
    }
    findings
}

fn look(settings: &KafkaSettings, placements: &[Placement], findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    findings.push(addresses(&reach(settings, CONTACT)?));
    let admin = Admin::new(settings, ANSWER)?;
    let inputs = admin.inputs(settings)?;
    findings.extend(inspect::inputs(&inputs));
    let own = admin.own(settings)?;
    let shards = inputs.iter().find(|seen| seen.exists()).map(Seen::partitions);
    findings.extend(inspect::own(settings, &own, shards));
    findings.extend(missing(settings, &admin, &own, shards.unwrap_or(1))?);
    findings.extend(inspect::replication(inputs.iter().chain(own.iter().map(|(_, seen)| seen))));
    findings.extend(rights(settings, &admin, &inputs, &own)?);
    findings.push(transactions(settings)?);
    let may_be_read = |seen: &&Seen| inspect::rights("topic", &seen.described, &INPUT_RIGHTS).is_none();
    for seen in inputs.iter().filter(|seen| seen.exists()).filter(may_be_read) {
        findings.push(sample::partitioner(settings, placements, (seen.name(), seen.partitions()), deadline)?);
    }
    Ok(())
}

/// The brokers tell under which addresses they are; from here those may be unknown.
fn addresses(contact: &Contact) -> Finding {
    let tried = contact.brokers.iter().take(BROKERS_TRIED);
    let unreachable: Vec<String> = tried
        .filter_map(|(id, host, port)| {
            let addresses = (host.as_str(), *port).to_socket_addrs();
            let address = addresses.and_then(|mut all| all.next().ok_or_else(|| std::io::ErrorKind::NotFound.into()));
            let knocked = address.and_then(|address| TcpStream::connect_timeout(&address, KNOCK));
            knocked.err().map(|error| format!("broker {id} at {host}:{port}: {error}"))
        })
        .collect();
    let names: Vec<String> = contact.brokers.iter().map(|(id, host, port)| format!("{id} at {host}:{port}")).collect();
    if unreachable.is_empty() {
        return Finding::new("brokers", Verdict::Well, format!("reached: {}", names.join(", ")));
    }
    let words = format!(
        "not reached under the address it advertises: {}. Set its `advertised.listeners` to what can be reached from here",
        unreachable.join("; ")
    );
    Finding::new("brokers", Verdict::Wrong, words)
}

/// Topics of our own that `shoal run` will make, if it may.
fn missing(settings: &KafkaSettings, admin: &Admin, own: &[(Own, Seen)], shards: u32) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for (own, seen) in own.iter().filter(|(_, seen)| seen.is_missing()) {
        let about = format!("topic {}", seen.name());
        let partitions = own.partitions(shards);
        findings.push(match admin.create(settings, *own, partitions, Creating::Pretending)? {
            Ok(()) => Finding::new(
                about,
                Verdict::Well,
                format!("missing; `shoal run` makes it, with {}", of_partitions(partitions)),
            ),
            Err(code) => Finding::new(about, Verdict::Wrong, cannot_be_made(seen.name(), code)),
        });
    }
    Ok(findings)
}

fn rights(
    settings: &KafkaSettings,
    admin: &Admin,
    inputs: &[Seen],
    own: &[(Own, Seen)],
) -> Result<Vec<Finding>, Failure> {
    let mut findings = admin.rights_of_inputs(settings, inputs)?;
    findings.extend(own.iter().flat_map(|(_, seen)| inspect::rights("topic", &seen.described, &OWN_RIGHTS)));
    if findings.is_empty() {
        let words = match own.iter().any(|(_, seen)| seen.is_missing()) {
            true => "all that was asked is allowed; on missing topics it is not known",
            false => "all that `shoal run` does with topics and group is allowed",
        };
        findings.push(Finding::new("rights", Verdict::Well, words));
    }
    Ok(findings)
}

/// Opens the door to transactions under an identity of its own: one that is running must not be disturbed.
fn transactions(settings: &KafkaSettings) -> Result<Finding, Failure> {
    let id = format!("{}-{}-check", settings.group, settings.instance);
    let mut config = config(settings);
    config.set("transactional.id", &id);
    let producer = make::<BaseProducer<Logging>>(settings, &config, Logging, "the Kafka producer")?;
    Ok(match begin_transactions(&producer, &id, ANSWER) {
        Ok(()) => Finding::new("transactions", Verdict::Well, format!("can be begun, as {id}")),
        Err(failure) => Finding::new("transactions", Verdict::Wrong, failure.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_that_leads_nowhere_is_told() {
        let contact = Contact { brokers: vec![(7, "127.0.0.1".into(), 1)] };
        let finding = addresses(&contact);
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert!(finding.words.contains("broker 7 at 127.0.0.1:1: Connection refused"), "{finding}");
        assert!(finding.words.contains("advertised.listeners"), "{finding}");
    }
}
