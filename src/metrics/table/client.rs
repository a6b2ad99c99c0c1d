//! What stands around the stream: Kafka's client, the log, the admin address, the process.

use super::{Metric, Source, counter, gauge, label, of};

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "shoal_kafka_brokers_up",
        "brokers",
        &[],
        "Brokers that a worker's consumer is connected to, of the worker with the fewest.",
        "0.",
    ),
    gauge(
        "shoal_kafka_round_trip_seconds",
        "seconds",
        &[label("percentile", "`50`, `99`")],
        "Requests to the slowest broker in the last half second; fetches wait up to `fetch_wait_ms`.",
        "Many times the usual.",
    ),
    counter(
        "shoal_kafka_request_timeouts_total",
        "requests",
        &[],
        "Requests of the consumers that got no answer in time.",
        "Any rate.",
    ),
    counter(
        "shoal_kafka_request_errors_total",
        "requests",
        &[],
        "Requests that could not be sent or answers that could not be received.",
        "Any rate.",
    ),
    counter("shoal_kafka_reconnects_total", "connections", &[], "Connections that the consumers made again.", "Many."),
    gauge(
        "shoal_kafka_throttle_seconds",
        "seconds",
        &[],
        "How long a broker last put requests off because of a quota.",
        "Anything but 0.",
    ),
    counter(
        "shoal_log_messages_total",
        "messages",
        &[label("level", "`error`, `warn`")],
        "What was logged.",
        "Any `error`: somebody must act.",
    ),
    gauge(
        "shoal_alert_firing",
        "",
        &[label("alert", "alerts of the rules")],
        "1 while an alert of the rules fires, 0 otherwise; told by the owner of shard 0.",
        "1.",
    ),
    counter(
        "shoal_alert_records_total",
        "records",
        &[label("alert", "alerts of the rules"), label("state", "`firing`, `resolved`")],
        "Records published in the topic `alerts`.",
        "An alert that comes and goes: give it a longer `for`.",
    ),
    counter(
        "shoal_webhook_requests_total",
        "requests",
        &[label("outcome", "`delivered`, `failed`, `dropped`")],
        "Records of alerts for the webhook, by what became of them.",
        "Any `failed` or `dropped`.",
    ),
    of(
        Source::Admin,
        counter(
            "shoal_admin_requests_total",
            "requests",
            &[label("code", "HTTP statuses that were answered")],
            "Requests at the admin address.",
            "401 and 403: wrong tokens.",
        ),
    ),
    of(
        Source::System,
        counter(
            "process_cpu_seconds_total",
            "seconds",
            &[],
            "Processor time, user and system.",
            "Near the processors there are.",
        ),
    ),
    of(Source::System, gauge("process_max_fds", "files", &[], "How many files may be open.", "")),
    of(Source::System, gauge("process_open_fds", "files", &[], "How many are.", "Near the limit.")),
    of(
        Source::System,
        gauge(
            "process_resident_memory_bytes",
            "bytes",
            &[],
            "Memory that is resident.",
            "Near the limit of the container.",
        ),
    ),
    of(
        Source::System,
        gauge("process_start_time_seconds", "seconds since 1970", &[], "When the process started.", "Restarts."),
    ),
    of(Source::System, gauge("process_threads", "threads", &[], "Threads.", "Growth.")),
    of(Source::System, gauge("process_virtual_memory_bytes", "bytes", &[], "Memory that is reserved.", "")),
];
