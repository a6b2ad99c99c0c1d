//! Crashes at crash points of the program: a worker that reaches one that is armed for it never continues.
//!
//! The program calls `fault_injection::crash_point`; while a world is played, this thread's hook unwinds the stack of
//! the worker that runs. A release build has no crash points.

use super::plan::PlannedCrash;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// Which crashes are armed, and which slot's worker runs.
#[derive(Default)]
struct State {
    armed: Vec<PlannedCrash>,
    running: Option<usize>,
    crashed: Option<PlannedCrash>,
}

/// The crash points of one world.
#[derive(Default)]
pub struct Crashes {
    state: Rc<RefCell<State>>,
}

/// The panic that unwinds a worker's stack.
struct Crash;

impl Crashes {
    /// Sets this thread's hook until the world is dropped.
    pub fn set_hook(&self) {
        #[cfg(debug_assertions)]
        {
            let state = Rc::clone(&self.state);
            shoal::fault_injection::set_crash_hook(Some(Rc::new(move |name| reach(&state, name))));
        }
    }

    pub fn arm(&self, crash: PlannedCrash) {
        self.state.borrow_mut().armed.push(crash);
    }

    pub fn disarm_all(&self) {
        self.state.borrow_mut().armed.clear();
    }

    /// Lets the worker of a slot run, and returns its result.
    ///
    /// # Errors
    /// If it crashed at an armed crash point.
    pub fn run<T>(&self, slot: usize, run: impl FnOnce() -> T) -> Result<T, PlannedCrash> {
        self.state.borrow_mut().running = Some(slot);
        let done = catch_unwind(AssertUnwindSafe(run));
        let mut state = self.state.borrow_mut();
        state.running = None;
        done.map_err(|panic| state.crashed.take().unwrap_or_else(|| resume_unwind(panic)))
    }
}

impl Drop for Crashes {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        shoal::fault_injection::set_crash_hook(None);
    }
}

/// Unwinds the worker if the crash point is armed for it.
#[cfg_attr(not(debug_assertions), expect(dead_code, reason = "there are no crash points"))]
fn reach(state: &RefCell<State>, name: &str) {
    let mut state = state.borrow_mut();
    let running = state.running;
    let is_due = |crash: &PlannedCrash| Some(crash.slot) == running && crash.name == name;
    let Some(index) = state.armed.iter().position(is_due) else { return };
    let crash = state.armed.remove(index);
    state.crashed = Some(crash);
    drop(state);
    resume_unwind(Box::new(Crash));
}
