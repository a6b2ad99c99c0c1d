//! The table of all features. A new feature is a new row.
//!
//! The descriptions are the text of docs/features.md.

use super::{AffectedBy, Feature, Parameters, Read, Steps, Unit, browsing, orders, person};

/// A feature of orders, which only purchases, refunds, cancellations and amendments change.
const fn of_orders(name: &'static str, unit: Unit, read: Read, steps: Steps, description: &'static str) -> Feature {
    Feature {
        name,
        parameters: Parameters::OptionalWindow,
        unit,
        description,
        affected_by: AffectedBy::Orders,
        read,
        steps,
    }
}

/// A count of events in a window, by the hour (B1).
const fn counted(name: &'static str, description: &'static str) -> Feature {
    Feature {
        name,
        parameters: Parameters::Window,
        unit: Unit::Count,
        description,
        affected_by: AffectedBy::ItsType,
        read: Read::Events,
        steps: Steps::Falls(browsing::fewer),
    }
}

/// All features, in the order of the documentation.
pub static FEATURES: &[Feature] = &[
    of_orders(
        "orders",
        Unit::Count,
        Read::Whole(orders::orders),
        Steps::Falls(orders::fewer_orders),
        "Number of orders that count: neither cancelled nor wholly refunded.",
    ),
    of_orders(
        "orders_placed",
        Unit::Count,
        Read::Whole(orders::placed),
        Steps::Falls(orders::fewer_placed),
        "Number of all accepted purchases, by order time.",
    ),
    of_orders(
        "orders_returned",
        Unit::Count,
        Read::Whole(orders::returned),
        Steps::Falls(orders::fewer_returned),
        "Number of purchases that were cancelled or had a refund, by order time.",
    ),
    of_orders(
        "discounted_orders",
        Unit::Count,
        Read::Whole(orders::discounted),
        Steps::Falls(orders::fewer_discounted),
        "Number of orders that count and had a discount above 0.",
    ),
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "last_order_value",
            Unit::Money,
            Read::Whole(orders::last_value),
            Steps::Never,
            "Net amount of the latest order that counts; NULL if there is none.",
        )
    },
    of_orders(
        "largest_order",
        Unit::Money,
        Read::Whole(orders::largest),
        Steps::At(orders::largest_leaves),
        "Largest net amount of an order that counts; NULL if there is none.",
    ),
    of_orders(
        "revenue",
        Unit::Money,
        Read::Whole(orders::revenue),
        Steps::At(orders::revenue_steps),
        "Sum of the net amounts of orders that count, less refunds without an order. It can be negative.",
    ),
    of_orders(
        "avg_order_value",
        Unit::Number,
        Read::Value(orders::average_value),
        Steps::At(orders::order_leaves),
        "Mean net amount of the orders that count; NULL if there are none.",
    ),
    of_orders(
        "refunded",
        Unit::Money,
        Read::Whole(orders::refunded),
        Steps::At(orders::refund_leaves),
        "Amount of all refunds, by the time of the refund.",
    ),
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "recency_days",
            Unit::Days,
            Read::Since(orders::latest),
            Steps::Never,
            "Days since the latest order that counts; NULL if there is none.",
        )
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "first_order_days",
            Unit::Days,
            Read::Since(orders::earliest),
            Steps::Never,
            "Days since the earliest order that counts; NULL if there is none.",
        )
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "first_order_at",
            Unit::Time,
            Read::Value(orders::first_at),
            Steps::Never,
            "Moment of the earliest order that counts; NULL if there is none.",
        )
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "last_order_at",
            Unit::Time,
            Read::Value(orders::last_at),
            Steps::Never,
            "Moment of the latest order that counts; NULL if there is none.",
        )
    },
    Feature {
        name: "inactive_days",
        parameters: Parameters::None,
        unit: Unit::Days,
        description: "Days since the latest activity: a purchase, browsing, a click, or an event of a declared type of kind \
                      browsing or activity; NULL if there is none.",
        affected_by: AffectedBy::Activity,
        read: Read::Since(person::last_activity),
        steps: Steps::Never,
    },
    Feature {
        name: "since",
        parameters: Parameters::AnyType,
        unit: Unit::Days,
        description: "Days since the latest event of that type, built in or declared, or counted under that name by [count]; NULL \
                      if there is none in the last 400 days.",
        affected_by: AffectedBy::ItsType,
        read: Read::Since(person::latest_of_type),
        steps: Steps::At(person::latest_is_forgotten),
    },
    Feature {
        name: "days_since",
        parameters: Parameters::TimeAttribute,
        unit: Unit::Days,
        description: "Days since the moment in an attribute of type time; negative before that moment, NULL if the attribute is not set.",
        affected_by: AffectedBy::Profile,
        read: Read::Since(person::moment_in_attribute),
        steps: Steps::Never,
    },
    Feature {
        name: "days_to_anniversary",
        parameters: Parameters::TimeAttribute,
        unit: Unit::Count,
        description: "Whole days to the next day with the month and day of the moment in an attribute of type time, 0 on the day \
                      itself; 29 February is 28 February in other years; NULL if the attribute is not set. Days begin at `[time] \
                      utc_offset`. Compared with literals only.",
        affected_by: AffectedBy::Profile,
        read: Read::Whole(person::days_to_anniversary),
        steps: Steps::CountsDown,
    },
    Feature {
        name: "tenure_days",
        parameters: Parameters::None,
        unit: Unit::Days,
        description: "Days since the earliest accepted event of any type.",
        affected_by: AffectedBy::Any,
        read: Read::Since(person::first_event),
        steps: Steps::Never,
    },
    Feature {
        name: "first_seen_at",
        parameters: Parameters::None,
        unit: Unit::Time,
        description: "Moment of the earliest accepted event of any type.",
        affected_by: AffectedBy::Any,
        read: Read::Value(person::first_seen),
        steps: Steps::Never,
    },
    Feature {
        name: "last_seen_at",
        parameters: Parameters::None,
        unit: Unit::Time,
        description: "Moment of the latest activity, as in inactive_days; NULL if there is none.",
        affected_by: AffectedBy::Activity,
        read: Read::Value(person::last_seen),
        steps: Steps::Never,
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "gap_days",
            Unit::Number,
            Read::Value(orders::gap),
            Steps::Never,
            "Mean number of days between orders that count; NULL if there are fewer than two.",
        )
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "overdue_ratio",
            Unit::Ratio,
            Read::Value(orders::overdue),
            Steps::Never,
            "recency_days divided by gap_days: 1 when the next order is due; NULL if gap_days is NULL or 0.",
        )
    },
    counted("views", "Number of views."),
    counted("searches", "Number of searches."),
    counted("cart_adds", "Number of additions to the cart."),
    counted("cart_removes", "Number of removals from the cart."),
    counted("checkouts", "Number of checkouts that were started."),
    Feature {
        affected_by: AffectedBy::Browsing,
        ..counted(
            "sessions",
            "Number of sessions. A session starts with browsing more than 30 minutes after the latest browsing before it.",
        )
    },
    counted("opens", "Number of opened mails."),
    counted("clicks", "Number of clicks in mails or advertisements."),
    counted("exposures", "Number of times that a campaign was shown."),
    Feature {
        parameters: Parameters::CountedTypeAndDays,
        ..counted(
            "events",
            "Number of events of a browsing, engagement or declared type, or counted under that name by [count], in the last n \
             days.",
        )
    },
    Feature {
        parameters: Parameters::Interval,
        ..of_orders(
            "orders_between",
            Unit::Count,
            Read::Whole(orders::orders_between),
            Steps::Never,
            "Number of orders that count, from the first moment to before the second.",
        )
    },
    Feature {
        parameters: Parameters::Interval,
        ..of_orders(
            "revenue_between",
            Unit::Money,
            Read::Whole(orders::revenue_between),
            Steps::Never,
            "Sum of the net amounts of these orders. Refunds without an order do not lower it.",
        )
    },
    Feature {
        name: "events_between",
        parameters: Parameters::CountedTypeAndInterval,
        unit: Unit::Count,
        description: "Number of events of a browsing, engagement or declared type, from the first moment to before the second, \
                      which are at whole UTC hours.",
        affected_by: AffectedBy::ItsType,
        read: Read::Whole(browsing::events_between),
        steps: Steps::Never,
    },
    Feature {
        name: "cart_open",
        parameters: Parameters::None,
        unit: Unit::Boolean,
        description: "Whether the cart is open: from a cart_add until an order, a cart_total of 0, or 30 days without a cart event.",
        affected_by: AffectedBy::Cart,
        read: Read::Value(browsing::cart_open),
        steps: Steps::At(browsing::cart_closes),
    },
    Feature {
        name: "cart_idle_minutes",
        parameters: Parameters::None,
        unit: Unit::Minutes,
        description: "Minutes since the latest cart event; NULL while the cart is not open.",
        affected_by: AffectedBy::Cart,
        read: Read::Since(browsing::cart_idle),
        steps: Steps::At(browsing::cart_closes),
    },
    Feature {
        name: "cart_value",
        parameters: Parameters::None,
        unit: Unit::Money,
        description: "The latest cart_total of the open cart; NULL if it is unknown or the cart is not open.",
        affected_by: AffectedBy::Cart,
        read: Read::Whole(browsing::cart_value),
        steps: Steps::At(browsing::cart_closes),
    },
    Feature {
        parameters: Parameters::TextAndDays,
        ..of_orders(
            "orders_in",
            Unit::Count,
            Read::WholeOf(orders::in_category),
            Steps::FallsOf(orders::fewer_in_category),
            "Number of orders that count and have the category, in the last n days.",
        )
    },
    Feature {
        name: "views_in",
        parameters: Parameters::TextAndDays,
        unit: Unit::Count,
        description: "Number of views with the category, in the last n days.",
        affected_by: AffectedBy::ItsType,
        read: Read::WholeOf(browsing::views_in),
        steps: Steps::AtOf(browsing::view_in_leaves),
    },
    Feature {
        name: "top_viewed_category",
        parameters: Parameters::Window,
        unit: Unit::Text,
        description: "The category of most views in the window; of several, that of the latest view, then the one with the \
                      smallest bytes; NULL if there is none.",
        affected_by: AffectedBy::ItsType,
        read: Read::Value(browsing::top_viewed),
        steps: Steps::At(browsing::view_of_any_leaves),
    },
    Feature {
        parameters: Parameters::TextAndDays,
        ..of_orders(
            "orders_via",
            Unit::Count,
            Read::WholeOf(orders::via_channel),
            Steps::FallsOf(orders::fewer_via_channel),
            "Number of orders that count and came through the channel, in the last n days.",
        )
    },
    Feature {
        parameters: Parameters::TextAndDays,
        ..of_orders(
            "revenue_in",
            Unit::Money,
            Read::WholeOf(orders::revenue_in_category),
            Steps::AtOf(orders::order_in_category_leaves),
            "Sum of the net amounts of the orders that count and have the category, in the last n days. An order of several \
             categories is whole in each.",
        )
    },
    Feature {
        name: "segment",
        parameters: Parameters::Segmentation,
        unit: Unit::Text,
        description: "The segment of another segmentation in the same evaluation.",
        affected_by: AffectedBy::Targets,
        read: Read::Target,
        steps: Steps::Never,
    },
    Feature {
        name: "audience",
        parameters: Parameters::Audience,
        unit: Unit::Boolean,
        description: "Whether the customer is in another audience in the same evaluation.",
        affected_by: AffectedBy::Targets,
        read: Read::Target,
        steps: Steps::Never,
    },
    Feature {
        name: "bucket",
        parameters: Parameters::SaltAndCount,
        unit: Unit::Count,
        description: "A number from 0 to n - 1 that never changes for a customer: xxh64 of salt, a zero byte and id, modulo n.",
        affected_by: AffectedBy::Nothing,
        read: Read::Whole(person::bucket),
        steps: Steps::Never,
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "top_category",
            Unit::Text,
            Read::Value(orders::top_category),
            Steps::At(orders::remembered_order_leaves),
            "The category of most orders in the last 400 days; of several, the one with the latest time of such an order, then \
             the one with the smallest bytes; NULL if there is none.",
        )
    },
    Feature {
        parameters: Parameters::None,
        ..of_orders(
            "top_channel",
            Unit::Text,
            Read::Value(orders::top_channel),
            Steps::At(orders::remembered_order_leaves),
            "The channel of most orders in the last 400 days; of several, the one with the latest time of such an order, then \
             the one with the smallest bytes; NULL if there is none.",
        )
    },
    Feature {
        name: "customer_id",
        parameters: Parameters::None,
        unit: Unit::Text,
        description: "The id of the customer.",
        affected_by: AffectedBy::Nothing,
        read: Read::Value(person::customer_id),
        steps: Steps::Never,
    },
    Feature {
        name: "has",
        parameters: Parameters::TextsAttributeAndText,
        unit: Unit::Boolean,
        description: "Whether an attribute of type texts contains the text; NULL if the attribute is not set.",
        affected_by: AffectedBy::Profile,
        read: Read::Value(person::has),
        steps: Steps::Never,
    },
    Feature {
        name: "attribute",
        parameters: Parameters::Attribute,
        unit: Unit::Text,
        description: "The value of a declared attribute, by its name; one of type texts can only be used in has() and IS NULL.",
        affected_by: AffectedBy::Profile,
        read: Read::Value(person::attribute),
        steps: Steps::Never,
    },
];

/// Names reserved for the scores and models of a later release (S1-S7); until then rules must not use them.
pub static RESERVED: &[&str] = &[
    "r_score",
    "f_score",
    "m_score",
    "rfm",
    "r_percentile",
    "f_percentile",
    "m_percentile",
    "p_alive",
    "expected_orders",
    "clv",
    "cluster",
];
