//! Which part of the work an instruction belongs to, by the chain of functions within which it was run.
//!
//! These functions are `#[inline(never)]`, so that they are found in every optimised build.

use super::callgrind::Chain;

/// A part of the work with the functions that do it, each by the end of its path.
struct Part {
    name: &'static str,
    functions: &'static [&'static str],
    /// Whether all that these functions call belongs to it, or only what no other part names.
    is_closed: bool,
}

const fn closed(name: &'static str, functions: &'static [&'static str]) -> Part {
    Part { name, functions, is_closed: true }
}

const fn open(name: &'static str, functions: &'static [&'static str]) -> Part {
    Part { name, functions, is_closed: false }
}

const PARTS: [Part; 15] = [
    open("rest", &["::shard::Shard::apply"]),
    closed("decode", &["::decode::Decoder::decode_into"]),
    closed("ids", &["::DuplicateMemory::contains", "::DuplicateMemory::insert"]),
    closed(
        "read",
        &[
            "Rules>::read_truths",
            "Rules>::read_truths_before_event",
            "Rules>::may_change_values",
            "Rules>::has_same_truths",
        ],
    ),
    closed("update", &["Profiles>::update", "Profiles>::count_own", "::customers::Customers::count_action"]),
    open(
        "deadlines",
        &["::deadlines::fire", "::deadlines::fire_deadline", "::deadlines::arm_next", "::deadlines::arm_earlier"],
    ),
    closed("deadlines", &["Rules>::next_deadline", "Rules>::next_deadline_touched_by"]),
    closed("deadlines", &["::timer::Wheel::insert", "::timer::Wheel::advance"]),
    closed("evaluate", &["::evaluation::evaluate", "::evaluation::evaluate_touched"]),
    closed("because", &["::changes::explain"]),
    closed("next", &["::changes::forecast"]),
    open("record", &["::changes::record_changes"]),
    closed("encode", &["Outbox::encode_traced", "Outbox::encode_memberships"]),
    open("publish", &["Worker<L>::commit"]),
    open("loop", &["::count::work::run_to_end"]),
];

/// Everything of the log in memory, which stands in for the client and the broker.
const LOG: &str = "::kafka::memory::";

/// Parts of a change; all others are parts of an event.
pub const OF_A_CHANGE: [&str; 6] = ["evaluate", "because", "next", "record", "encode", "publish"];
/// Parts of an event, in the order in which it meets them.
pub const OF_AN_EVENT: [&str; 7] = ["loop", "decode", "ids", "read", "update", "deadlines", "rest"];
/// What is not counted: the memory log.
pub const NOT_COUNTED: &str = "log";

/// The part that a chain belongs to; `None` if it is outside of the engine and the worker.
pub fn part_of(chain: &Chain) -> Option<&'static str> {
    let mut innermost = None;
    for name in chain.names().rev() {
        let is_log = name.contains(LOG);
        if is_log && innermost.is_some() {
            return Some(NOT_COUNTED);
        }
        let name = name.trim_end_matches("::{{closure}}");
        let part = PARTS.iter().find(|part| part.functions.iter().any(|function| name.ends_with(function)));
        if let Some(part) = part {
            if part.is_closed {
                return Some(part.name);
            }
            innermost = Some(part.name);
        }
    }
    innermost
}
