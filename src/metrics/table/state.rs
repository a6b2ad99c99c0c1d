//! Metrics of the state: customers, memory, bounds, snapshots.

use super::{Metric, SHARD, TOPIC, counter, gauge, histogram, label};

pub(super) const METRICS: &[Metric] = &[
    gauge("shoal_customers", "customers", &[], "Customers in this process's shards.", "Growth; sum over instances."),
    gauge(
        "shoal_customers_limit",
        "customers",
        &[],
        "Maximum number of customers: the sum of `max_customers` of each shard.",
        "`shoal_customers` near it: at the limit, customers are forgotten.",
    ),
    gauge(
        "shoal_state_bytes",
        "bytes",
        &[label("kind", "`rows`, `index`, `blocks`, `blocks_free`, `texts`, `dedup`, `timers`")],
        "Memory of the shards' state, allocated or reserved.",
        "The sum compared with the available memory.",
    ),
    counter(
        "shoal_customers_forgotten_total",
        "customers",
        &[],
        "Customers that were forgotten because the limit was reached.",
        "Any: raise `max_customers` or add partitions.",
    ),
    gauge(
        "shoal_texts",
        "texts",
        &[],
        "Distinct interned texts: categories, channels, attributes.",
        "Growth: a field has a different value in each event.",
    ),
    gauge(
        "shoal_timers",
        "entries",
        &[],
        "Entries of the timer wheels, stale ones included.",
        "A multiple of `shoal_customers`.",
    ),
    counter(
        "shoal_bound_reached_total",
        "",
        &[label(
            "bound",
            "`orders`, `waiting`, `refunds`, `excess_refunds`, `return_ids`, `hours`, `categories`, `cart`",
        )],
        "How often data of a customer exceeded its bound (docs/semantics.md), or a refund exceeded the remaining amount.",
        "An unusual rate: a test customer or a loop in a producer.",
    ),
    gauge(
        "shoal_snapshot_age_seconds",
        "seconds",
        SHARD,
        "Age of the last snapshot of a shard that was stored or loaded.",
        "More than a few times the interval.",
    ),
    gauge(
        "shoal_snapshot_bytes",
        "bytes",
        SHARD,
        "Bytes that the last snapshot wrote, or that were loaded.",
        "How much a start reads.",
    ),
    histogram(
        "shoal_snapshot_seconds",
        "seconds",
        &[],
        "Time from the first piece of a snapshot until it was stored.",
        "Values near the interval.",
    ),
    counter(
        "shoal_snapshots_total",
        "snapshots",
        &[label("outcome", "`stored`, `failed`")],
        "Snapshots, by outcome.",
        "Any `failed`.",
    ),
    gauge(
        "shoal_retention_margin_seconds",
        "seconds",
        TOPIC,
        "How long the inputs still reach back to the older of the last two snapshots: `retention.ms` as of the start of the process, minus the age of that snapshot; +Inf without a limit.",
        "Less than a weekend.",
    ),
];
