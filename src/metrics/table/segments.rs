//! What the rules make of customers: members, changes, what they did, what falls due.

use super::{Metric, SEGMENT, SEGMENTATION, counter, gauge, histogram, label};

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "shoal_members",
        "customers",
        &[SEGMENTATION, label("segment", "its segments, 250 at most; of audiences `in` only")],
        "Customers in a segment or audience, in the shards of this process.",
        "Sizes; sum over instances.",
    ),
    counter(
        "shoal_changes_total",
        "changes",
        &[
            SEGMENTATION,
            label("from", "segments; `in` or `out`; `none` for null"),
            label("to", "the same; pairs that happened, and those that begin at 0"),
            label("cause", "the causes of docs/change-event.md"),
            label(
                "direction",
                "`up` or `down` the `ladder`, into or out of an audience; `side` without a ladder; `none` from or to null",
            ),
            label("fresh", "`true` if detected within 5 min of `effective_at`"),
        ],
        "Changes that were published and committed.",
        "Flows from segment to segment; migrations are `fresh`, of cause `event`, `time` or `late`.",
    ),
    counter(
        "shoal_segment_orders_total",
        "orders",
        SEGMENT,
        "Accepted purchases, by the segment before the event.",
        "Orders per session: conversion.",
    ),
    counter(
        "shoal_segment_revenue_total",
        "base currency, major units",
        SEGMENT,
        "Their amounts.",
        "Revenue per segment.",
    ),
    counter(
        "shoal_segment_sessions_total",
        "sessions",
        SEGMENT,
        "Sessions that began (B2), by the segment before the event.",
        "Activity per segment.",
    ),
    counter(
        "shoal_segment_exposures_total",
        "exposures",
        SEGMENT,
        "Accepted exposures, by the segment before the event.",
        "Orders per exposure.",
    ),
    counter(
        "shoal_segment_exposure_cost_total",
        "base currency, major units",
        SEGMENT,
        "Their cost.",
        "Revenue per cost: return.",
    ),
    histogram(
        "shoal_segment_dwell_seconds",
        "seconds",
        SEGMENT,
        "How long those who left a segment had been in it, by `effective_at`.",
        "Short dwell: a rule that flutters.",
    ),
    counter(
        "shoal_changes_returned_total",
        "changes",
        &[SEGMENTATION],
        "Changes back to the value before, within a day.",
        "Their share of changes: give `min_dwell` or `exit`.",
    ),
    gauge(
        "shoal_deadlines_due",
        "customers",
        &[label("within", "`1h`, `1d`, `7d`; each has those before it")],
        "Customers with a moment within so long at which a value may change if nothing happens, late ones included; to a quarter of an hour.",
        "What falls due next.",
    ),
    histogram(
        "shoal_time_change_delay_seconds",
        "seconds",
        &[],
        "How long after `effective_at` and `grace` a change caused by time was detected.",
        "More than seconds while nothing lags.",
    ),
];
