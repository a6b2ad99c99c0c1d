//! The engine is pure, with the reader of documents that it uses: its effects depend on its inputs only, on every
//! machine alike.

use crate::sources::{expect_none, has_word, production};

/// What makes a result depend on anything but the inputs, or reports it in passing; and what to do instead.
const IMPURE: [(&str, &str); 43] = [
    ("std::time", "time is an input"),
    ("Instant::", "time is an input"),
    ("SystemTime", "time is an input"),
    ("Timestamp::now", "time is an input"),
    ("std::io", "effects are values, the worker does I/O"),
    ("std::fs", "effects are values, the worker does I/O"),
    ("std::net", "effects are values, the worker does I/O"),
    ("std::env", "settings are passed"),
    ("std::process", "a broken invariant is a panic"),
    ("std::thread", "a shard belongs to one thread"),
    ("thread_local!", "a shard belongs to one thread"),
    ("Mutex", "a shard belongs to one thread"),
    ("RwLock", "a shard belongs to one thread"),
    ("Condvar", "a shard belongs to one thread"),
    ("std::sync::atomic", "a shard belongs to one thread"),
    ("static mut", "state belongs to the shard"),
    ("rand::", "the same inputs give the same effects"),
    ("getrandom", "the same inputs give the same effects"),
    ("RandomState", "a hasher with a fixed seed: the same inputs give the same effects"),
    ("DefaultHasher", "a hasher with a fixed seed: the same inputs give the same effects"),
    ("tracing::", "count it in `Counts`; the worker reports it"),
    ("log::", "count it in `Counts`; the worker reports it"),
    ("eprint!", "count it in `Counts`; the worker reports it"),
    ("eprintln!", "count it in `Counts`; the worker reports it"),
    ("print!", "count it in `Counts`; the worker reports it"),
    ("println!", "count it in `Counts`; the worker reports it"),
    ("dbg!", "count it in `Counts`; the worker reports it"),
    ("prometheus", "count it in `Counts`; the worker reports it"),
    ("rdkafka", "the engine does not know Kafka"),
    (".exp()", TRANSCENDENTAL),
    (".powf(", TRANSCENDENTAL),
    (".powi(", TRANSCENDENTAL),
    (".sin()", TRANSCENDENTAL),
    (".cos()", TRANSCENDENTAL),
    (".ln()", TRANSCENDENTAL),
    (".ln_1p()", TRANSCENDENTAL),
    (".log10()", TRANSCENDENTAL),
    (".log2()", TRANSCENDENTAL),
    (".log(", TRANSCENDENTAL),
    (".tan()", TRANSCENDENTAL),
    (".cbrt()", TRANSCENDENTAL),
    (".hypot(", TRANSCENDENTAL),
    (".exp2()", TRANSCENDENTAL),
];
const TRANSCENDENTAL: &str = "its last digit differs between machines: use a libm written in Rust";

#[test]
fn the_engine_is_pure() {
    let mut faults = Vec::new();
    for source in production("src/engine").into_iter().chain(production("src/document")) {
        for (pattern, instead) in IMPURE.iter().filter(|(pattern, _)| has_word(&source.text, pattern)) {
            faults.push(format!("{}: the engine must not use `{pattern}`: {instead}", source.path));
        }
        let uses_std_map = source.text.split(';').any(|statement| {
            let is_standard = statement.contains("std::collections");
            is_standard && (statement.contains("HashMap") || statement.contains("HashSet"))
        });
        if uses_std_map {
            let instead = "use a hashbrown map with a hasher of fixed seed, or a BTreeMap";
            faults.push(format!("{}: the standard hash map has a random seed: {instead}", source.path));
        }
    }
    expect_none(&faults);
}
