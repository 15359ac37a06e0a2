//! Cancellation, progress and threads of long computations.
//!
//! A computation is run within a [`ExecutionContext`]. Whatever fits or searches inside calls [`check`] in
//! its
//! loops, so that a cancelled one ends soon, and asks `threads` how many it may take. Outside of
//! any context nothing is cancelled and nothing bounded.

use crate::error::{Error, ErrorKind, Result};
use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Stops computations; clones share one state.
#[derive(Debug, Clone, Default)]
pub struct CancellationToken(Arc<AtomicBool>);

impl CancellationToken {
    /// Creates a token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every computation with this token soon, with an error of kind `Cancelled`.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether it was set.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Progress of a computation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The current step, in a word or two: `reading`, `fitting`, `trial 7 of 40`.
    pub stage: String,
    /// The share of the whole that is done, 0 to 1; it never goes back.
    pub fraction: f64,
    /// How long the rest may take, by how long this much took; `None` at the beginning.
    pub remaining: Option<Duration>,
}

type Listener = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Threads, cancellation and progress of a computation.
///
/// ```
/// use devmatrix_ml::execution::{self, CancellationToken, ExecutionContext};
/// let cancel = CancellationToken::new();
/// let work = ExecutionContext::new().with_cancel(&cancel).with_threads(1)?;
/// assert!(work.run(execution::check).is_ok());
/// cancel.cancel();
/// assert!(work.run(execution::check).is_err());
/// assert!(execution::check().is_ok()); // outside
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ExecutionContext {
    cancel: CancellationToken,
    threads: Option<usize>,
    listener: Option<Listener>,
}

impl ExecutionContext {
    /// Creates a context without bound, listener or token.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the token that stops it.
    #[must_use]
    pub fn with_cancel(self, cancel: &CancellationToken) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Sets the most threads at a time, the calling one among them.
    ///
    /// # Errors
    /// `InvalidInput` for none.
    pub fn with_threads(self, threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::invalid("threads is 0, expected at least 1"));
        }
        Ok(Self { threads: Some(threads), ..self })
    }

    /// Sets the listener of progress; it is called from the computing thread and should
    /// return at once.
    #[must_use]
    pub fn with_progress(self, listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)), ..self }
    }

    /// Returns the token that cancels it.
    pub(crate) fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Runs `computation` within this context, on the calling thread.
    pub fn run<T>(&self, computation: impl FnOnce() -> T) -> T {
        let _left = Entered(CURRENT.replace(Some(self.clone())));
        computation()
    }

    /// Checks that it was not cancelled.
    ///
    /// # Errors
    /// `Cancelled` when it may not.
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "cancelled by the caller: nothing was registered by this run",
            ));
        }
        Ok(())
    }

    /// Returns a context with a share of the threads, for one of `parts` that run at the same time.
    pub(crate) fn shared(&self, parts: usize) -> Self {
        Self { threads: self.threads.map(|n| (n / parts.max(1)).max(1)), ..self.clone() }
    }

    /// How many threads it may take of those that are wanted.
    pub(crate) fn threads(&self, wanted: usize) -> usize {
        wanted.min(self.threads.unwrap_or(usize::MAX)).max(1)
    }

    /// Starts reporting the progress of a computation.
    pub(crate) fn begin(&self) -> Steps {
        Steps { listener: self.listener.clone(), begun: Instant::now(), done: 0.0, part: (0.0, 1.0) }
    }
}

impl fmt::Debug for ExecutionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionContext")
            .field("cancelled", &self.cancel.is_cancelled())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Reports the progress of a computation.
pub(crate) struct Steps {
    listener: Option<Listener>,
    begun: Instant,
    done: f64,
    /// The current part of the whole.
    part: (f64, f64),
}

impl Steps {
    /// Maps the following steps to the part of the whole from `from` to `to`.
    pub(crate) fn part(&mut self, from: f64, to: f64) {
        self.part = (from, to);
    }

    /// Reports `stage`, with this share of the part done.
    pub(crate) fn at(&mut self, stage: &str, fraction: f64) {
        let Some(listener) = &self.listener else { return };
        let (from, to) = self.part;
        self.done = (from + fraction * (to - from)).clamp(self.done, 1.0);
        let took = self.begun.elapsed().as_secs_f64();
        let rest = (self.done > 0.0).then(|| took * (1.0 - self.done) / self.done);
        let remaining = rest.and_then(|rest| Duration::try_from_secs_f64(rest).ok());
        listener(&Progress { stage: stage.to_owned(), fraction: self.done, remaining });
    }
}

thread_local! {
    static CURRENT: RefCell<Option<ExecutionContext>> = const { RefCell::new(None) };
}

/// Restores the former context when it is dropped.
struct Entered(Option<ExecutionContext>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Returns the calling thread's context; a thread that it starts enters it by [`ExecutionContext::run`].
pub(crate) fn current() -> ExecutionContext {
    CURRENT.with_borrow(|work| work.clone().unwrap_or_default())
}

/// Checks that the calling thread's context was not cancelled; to be called in every long loop.
///
/// # Errors
/// `Cancelled` when it may not.
pub fn check() -> Result<()> {
    CURRENT.with_borrow(|work| work.as_ref().map_or(Ok(()), ExecutionContext::check))
}

/// Returns how many of the `wanted` threads the calling thread's context allows, from 1.
pub(crate) fn threads(wanted: usize) -> usize {
    CURRENT.with_borrow(|work| work.as_ref().map_or(wanted.max(1), |work| work.threads(wanted)))
}

/// What `make` makes of each of `items`, in their order, on as many threads as the work may take and the
/// machine has.
pub(crate) fn map<I: Sync, O: Send>(items: &[I], make: impl Fn(&I) -> Result<O> + Sync) -> Result<Vec<O>> {
    let machine = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let many = threads(machine).min(items.len());
    if many < 2 {
        return items.iter().map(|item| check().and_then(|()| make(item))).collect();
    }
    let (next, work) = (AtomicUsize::new(0), current().shared(many));
    let made: Mutex<Vec<Option<Result<O>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let take = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let one = work.run(|| check().and_then(|()| make(item)));
            made.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(one);
        }
    };
    thread::scope(|scope| {
        (1..many).for_each(|_| drop(scope.spawn(take)));
        take();
    });
    let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.into_iter().map(|one| one.unwrap_or_else(|| Err(Error::internal("a part was not made")))).collect()
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` to its end on the calling thread, which sleeps where there is nothing to do.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_nest_and_are_left_even_by_a_panic() {
        let outer = ExecutionContext::new().with_threads(4).unwrap();
        let inner = ExecutionContext::new().with_threads(2).unwrap();
        outer.run(|| {
            assert_eq!(inner.run(|| threads(9)), 2);
            let panics = std::panic::AssertUnwindSafe(|| inner.run(|| panic!("left by a panic")));
            assert!(std::panic::catch_unwind(panics).is_err());
            assert_eq!(threads(9), 4);
            assert_eq!(current().shared(2).threads(9), 2);
        });
        assert_eq!(threads(9), 9);
        assert!(ExecutionContext::new().with_threads(0).is_err());
    }

    #[test]
    fn progress_never_goes_back() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let work = ExecutionContext::new().with_progress(move |p| kept.lock().unwrap().push(p.clone()));
        let mut steps = work.begin();
        for fraction in [0.0, 0.5, 0.2, 7.0] {
            steps.at("fitting", fraction);
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.iter().map(|p| p.fraction).collect::<Vec<_>>(), [0.0, 0.5, 0.5, 1.0]);
        assert!(seen[0].remaining.is_none() && seen[1].remaining.is_some());
        assert_eq!(seen[3].remaining, Some(Duration::ZERO));
    }

    #[test]
    fn parts_make_up_the_whole() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let work = ExecutionContext::new().with_progress(move |p| kept.lock().unwrap().push(p.fraction));
        let mut steps = work.begin();
        for from in [0.0, 0.5] {
            steps.part(from, from + 0.5);
            steps.at("fitting", 0.5);
            steps.at("done", 1.0);
        }
        assert_eq!(*seen.lock().unwrap(), [0.25, 0.5, 0.75, 1.0]);
    }
}
