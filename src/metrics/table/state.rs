//! What is held: customers, memory, bounds, snapshots.

use super::{Metric, SHARD, TOPIC, counter, gauge, histogram, label};

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "shoal_customers",
        "customers",
        &[],
        "Customers known to the shards of this process.",
        "Growth; sum over instances.",
    ),
    gauge(
        "shoal_customers_limit",
        "customers",
        &[],
        "How many they may know: `max_customers` of each shard.",
        "`shoal_customers` near it: then customers are forgotten.",
    ),
    gauge(
        "shoal_state_bytes",
        "bytes",
        &[label("kind", "`rows`, `index`, `blocks`, `blocks_free`, `texts`, `dedup`, `timers`")],
        "Memory of the shards' state, reserved or used.",
        "The sum against the memory there is.",
    ),
    counter(
        "shoal_customers_forgotten_total",
        "customers",
        &[],
        "Customers forgotten at the limit.",
        "Any: give more memory or more shards.",
    ),
    gauge(
        "shoal_texts",
        "texts",
        &[],
        "Different texts that customers share: categories, channels, attributes.",
        "Growth: a field holds what is different each time.",
    ),
    gauge(
        "shoal_timers",
        "entries",
        &[],
        "Entries of the wheels of deadlines, stale ones too.",
        "Many times `shoal_customers`.",
    ),
    counter(
        "shoal_bound_reached_total",
        "",
        &[label("bound", "`orders`, `waiting`, `refunds`, `excess_refunds`, `hours`, `categories`, `cart`")],
        "How often something of a customer did not fit into its bound (docs/semantics.md), or a refund was more than was left.",
        "A rate that is not usual: a test customer, or a loop.",
    ),
    gauge(
        "shoal_snapshot_age_seconds",
        "seconds",
        SHARD,
        "Since the last stored snapshot of a shard, or the one that it was loaded from.",
        "More than a few intervals.",
    ),
    gauge("shoal_snapshot_bytes", "bytes", SHARD, "Bytes that were written for it, or read.", "What a start reads."),
    histogram(
        "shoal_snapshot_seconds",
        "seconds",
        &[],
        "How long a snapshot took from its first piece until it was stored.",
        "Near the interval.",
    ),
    counter(
        "shoal_snapshots_total",
        "snapshots",
        &[label("outcome", "`stored`, `failed`")],
        "Snapshots.",
        "Any `failed`.",
    ),
    gauge(
        "shoal_retention_margin_seconds",
        "seconds",
        TOPIC,
        "How long the inputs still reach back to the older of the last two snapshots: `retention.ms`, as it was at the start, less that snapshot's age; +Inf without a limit.",
        "Less than a weekend.",
    ),
];
