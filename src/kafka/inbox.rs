//! What waits for a worker: group events from other threads, and a flag that some partition has new records.
//!
//! The control thread and the survey push events; librdkafka's threads set the flag, from the callback of a partition's
//! queue. Only the worker waits here.

use super::{Failure, GroupEvent};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Whether there is an event, readable without the lock.
    has_event: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Result<GroupEvent, Failure>>,
    /// Some partition has got new records since the worker last waited.
    has_records: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn push(&self, event: Result<GroupEvent, Failure>) {
        self.lock().events.push_back(event);
        self.has_event.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Some partition has new records.
    pub fn notify_records(&self) {
        let mut waiting = self.lock();
        if !waiting.has_records {
            waiting.has_records = true;
            self.changed.notify_all();
        }
    }

    pub fn has_event(&self) -> bool {
        self.has_event.load(Ordering::Acquire)
    }

    pub fn next_event(&self) -> Option<Result<GroupEvent, Failure>> {
        let mut waiting = self.lock();
        let event = waiting.events.pop_front();
        self.has_event.store(!waiting.events.is_empty(), Ordering::Release);
        event
    }

    /// Waits for an event or new records, and clears the flag. If it had to wait and records came, it waits `gather`
    /// longer: few large batches cost less than many small ones.
    pub fn wait(&self, wait: Duration, gather: Duration) {
        let mut waiting = self.lock();
        if !waiting.has_records && waiting.events.is_empty() && !wait.is_zero() {
            waiting = self.wait_while(waiting, wait, |waiting| !waiting.has_records && waiting.events.is_empty());
            if waiting.has_records {
                waiting = self.wait_while(waiting, gather, |waiting| waiting.events.is_empty());
            }
        }
        waiting.has_records = false;
    }

    /// Waits for an event only.
    pub fn wait_for_event(&self, wait: Duration) {
        drop(self.wait_while(self.lock(), wait, |waiting| waiting.events.is_empty()));
    }

    fn wait_while<'a>(
        &'a self,
        waiting: MutexGuard<'a, Waiting>,
        wait: Duration,
        idle: impl Fn(&Waiting) -> bool,
    ) -> MutexGuard<'a, Waiting> {
        let waited = self.changed.wait_timeout_while(waiting, wait, |waiting| idle(waiting));
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn events_and_new_records_end_a_wait_and_the_flag_is_cleared_once() {
        let inbox = Inbox::default();
        let long = Duration::from_secs(60);
        inbox.notify_records();
        inbox.wait(long, Duration::ZERO);
        inbox.push(Ok(GroupEvent::Assigned(vec![1])));
        inbox.wait(long, Duration::ZERO);
        assert!(inbox.has_event());
        assert_eq!(inbox.next_event(), Some(Ok(GroupEvent::Assigned(vec![1]))));
        assert!(!inbox.has_event());
        let before = Instant::now();
        inbox.wait(Duration::from_millis(5), Duration::ZERO);
        assert!(before.elapsed() >= Duration::from_millis(5), "the flag was cleared");
    }

    #[test]
    fn records_that_another_thread_announces_end_the_wait() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            scope.spawn(|| inbox.notify_records());
            inbox.wait(Duration::from_secs(60), Duration::from_millis(1));
        });
    }
}
