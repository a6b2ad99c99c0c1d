//! What waits for a worker: news that other threads bring, and the mark that a partition has something new.
//!
//! The control thread and the watch put news in; librdkafka's threads set the mark, from a callback of a partition's
//! queue. Only the worker waits here.

use super::{Failure, News};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Whether there is news, without the lock.
    has_news: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    news: VecDeque<Result<News, Failure>>,
    /// Something new is in a partition since the worker last waited.
    data: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn tell(&self, news: Result<News, Failure>) {
        self.lock().news.push_back(news);
        self.has_news.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Something new is in a partition.
    pub fn mark(&self) {
        let mut waiting = self.lock();
        if !waiting.data {
            waiting.data = true;
            self.changed.notify_all();
        }
    }

    pub fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    pub fn take_news(&self) -> Option<Result<News, Failure>> {
        let mut waiting = self.lock();
        let news = waiting.news.pop_front();
        self.has_news.store(!waiting.news.is_empty(), Ordering::Release);
        news
    }

    /// Waits for news or the mark, and takes the mark away. If it had to wait and the mark came, it waits `gather`
    /// longer: few large batches cost less than many small ones.
    pub fn wait(&self, wait: Duration, gather: Duration) {
        let mut waiting = self.lock();
        if !waiting.data && waiting.news.is_empty() && !wait.is_zero() {
            waiting = self.wait_while(waiting, wait, |waiting| !waiting.data && waiting.news.is_empty());
            if waiting.data {
                waiting = self.wait_while(waiting, gather, |waiting| waiting.news.is_empty());
            }
        }
        waiting.data = false;
    }

    /// Waits for news only.
    pub fn wait_for_news(&self, wait: Duration) {
        drop(self.wait_while(self.lock(), wait, |waiting| waiting.news.is_empty()));
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
    fn news_and_marks_end_a_wait_and_a_mark_is_taken_once() {
        let inbox = Inbox::default();
        let long = Duration::from_secs(60);
        inbox.mark();
        inbox.wait(long, Duration::ZERO);
        inbox.tell(Ok(News::Assigned(vec![1])));
        inbox.wait(long, Duration::ZERO);
        assert!(inbox.has_news());
        assert_eq!(inbox.take_news(), Some(Ok(News::Assigned(vec![1]))));
        assert!(!inbox.has_news());
        let before = Instant::now();
        inbox.wait(Duration::from_millis(5), Duration::ZERO);
        assert!(before.elapsed() >= Duration::from_millis(5), "the mark was taken");
    }

    #[test]
    fn what_another_thread_brings_ends_the_wait() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            scope.spawn(|| inbox.mark());
            inbox.wait(Duration::from_secs(60), Duration::from_millis(1));
        });
    }
}
