//! Metrics of the Kafka clients, the log, alerts, the admin address and the process.

use super::{Metric, Source, counter, gauge, label, of};

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "shoal_kafka_brokers_up",
        "brokers",
        &[],
        "Brokers to which a worker's consumer is connected; the minimum over the workers.",
        "0.",
    ),
    gauge(
        "shoal_kafka_round_trip_seconds",
        "seconds",
        &[label("percentile", "`50`, `99`")],
        "Round-trip time of requests to the slowest broker in the last half second; fetches wait up to `fetch_wait_ms`.",
        "Many times the usual value.",
    ),
    counter(
        "shoal_kafka_request_timeouts_total",
        "requests",
        &[],
        "Requests of the consumers that timed out.",
        "Any rate.",
    ),
    counter(
        "shoal_kafka_request_errors_total",
        "requests",
        &[],
        "Requests that could not be sent, or whose answers could not be received.",
        "Any rate.",
    ),
    counter(
        "shoal_kafka_reconnects_total",
        "connections",
        &[],
        "Connections that the consumers reopened.",
        "A high rate.",
    ),
    gauge(
        "shoal_kafka_throttle_seconds",
        "seconds",
        &[],
        "How long a broker last delayed requests because of a quota.",
        "Any value above 0.",
    ),
    counter(
        "shoal_log_messages_total",
        "messages",
        &[label("level", "`error`, `warn`")],
        "Log messages.",
        "Any `error`: action is required.",
    ),
    gauge(
        "shoal_alert_firing",
        "",
        &[label("alert", "alerts of the rules")],
        "1 while an alert of the rules fires, otherwise 0; reported by the owner of shard 0.",
        "1.",
    ),
    counter(
        "shoal_alert_records_total",
        "records",
        &[label("alert", "alerts of the rules"), label("state", "`firing`, `resolved`")],
        "Records published on the topic `alerts`.",
        "Frequent transitions: use a longer `for`.",
    ),
    counter(
        "shoal_webhook_requests_total",
        "requests",
        &[label("outcome", "`delivered`, `failed`, `dropped`")],
        "Alert records for the webhook, by outcome.",
        "Any `failed` or `dropped`.",
    ),
    of(
        Source::Admin,
        counter(
            "shoal_admin_requests_total",
            "requests",
            &[label("code", "HTTP status codes")],
            "Requests to the admin address.",
            "401 and 403: invalid tokens.",
        ),
    ),
    of(
        Source::System,
        counter(
            "process_cpu_seconds_total",
            "seconds",
            &[],
            "CPU time, user and system.",
            "A rate near the number of CPUs.",
        ),
    ),
    of(Source::System, gauge("process_max_fds", "files", &[], "Maximum number of open files.", "")),
    of(Source::System, gauge("process_open_fds", "files", &[], "Number of open files.", "A value near the limit.")),
    of(
        Source::System,
        gauge(
            "process_resident_memory_bytes",
            "bytes",
            &[],
            "Resident memory.",
            "A value near the limit of the container.",
        ),
    ),
    of(
        Source::System,
        gauge("process_start_time_seconds", "seconds since 1970", &[], "Start time of the process.", "Restarts."),
    ),
    of(Source::System, gauge("process_threads", "threads", &[], "Number of threads.", "Growth.")),
    of(Source::System, gauge("process_virtual_memory_bytes", "bytes", &[], "Virtual memory.", "")),
];
