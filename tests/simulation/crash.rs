//! Crashes at named places of the program: whoever comes to one that is armed for it never gets further.
//!
//! The program calls `trial::crash_point`, and this thread's hook, put there for as long as a world is played, unwinds
//! the stack of the worker that runs. A release build has no such places.

use super::plan::CrashAt;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// What is armed, and who runs.
#[derive(Default)]
struct State {
    armed: Vec<CrashAt>,
    running: Option<usize>,
    struck: Option<CrashAt>,
}

/// The crash points of one world.
#[derive(Default)]
pub struct Crashes {
    state: Rc<RefCell<State>>,
}

/// What unwinds a worker's stack.
struct Struck;

impl Crashes {
    /// Crash points on this thread are heard here until the world is dropped.
    pub fn listen(&self) {
        #[cfg(debug_assertions)]
        {
            let state = Rc::clone(&self.state);
            shoal::trial::on_crash_point(Some(Rc::new(move |name| pass(&state, name))));
        }
    }

    pub fn arm(&self, crash: CrashAt) {
        self.state.borrow_mut().armed.push(crash);
    }

    pub fn disarm(&self) {
        self.state.borrow_mut().armed.clear();
    }

    /// Lets the worker of a slot run; what it gave, or where it was struck.
    ///
    /// # Errors
    /// If it was struck.
    pub fn watch<T>(&self, slot: usize, run: impl FnOnce() -> T) -> Result<T, CrashAt> {
        self.state.borrow_mut().running = Some(slot);
        let done = catch_unwind(AssertUnwindSafe(run));
        let mut state = self.state.borrow_mut();
        state.running = None;
        done.map_err(|panic| state.struck.take().unwrap_or_else(|| resume_unwind(panic)))
    }
}

impl Drop for Crashes {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        shoal::trial::on_crash_point(None);
    }
}

/// Ends the worker that comes to an armed crash point.
#[cfg_attr(not(debug_assertions), expect(dead_code, reason = "there are no crash points"))]
fn pass(state: &RefCell<State>, name: &str) {
    let mut state = state.borrow_mut();
    let running = state.running;
    let is_due = |crash: &CrashAt| Some(crash.slot) == running && crash.name == name;
    let Some(place) = state.armed.iter().position(is_due) else { return };
    let crash = state.armed.remove(place);
    state.struck = Some(crash);
    drop(state);
    resume_unwind(Box::new(Struck));
}
