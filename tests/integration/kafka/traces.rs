//! Traces through a real broker: a change has the producer's `traceparent`, and a collector receives a span of the
//! transaction with a link to it.

use super::pipeline::{run_while, settings, wait_until_done};
use crate::support::{self, Broker, Received};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-5bf92f3577b34da6a3ce929d0e0e4737-10f067aa0ba902b8-00";

/// A collector: its address, and the requests it receives. It answers until the receiver is dropped.
fn collector() -> (String, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, output) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            while let Some(request) = request(&mut stream) {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                if stream.write_all(answer).is_err() || tell.send(request).is_err() {
                    return;
                }
            }
        }
    });
    (address, output)
}

/// The next request of a connection: its first line and its body.
fn request(stream: &mut TcpStream) -> Option<(String, ExportTraceServiceRequest)> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4_096]);
    let mut more = |bytes: &mut Vec<u8>| {
        let count = stream.read(&mut part).ok().filter(|&count| count > 0)?;
        bytes.extend(&part[..count]);
        Some(())
    };
    let head_end = loop {
        more(&mut bytes)?;
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap().to_lowercase();
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let length: usize = length.trim().parse().unwrap();
    while bytes.len() < head_end + length {
        more(&mut bytes)?;
    }
    let body = ExportTraceServiceRequest::decode(&bytes[head_end..head_end + length]).expect("OTLP");
    Some((head.lines().next().unwrap().to_owned(), body))
}

/// Writes a purchase of each customer with this header.
fn purchases(broker: &Broker, topic: &str, customers: &[(&str, Option<&str>)]) {
    let producer = broker.producer();
    for (customer, traceparent) in customers {
        let value = format!(
            r#"{{"customer_id":"{customer}","type":"purchase","order_id":"{customer}","amount":"5","time":1767225600000}}"#
        );
        let mut record = BaseRecord::to(topic).key(*customer).payload(&value);
        if let Some(traceparent) = traceparent {
            record =
                record.headers(OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(*traceparent) }));
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let resources = request.resource_spans;
    let of_service = |name: &str| resources.iter().all(|spans| format!("{:?}", spans.resource).contains(name));
    assert!(of_service("shoal") && of_service("service.instance.id"), "{resources:?}");
    resources.into_iter().flat_map(|spans| spans.scope_spans).flat_map(|spans| spans.spans).collect()
}

#[test]
fn a_traceparent_goes_from_the_record_to_its_change_and_to_the_span_of_its_transaction() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "traces", 2);
    let (address, output) = collector();
    settings.traces.endpoint = address;
    let customers = [("anna", Some(SAMPLED)), ("bert", Some(UNSAMPLED)), ("carl", None), ("dora", Some("rubbish"))];
    purchases(broker, &settings.kafka.inputs[0], &customers);
    let linked = run_while(&settings, || {
        wait_until_done(broker, &settings.kafka, 2);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (line, request) = output.recv_timeout(left).expect("a span with links");
            assert!(line.starts_with("post /v1/traces "), "{line}");
            if let Some(span) = spans(request).into_iter().find(|span| !span.links.is_empty()) {
                return span;
            }
        }
    });

    assert_eq!(linked.name, "transaction");
    let links: Vec<(&[u8], &[u8])> = linked.links.iter().map(|link| (&link.trace_id[..], &link.span_id[..])).collect();
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    let parent = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    assert_eq!(links, [(&trace[..], &parent[..])], "the sampled one, once");
    assert!(linked.end_time_unix_nano >= linked.start_time_unix_nano && linked.parent_span_id.is_empty());
    let attributes = format!("{:?}", linked.attributes);
    assert!(["messaging.system", "shoal.shards", "shoal.outputs"].iter().all(|name| attributes.contains(name)));

    let changes = broker.read_committed(&settings.kafka.topics.changes);
    for (customer, traceparent) in customers {
        let of = |change: &&Received| change.key.as_deref() == Some(customer.as_bytes());
        let expected = traceparent.filter(|value| *value != "rubbish");
        let own: Vec<_> = changes.iter().filter(of).collect();
        assert!(!own.is_empty(), "{customer} has changed");
        for change in own.iter().filter(|change| is_triggered(change)) {
            assert_eq!(change.header("traceparent"), expected.map(str::as_bytes), "{customer}");
        }
        assert!(own.iter().any(|change| is_triggered(change)), "{customer}");
    }
}

fn is_triggered(change: &Received) -> bool {
    let value: serde_json::Value = serde_json::from_slice(change.value.as_deref().expect("a value")).expect("JSON");
    !value["trigger"].is_null()
}
