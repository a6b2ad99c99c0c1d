//! A span of each transaction for an OpenTelemetry collector: section `[traces]` of `shoal.toml`.
//!
//! Spans wait in a bounded queue for a thread that sends them, as protobuf over HTTP (OTLP). If the collector is slow
//! or unavailable they are dropped; the stream never waits. A transaction contains the results of many traces, so its
//! span belongs to a trace of its own, with links to those traces.

use crate::engine::event::Millis;
use crate::kafka::Failure;
use crate::repeats::Repeats;
use crate::worker::transaction::traceparent::Traceparent;
use opentelemetry::trace::{
    Link, Span, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{KeyValue, Value};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Spans in the queue; further ones are dropped.
const QUEUED_MAX: usize = 2_048;
const SENT_AT_ONCE_MAX: usize = 256;
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait for a response of the collector, and for the last spans at the end of the process.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);
const END_TIME_MAX: Duration = Duration::from_secs(2);
/// Links of one span.
const LINKS_MAX: usize = 64;
/// The path of collectors for traces, if the address has none.
const PATH: &str = "/v1/traces";

static UNSENT: Repeats = Repeats::new();

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesSettings {
    /// The URL of a collector, `http://host:port`; empty: none.
    pub endpoint: String,
}

impl TracesSettings {
    /// The URL to which spans are sent, `None` if traces are off.
    ///
    /// # Errors
    /// If `endpoint` is not a URL.
    pub fn url(&self) -> Result<Option<String>, String> {
        if self.endpoint.is_empty() {
            return Ok(None);
        }
        let rest = ["http://", "https://"].iter().find_map(|scheme| self.endpoint.strip_prefix(scheme));
        let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
            let found = &self.endpoint;
            return Err(format!("expected an address such as \"http://collector:4318\", or \"\", found {found:?}"));
        };
        let has_path = rest.trim_end_matches('/').contains('/');
        let path = if has_path { "" } else { PATH };
        Ok(Some(format!("{}{path}", self.endpoint.trim_end_matches('/'))))
    }
}

/// Where the workers of a process record their transactions.
#[derive(Clone, Debug)]
pub struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// A transaction that is being published.
#[derive(Debug)]
pub struct TransactionSpan {
    /// Wall clock in milliseconds.
    pub began: Millis,
    pub shards: Vec<u32>,
    /// Sampled traces that led to its changes.
    pub links: Vec<Traceparent>,
}

impl Spans {
    /// Starts the thread that sends; `None` if traces are off.
    ///
    /// # Errors
    /// If the collector's URL is not valid.
    pub fn start(settings: &TracesSettings, instance: &str) -> Result<Option<Self>, String> {
        let Some(url) = settings.url()? else { return Ok(None) };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url)
            .with_timeout(SEND_TIME_MAX)
            .build()
            .map_err(|error| format!("`endpoint` of [traces]: {error}"))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUED_MAX)
            .with_max_export_batch_size(SENT_AT_ONCE_MAX)
            .with_scheduled_delay(INTERVAL)
            .build();
        let processor = BatchSpanProcessor::builder(LoggingExporter(exporter)).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name("shoal")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_max_links_per_span(LINKS_MAX as u32)
            .with_resource(resource)
            .build();
        Ok(Some(Self { tracer: provider.tracer("shoal"), provider }))
    }

    /// Records a transaction that ended at `ended`, in milliseconds of the wall clock, with a number of outputs or a
    /// failure.
    pub fn record(&self, transaction: &TransactionSpan, ended: Millis, outputs: Result<u64, &Failure>) {
        let shards: Vec<i64> = transaction.shards.iter().map(|&shard| i64::from(shard)).collect();
        let mut span = self
            .tracer
            .span_builder("transaction")
            .with_kind(SpanKind::Producer)
            .with_start_time(moment(transaction.began))
            .with_attributes([
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("shoal.shards", Value::Array(shards.into())),
                KeyValue::new("shoal.outputs", outputs.map_or(0, |outputs| outputs as i64)),
            ])
            .with_links(transaction.links.iter().take(LINKS_MAX).map(link).collect())
            .start(&self.tracer);
        if let Err(failure) = outputs {
            span.set_status(Status::error(failure.to_string()));
        }
        span.end_with_timestamp(moment(ended.max(transaction.began)));
    }

    /// Sends the queued spans, within a time limit; then the thread ends.
    pub fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(END_TIME_MAX) {
            tracing::info!(%error, "traces: the last spans could not be sent and are dropped");
        }
    }
}

fn link(traceparent: &Traceparent) -> Link {
    let (trace, parent) = (TraceId::from_bytes(traceparent.trace), SpanId::from_bytes(traceparent.parent));
    Link::with_context(SpanContext::new(trace, parent, TraceFlags::SAMPLED, true, TraceState::default()))
}

fn moment(milliseconds: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds.max(0) as u64)
}

/// The exporter, which also logs failures; the library does not.
#[derive(Debug)]
struct LoggingExporter(opentelemetry_otlp::SpanExporter);

impl SpanExporter for LoggingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.0.export(batch).await;
        if let Err(error) = &sent {
            UNSENT.log("unsent", |left_out| {
                tracing::warn!(
                    spans,
                    left_out,
                    %error,
                    "traces: spans could not be sent to the collector and are dropped; records are processed without them"
                );
            });
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        let url = |endpoint: &str| TracesSettings { endpoint: endpoint.into() }.url();
        assert_eq!(url(""), Ok(None));
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector/", "https://collector/v1/traces"),
            ("http://127.0.0.1:4318/otlp/v1/traces", "http://127.0.0.1:4318/otlp/v1/traces"),
        ] {
            assert_eq!(url(endpoint), Ok(Some(expected.to_owned())));
        }
        for wrong in ["collector:4318", "http://", "http:///v1", "grpc://collector"] {
            assert!(url(wrong).unwrap_err().starts_with("expected an address such as"), "{wrong}");
        }
    }
}
