//! Metrics of segments: members, changes, actions of customers, and deadlines.

use super::{Metric, SEGMENT, SEGMENTATION, counter, gauge, histogram, label};

pub(super) const METRICS: &[Metric] = &[
    gauge(
        "shoal_members",
        "customers",
        &[SEGMENTATION, label("segment", "segments, at most 250; for audiences only `in`")],
        "Customers in a segment or audience, in this process's shards.",
        "Sizes; sum over instances.",
    ),
    counter(
        "shoal_changes_total",
        "changes",
        &[
            SEGMENTATION,
            label("from", "segments; `in` or `out`; `none` for null"),
            label("to", "as `from`; pairs that occurred, and those that start at 0"),
            label("cause", "causes, see docs/change-event.md"),
            label(
                "direction",
                "`up` or `down` the `ladder`, or into or out of an audience; `side` without a ladder; `none` from or to null",
            ),
            label("fresh", "`true` if detected within 5 minutes of `effective_at`"),
        ],
        "Changes that were published and committed.",
        "Flows between segments; migrations are `fresh` and have the cause `event`, `time` or `late`.",
    ),
    counter(
        "shoal_segment_orders_total",
        "orders",
        SEGMENT,
        "Accepted purchases, by the customer's segment before the event.",
        "Orders per session: conversion.",
    ),
    counter(
        "shoal_segment_revenue_total",
        "base currency, major units",
        SEGMENT,
        "Amounts of accepted purchases, by the customer's segment before the event.",
        "Revenue per segment.",
    ),
    counter(
        "shoal_segment_sessions_total",
        "sessions",
        SEGMENT,
        "Sessions that started (B2), by the customer's segment before the event.",
        "Activity per segment.",
    ),
    counter(
        "shoal_segment_exposures_total",
        "exposures",
        SEGMENT,
        "Accepted exposures, by the customer's segment before the event.",
        "Orders per exposure.",
    ),
    counter(
        "shoal_segment_exposure_cost_total",
        "base currency, major units",
        SEGMENT,
        "Cost of accepted exposures, by the customer's segment before the event.",
        "Revenue per cost: return on advertising.",
    ),
    histogram(
        "shoal_segment_dwell_seconds",
        "seconds",
        SEGMENT,
        "How long customers who left a segment had been in it, by `effective_at`.",
        "Short times: a rule that flaps.",
    ),
    counter(
        "shoal_changes_returned_total",
        "changes",
        &[SEGMENTATION],
        "Changes back to the previous value within a day.",
        "A large share of all changes: use `min_dwell` or `exit`.",
    ),
    gauge(
        "shoal_deadlines_due",
        "customers",
        &[label("within", "`1h`, `1d`, `7d`; each includes the shorter ones")],
        "Customers with a deadline within this time, at which a value may change without an event; overdue ones included; accurate to 15 minutes.",
        "Upcoming changes.",
    ),
    histogram(
        "shoal_time_change_delay_seconds",
        "seconds",
        &[],
        "Time from `effective_at` plus `grace` until a change caused by time was detected.",
        "More than a few seconds while no input lags.",
    ),
];
