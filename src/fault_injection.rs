//! Crash points: named steps at which a test can end the process, to show that it survives a crash there.
//!
//! Crash points exist only with debug assertions: in a release build [`crash_point`] is an empty constant function,
//! which the last lines of this file check, and the environment variable is not read.
//!
//! `SHOAL_CRASH_AT=NAME` aborts the process when it first reaches the crash point of that name, `NAME@3` when it
//! reaches it for the third time, and `apply/KEY` when a record with that key is applied. In the simulation, where
//! several workers share a thread, [`set_crash_hook`] replaces the abort for one thread.

/// All crash points with what has happened when each is reached. A name that is not listed panics, so a test that goes
/// through this table goes through all crash points.
pub const CRASH_POINTS: [(&str, &str); 37] = [
    ("transaction/sealed", "outputs and journal records are encoded, nothing is sent"),
    ("transaction/begun", "the client has begun a transaction"),
    ("transaction/produced", "all records are handed to the client"),
    ("transaction/written", "the brokers have acknowledged all records"),
    ("transaction/offsets-sent", "the offsets are in the transaction, which ends next"),
    ("transaction/ended", "the transaction is committed, the worker has not received the answer"),
    ("transaction/known", "the worker has processed the commit"),
    ("recovery/begin", "recovery of a shard begins, before anything is fenced"),
    ("recovery/fenced", "earlier holders of the identity are fenced"),
    ("recovery/holder-fenced", "the open transaction of a shard's last owner is ended"),
    ("recovery/tail", "the ends of a shard's own partitions are read"),
    ("recovery/record", "a journal record is replayed"),
    ("recovery/repaired", "a torn transaction is repaired"),
    ("recovery/done", "the state is at the end of the journal, the shard has not started"),
    ("takeover/kept", "a kept shard is at the end of the journal"),
    ("takeover/not-kept", "another worker owned a kept shard in between: its state is dropped"),
    ("control/before", "rules or inputs are about to be published"),
    ("control/published", "rules or inputs are published and not read back yet"),
    ("revoke/begin", "shards are revoked, nothing is done yet"),
    ("revoke/committed", "the transaction of revoked shards is committed"),
    ("revoke/kept", "the states of revoked shards are kept or dropped, the group waits for the worker"),
    ("revoke/released", "the revocation is confirmed to the group"),
    ("stop/begin", "the process is to end, the last transaction is still open"),
    ("snapshot/begin", "a snapshot begins"),
    ("snapshot/part", "a file of a snapshot is put"),
    ("snapshot/before-manifest", "all files of a snapshot are put"),
    ("snapshot/after-manifest", "the manifest of a snapshot is put, the outcome is not reported"),
    ("merge/part", "a file of a merged base is put"),
    ("merge/done", "a merged base is complete and in no manifest"),
    ("retention/manifest", "an old manifest is removed"),
    ("retention/file", "an old file is removed"),
    ("load/part", "a file of a snapshot is read into the state"),
    ("seed/part", "a file of a seed is put"),
    ("seed/before-manifest", "all files of a seed are put"),
    ("seed/after-manifest", "the manifest of a seed is put"),
    ("rebuild/snapshot", "the snapshot of a rebuild is put, its journal record is not written"),
    ("rebuild/journal", "the journal record of a rebuild is committed"),
];

#[cfg(debug_assertions)]
pub use armed::{crash_point, crash_point_for_keys, set_crash_hook};

#[cfg(debug_assertions)]
mod armed {
    use super::CRASH_POINTS;
    use std::cell::RefCell;
    use std::env;
    use std::rc::Rc;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Prefix of a record's key: the process crashes when a record with this key is applied.
    const APPLYING: &str = "apply/";

    /// What a thread does at a crash point instead of aborting.
    pub type CrashHook = Rc<dyn Fn(&'static str)>;

    /// The crash point at which this process ends.
    struct Crash {
        name: String,
        /// How often the process still has to reach it, the crash included.
        left: AtomicU32,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let text = env::var("SHOAL_CRASH_AT").ok()?;
        let (name, times) = text.split_once('@').unwrap_or((&text, "1"));
        let times: Option<u32> = times.parse().ok().filter(|&times| times > 0);
        let times = times.unwrap_or_else(|| panic!("SHOAL_CRASH_AT={text}: expected NAME or NAME@TIMES"));
        if !name.starts_with(APPLYING) {
            check_listed(name);
        }
        Some(Crash { name: name.to_owned(), left: AtomicU32::new(times) })
    });

    thread_local! {
        static HOOK: RefCell<Option<CrashHook>> = const { RefCell::new(None) };
    }

    fn check_listed(name: &str) {
        let is_listed = CRASH_POINTS.iter().any(|(listed, _)| *listed == name);
        assert!(is_listed, "{name:?} is not in the table of crash points in src/fault_injection.rs");
    }

    /// The process reaches a crash point, and aborts if `SHOAL_CRASH_AT` says so.
    ///
    /// # Panics
    /// If the name is not in [`CRASH_POINTS`].
    pub fn crash_point(name: &'static str) {
        check_listed(name);
        if let Some(hook) = HOOK.with_borrow(Clone::clone) {
            return hook(name);
        }
        if let Some(crash) = CRASH.as_ref().filter(|crash| crash.name == name) {
            crash.reach(name);
        }
    }

    /// Records with these keys are about to be applied. Aborts if `SHOAL_CRASH_AT` names one of the keys.
    pub fn crash_point_for_keys<'a>(keys: impl Iterator<Item = Option<&'a [u8]>>) {
        let Some(crash) = CRASH.as_ref() else { return };
        let Some(key) = crash.name.strip_prefix(APPLYING) else { return };
        keys.filter(|found| *found == Some(key.as_bytes())).for_each(|_| crash.reach(&crash.name));
    }

    impl Crash {
        fn reach(&self, name: &str) {
            if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                eprintln!("crash point {name}: aborting, as SHOAL_CRASH_AT says");
                std::process::abort();
            }
        }
    }

    /// Sets what this thread does at crash points from now on. A hook that simulates a crash unwinds.
    pub fn set_crash_hook(hook: Option<CrashHook>) {
        HOOK.set(hook);
    }
}

/// Does nothing: this is a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn crash_point(_name: &'static str) {}

/// Does nothing: this is a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn crash_point_for_keys<'a>(_keys: impl Iterator<Item = Option<&'a [u8]>>) {}

// A function that can be evaluated at compile time cannot end the process: crash points do nothing in a release build.
#[cfg(not(debug_assertions))]
const _: () = crash_point("");

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    #[test]
    fn hook_of_the_thread_is_called_until_it_is_removed() {
        let reached = Rc::new(RefCell::new(Vec::new()));
        let recorded = Rc::clone(&reached);
        set_crash_hook(Some(Rc::new(move |name| recorded.borrow_mut().push(name))));
        crash_point("transaction/begun");
        crash_point("load/part");
        set_crash_hook(None);
        crash_point("merge/done");
        assert_eq!(*reached.borrow(), ["transaction/begun", "load/part"]);
    }

    #[test]
    #[should_panic(expected = "not in the table")]
    fn unlisted_crash_point_panics() {
        crash_point("transaction/somewhere");
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = CRASH_POINTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), CRASH_POINTS.len());
    }
}
