//! Deliberate crashes and deliberate bugs, for the tests that must survive the ones and find the others.
//!
//! All of it exists only with debug assertions: a release build compiles [`crash_point`] to nothing and
//! [`is_sabotaged`] to `false`, which the last lines of this file check, and reads none of the variables.
//!
//! A process takes its orders from the environment, once: `SHOAL_CRASH_AT=name` aborts it when it first comes to the
//! crash point of that name, `name@3` when it does so the third time, `apply/c-7` when a
//! record of that customer is applied; `SHOAL_SABOTAGE=name` puts a bug into it, and
//! `SHOAL_BLIND=1` switches off what it checks of itself, so that only others can find the bug. In the simulation, where
//! many processes are threads' coroutines, a thread sets the same with [`on_crash_point`], [`sabotage`] and [`blind`].

/// Everywhere a process can be told to crash: between two steps of what it does, with the step before. A crash point
/// whose name is not here is a panic, so a test that goes through this table goes through all.
pub const CRASH_POINTS: [(&str, &str); 37] = [
    ("transaction/sealed", "outputs and journal records are encoded, nothing is sent"),
    ("transaction/begun", "the client has begun a transaction"),
    ("transaction/produced", "all records are handed to the client"),
    ("transaction/written", "the brokers have acknowledged all records"),
    ("transaction/offsets-sent", "the offsets are in the transaction; its end is next"),
    ("transaction/ended", "it is committed, the worker does not know yet"),
    ("transaction/known", "the worker has taken notice of the commit"),
    ("recovery/begin", "a shard's recovery begins, before anybody is fenced"),
    ("recovery/fenced", "the identity's earlier holders are fenced"),
    ("recovery/holder-fenced", "the open transaction of a shard's last owner is ended"),
    ("recovery/tail", "the ends of a shard's own partitions are read"),
    ("recovery/record", "a journal record is done again"),
    ("recovery/repaired", "a torn transaction is put right"),
    ("recovery/done", "the state is where the journal ends, the shard has yet to start"),
    ("takeover/kept", "a shard that was kept is found to be as the journal ends"),
    ("takeover/not-kept", "somebody else had it meanwhile: its state is dropped"),
    ("control/before", "rules or inputs are about to be published"),
    ("control/published", "they are, and have yet to be read"),
    ("revoke/begin", "shards are revoked, nothing is done yet"),
    ("revoke/committed", "their transaction is committed"),
    ("revoke/kept", "their states are kept or dropped, the group waits for us"),
    ("revoke/released", "the group knows that we have let go of them"),
    ("stop/begin", "the process is to end, the last transaction is still open"),
    ("snapshot/begin", "the first piece of a snapshot is taken"),
    ("snapshot/part", "a file of a snapshot is put"),
    ("snapshot/before-manifest", "all its files are put"),
    ("snapshot/after-manifest", "its manifest is put, nobody knows yet"),
    ("merge/part", "a file of a merged base is put"),
    ("merge/done", "a merged base is complete, and in no manifest"),
    ("retention/manifest", "an old manifest is removed"),
    ("retention/file", "an old file is removed"),
    ("load/part", "a file of a snapshot is read into the state"),
    ("seed/part", "a file of a seed is put"),
    ("seed/before-manifest", "all its files are put"),
    ("seed/after-manifest", "its manifest is put"),
    ("rebuild/snapshot", "the snapshot of a rebuild is put, its journal record is not there"),
    ("rebuild/journal", "its journal record is committed"),
];

/// Before a customer id: a process can also be told to crash when it applies a record of this customer, which stands for
/// a record that kills it.
#[cfg(debug_assertions)]
const APPLYING: &str = "apply/";

/// A bug that can be switched on. Each is at one place in the code, where it says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sabotage {
    /// Offsets are committed after the transaction, on their own.
    OffsetsOutside,
    /// A transaction without records of inputs in it leaves their offsets out, and with them the group's fence.
    TickWithoutOffsets,
    /// Recovery leaves one journal record out.
    JournalRecordSkipped,
    /// Recovery merges the first two topics the wrong way round where arrivals are equal.
    TopicsSwapped,
    /// What a deadline causes becomes true when it is noticed.
    DeadlinesAtTick,
    /// Snapshots have no event ids.
    DuplicatesForgotten,
    /// A changed customer is missing in a snapshot.
    RowMissing,
    /// Revoked shards are given up with their transaction open, and kept as if it were committed.
    RevokeWithoutCommit,
    /// As whom offsets are committed is asked only at the end of a transaction.
    MembershipLate,
    /// Only a part of the state's digest counts.
    DigestCut,
    /// A transaction is sent with what is left of the last producer, without fencing who came in between.
    OutputBeforeFence,
    /// An erasure leaves no mark.
    EraseMarkLost,
    /// Recovery takes the rules of the file instead of those of then.
    RulesFromFile,
}

impl Sabotage {
    pub const ALL: [Self; 13] = [
        Self::OffsetsOutside,
        Self::TickWithoutOffsets,
        Self::JournalRecordSkipped,
        Self::TopicsSwapped,
        Self::DeadlinesAtTick,
        Self::DuplicatesForgotten,
        Self::RowMissing,
        Self::RevokeWithoutCommit,
        Self::MembershipLate,
        Self::DigestCut,
        Self::OutputBeforeFence,
        Self::EraseMarkLost,
        Self::RulesFromFile,
    ];

    /// As `SHOAL_SABOTAGE` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OffsetsOutside => "offsets-outside",
            Self::TickWithoutOffsets => "tick-without-offsets",
            Self::JournalRecordSkipped => "journal-record-skipped",
            Self::TopicsSwapped => "topics-swapped",
            Self::DeadlinesAtTick => "deadlines-at-tick",
            Self::DuplicatesForgotten => "duplicates-forgotten",
            Self::RowMissing => "row-missing",
            Self::RevokeWithoutCommit => "revoke-without-commit",
            Self::MembershipLate => "membership-late",
            Self::DigestCut => "digest-cut",
            Self::OutputBeforeFence => "output-before-fence",
            Self::EraseMarkLost => "erase-mark-lost",
            Self::RulesFromFile => "rules-from-file",
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{blind, crash_applying, crash_point, is_blind, is_sabotaged, on_crash_point, sabotage};

#[cfg(debug_assertions)]
mod armed {
    use super::{APPLYING, CRASH_POINTS, Sabotage};
    use std::cell::{Cell, RefCell};
    use std::env;
    use std::rc::Rc;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// What is to be done at a crash point instead of aborting.
    pub type Hook = Rc<dyn Fn(&'static str)>;

    /// The crash point at which this process is to end.
    struct Crash {
        name: String,
        /// How often it is passed before.
        left: AtomicU32,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let text = env::var("SHOAL_CRASH_AT").ok()?;
        let (name, times) = text.split_once('@').unwrap_or((&text, "1"));
        let times: Option<u32> = times.parse().ok().filter(|&times| times > 0);
        let times = times.unwrap_or_else(|| panic!("SHOAL_CRASH_AT={text}: expected NAME or NAME@TIMES"));
        check(name);
        Some(Crash { name: name.to_owned(), left: AtomicU32::new(times) })
    });
    static SABOTAGE: LazyLock<Option<Sabotage>> = LazyLock::new(|| {
        let text = env::var("SHOAL_SABOTAGE").ok()?;
        let found = Sabotage::ALL.into_iter().find(|sabotage| sabotage.name() == text);
        assert!(found.is_some(), "SHOAL_SABOTAGE={text}: expected one of {:?}", Sabotage::ALL.map(Sabotage::name));
        found
    });
    static BLIND: LazyLock<bool> = LazyLock::new(|| env::var("SHOAL_BLIND").is_ok_and(|text| text == "1"));

    thread_local! {
        static HOOK_HERE: RefCell<Option<Hook>> = const { RefCell::new(None) };
        static SABOTAGE_HERE: Cell<Option<Sabotage>> = const { Cell::new(None) };
        static BLIND_HERE: Cell<bool> = const { Cell::new(false) };
    }

    fn check(name: &str) {
        let is_known = name.starts_with(APPLYING) || CRASH_POINTS.iter().any(|(known, _)| *known == name);
        assert!(is_known, "{name:?} is not in the table of crash points, src/trial.rs");
    }

    /// The process comes to a crash point: it ends here if it was told to.
    ///
    /// # Panics
    /// If the name is not in the table.
    pub fn crash_point(name: &'static str) {
        check(name);
        if let Some(hook) = HOOK_HERE.with_borrow(Clone::clone) {
            return hook(name);
        }
        if let Some(crash) = CRASH.as_ref().filter(|crash| crash.name == name)
            && crash.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            eprintln!("crash point {name}: this process ends, as SHOAL_CRASH_AT says");
            std::process::abort();
        }
    }

    /// Records of these keys are about to be applied: the process ends here if it was told to at one of them.
    pub fn crash_applying<'a>(keys: impl Iterator<Item = Option<&'a [u8]>>) {
        let Some((crash, key)) = CRASH.as_ref().and_then(|crash| Some((crash, crash.name.strip_prefix(APPLYING)?)))
        else {
            return;
        };
        for found in keys {
            if found == Some(key.as_bytes()) && crash.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                eprintln!("a record of {key}: this process ends, as SHOAL_CRASH_AT says");
                std::process::abort();
            }
        }
    }

    /// Whether this bug is to be there.
    pub fn is_sabotaged(sabotage: Sabotage) -> bool {
        SABOTAGE_HERE.get().or(*SABOTAGE) == Some(sabotage)
    }

    /// Whether what the program checks of its own doing (digests, counts and hashes of steps, numbers that must follow)
    /// is not to stop it.
    pub fn is_blind() -> bool {
        BLIND_HERE.get() || *BLIND
    }

    /// What this thread does at crash points from now on. To crash, a hook unwinds.
    pub fn on_crash_point(hook: Option<Hook>) {
        HOOK_HERE.set(hook);
    }

    /// Puts a bug into whatever runs on this thread, or takes it out.
    pub fn sabotage(sabotage: Option<Sabotage>) {
        SABOTAGE_HERE.set(sabotage);
    }

    /// Lets whatever runs on this thread not check itself, or check itself again.
    pub fn blind(is_blind: bool) {
        BLIND_HERE.set(is_blind);
    }
}

/// Nothing: this is a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn crash_point(_name: &'static str) {}

/// Nothing: this is a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn crash_applying<'a>(_keys: impl Iterator<Item = Option<&'a [u8]>>) {}

/// False: this is a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_sabotaged(_sabotage: Sabotage) -> bool {
    false
}

/// False: this is a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn is_blind() -> bool {
    false
}

// A release build in which any of this could do something is none.
#[cfg(not(debug_assertions))]
const _: () = {
    crash_point("");
    assert!(!is_blind());
    let mut place = 0;
    while place < Sabotage::ALL.len() {
        assert!(!is_sabotaged(Sabotage::ALL[place]));
        place += 1;
    }
};

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    #[test]
    fn a_thread_hears_of_its_crash_points() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hearing = Rc::clone(&heard);
        on_crash_point(Some(Rc::new(move |name| hearing.borrow_mut().push(name))));
        crash_point("transaction/begun");
        crash_point("load/part");
        on_crash_point(None);
        crash_point("merge/done");
        assert_eq!(*heard.borrow(), ["transaction/begun", "load/part"]);
    }

    #[test]
    #[should_panic(expected = "not in the table")]
    fn a_crash_point_that_nobody_knows_is_a_panic() {
        crash_point("transaction/somewhere");
    }

    #[test]
    fn names_are_there_once() {
        let points: BTreeSet<&str> = CRASH_POINTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(points.len(), CRASH_POINTS.len());
        let bugs: BTreeSet<&str> = Sabotage::ALL.into_iter().map(Sabotage::name).collect();
        assert_eq!(bugs.len(), Sabotage::ALL.len());
    }

    #[test]
    fn bugs_are_of_one_thread() {
        sabotage(Some(Sabotage::DigestCut));
        blind(true);
        assert!(is_sabotaged(Sabotage::DigestCut) && !is_sabotaged(Sabotage::RowMissing) && is_blind());
        let elsewhere = std::thread::spawn(|| is_sabotaged(Sabotage::DigestCut) || is_blind());
        assert!(!elsewhere.join().expect("a thread that looks"));
        sabotage(None);
        blind(false);
    }
}
