//! Requests to the brokers: how long an answer may take, how they are retried, and how a future is awaited.

use crate::kafka::Failure;
use crate::repeats::Repeats;
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// A request without an answer within this time has failed.
pub const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// From an answer that was not good to the next request.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(20);

static RETRIES: Repeats = Repeats::new();

/// Repeats a request that fails with [`Failure::Rebuild`], for as long as one request may take.
pub fn retry<T>(request: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let deadline = Instant::now() + REQUEST_WAIT;
    loop {
        match request() {
            Err(Failure::Rebuild(message)) if Instant::now() < deadline => {
                RETRIES.log(&message, |left_out| {
                    tracing::info!(target: "kafka", left_out, error = message, "a request failed; retrying it");
                });
                std::thread::sleep(RETRY_INTERVAL);
            }
            done => return done,
        }
    }
}

/// Makes an error of the client a failure that no repetition helps against.
pub fn stop<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Stop(format!("{what}: {error}"))
}

/// Waits for one future on this thread: the admin client has no blocking calls.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
