//! The thread that writes: whatever queued while one commit ran goes into the next.

use super::fault::fault;
use super::{read, write};
use crate::error::{Error, ErrorKind, Result};
use futures_channel::oneshot;
use rusqlite::Connection;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Requests that share one transaction at most, to bound the memory that it takes.
const MAX_GROUP: usize = 1024;

/// How long to leave it after erased rows could not be overwritten.
const OVERWRITE_PAUSE: Duration = Duration::from_mins(1);

/// The way to the thread; dropping it finishes what is queued and joins the thread.
pub(super) struct Writer {
    /// Only the drop takes it out.
    queue: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// The open transaction, as a request sees it.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    wipe: &'a Cell<bool>,
}

impl Writer {
    pub(super) fn start(db: Connection, path: Arc<Path>) -> Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let session =
            Session { wipe: Cell::new(read::must_overwrite(&db)?), tried: Cell::new(None), db, path };
        let thread = thread::Builder::new()
            .name("devmatrix-sqlite".to_owned())
            .spawn(move || session.run(&jobs))
            .map_err(|e| unavailable("the thread that writes could not be started").with_source(e))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues `work` at once, to run in a transaction; the future answers when that is committed.
    ///
    /// `work` is `Fn`: it runs a second time, alone, when its group failed.
    pub(super) fn write<T, W>(&self, work: W) -> impl Future<Output = Result<T>> + use<T, W>
    where
        T: Send + 'static,
        W: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Request { work, done: None, reply });
        if let Some(queue) = &self.queue {
            // A thread that is gone drops the request, and with it the way to answer.
            let _ = queue.send(job);
        }
        async { answer.await.unwrap_or_else(|_| Err(gone())) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has answered its callers by dropping their channels.
            let _ = thread.join();
        }
    }
}

impl Tx<'_> {
    /// Has the file rewritten after the commit and before the answer: it holds erased rows.
    pub(super) fn overwrite(&self) -> Result<()> {
        self.wipe.set(true);
        write::overwrite_later(self.db)
    }
}

/// A request whose type of answer is forgotten.
trait Job: Send {
    fn run(&mut self, tx: &Tx<'_>) -> Result<()>;
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Request<T, W> {
    work: W,
    done: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, W: Fn(&Tx<'_>) -> Result<T> + Send> Job for Request<T, W> {
    fn run(&mut self, tx: &Tx<'_>) -> Result<()> {
        self.done = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let Self { done, reply, .. } = *self;
        // Whoever stopped waiting needs no answer.
        let _ = reply.send(outcome.and_then(|()| done.ok_or_else(gone)));
    }
}

/// The thread's side.
struct Session {
    db: Connection,
    path: Arc<Path>,
    /// Erased rows are still in the bytes of the file or the log.
    wipe: Cell<bool>,
    /// When it was last tried in vain to overwrite them.
    tried: Cell<Option<Instant>>,
}

impl Session {
    fn run(self, jobs: &Receiver<Box<dyn Job>>) {
        self.overwrite();
        while let Ok(first) = jobs.recv() {
            // Not a wait: whoever was answered just now and can run writes again first, and the group
            // is 64 instead of 1 and 63 in turns.
            thread::yield_now();
            self.serve(std::iter::once(first).chain(jobs.try_iter()).take(MAX_GROUP).collect());
        }
    }

    /// Commits `group` as one; if that fails, each request alone, so that none fails for another.
    fn serve(&self, mut group: Vec<Box<dyn Job>>) {
        if let Err(error) = self.begin() {
            return self.answer(group, Err(error));
        }
        let committed = self.commit(&mut group);
        if committed.is_ok() {
            self.overwrite();
        } else if group.len() > 1 {
            return group.into_iter().for_each(|job| self.serve(vec![job]));
        }
        self.answer(group, committed);
    }

    fn answer(&self, mut group: Vec<Box<dyn Job>>, outcome: Result<()>) {
        let outcome = outcome.map_err(|error| error.context(self.path.display()));
        let last = group.pop();
        for job in group {
            // An error cannot be cloned: the others get its words, the last one its source too.
            let words = |error: &Error| Error::new(error.kind(), format!("{error:#}"));
            job.answer(outcome.as_ref().copied().map_err(words));
        }
        if let Some(job) = last {
            job.answer(outcome);
        }
    }

    /// `IMMEDIATE` takes the lock at once: SQLite then waits for another process's turn
    /// (`busy_timeout`), which it refuses to do for a transaction that began by reading.
    fn begin(&self) -> Result<()> {
        self.roll_back();
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(|e| fault(e, "begin to write"))
    }

    /// Runs and commits, or leaves nothing behind.
    fn commit(&self, group: &mut [Box<dyn Job>]) -> Result<()> {
        let pending = self.wipe.get();
        let tx = Tx { db: &self.db, wipe: &self.wipe };
        let done = group.iter_mut().try_for_each(|job| job.run(&tx)).and_then(|()| self.end());
        if done.is_err() {
            self.wipe.set(pending);
            self.roll_back();
        }
        done
    }

    fn end(&self) -> Result<()> {
        // On a full disk SQLite may have rolled the whole transaction back on its own, and what
        // ran after that would have been committed statement by statement.
        if self.db.is_autocommit() {
            return Err(unavailable("the transaction was rolled back by SQLite: try again"));
        }
        self.db.execute_batch("COMMIT").map_err(|e| fault(e, "commit"))
    }

    fn roll_back(&self) {
        if !self.db.is_autocommit() {
            // Where even this fails, the next `BEGIN` fails too and says so.
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }

    /// Rewrites the file without what was erased and empties the log; what cannot be done now (the
    /// disk is full, another process reads) is tried again later, after a restart too.
    ///
    /// `secure_delete` alone is not enough: when SQLite splits and merges pages it leaves copies of
    /// the rows that it moved in the free space of the old page.
    fn overwrite(&self) {
        if !self.wipe.get() || self.tried.get().is_some_and(|tried| tried.elapsed() < OVERWRITE_PAUSE) {
            return;
        }
        let done = self.try_overwrite();
        self.wipe.set(done.is_err());
        self.tried.set(done.err().map(|error| {
            tracing::warn!(path = %self.path.display(), error = %format_args!("{error:#}"), "erased bytes are not overwritten yet");
            Instant::now()
        }));
    }

    fn try_overwrite(&self) -> Result<()> {
        let step = |e| fault(e, "overwrite what was erased");
        let rewritten = self.db.execute_batch("VACUUM").map_err(step);
        // After a failure too: it gives back what the rewriting took of a full disk.
        let busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        rewritten?;
        if busy.map_err(step)? != 0 {
            return Err(unavailable("another process reads the log"));
        }
        write::overwritten(&self.db)
    }
}

fn gone() -> Error {
    unavailable("the store's writing thread has ended: open the store again")
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{SqliteOptions, schema};
    use futures_executor::block_on;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let db = schema::open_writer(&path, &SqliteOptions::default()).unwrap();
        (folder, Writer::start(db, path.into()).unwrap())
    }

    #[test]
    fn a_thread_that_died_gives_errors_and_no_hang() {
        let (_folder, writer) = writer();
        let died = block_on(writer.write(|_| -> Result<()> { panic!("on purpose") })).unwrap_err();
        assert_eq!(died.kind(), ErrorKind::Unavailable);
        assert!(block_on(writer.write(|_| Ok(()))).unwrap_err().to_string().contains("open the store again"));
    }

    #[test]
    fn what_queues_during_a_commit_shares_the_next_and_fails_alone() {
        let (_folder, writer) = writer();
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let left = Mutex::new(left);
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        // The first holds its transaction open until two more are queued.
        let mut first = pin!(writer.write(move |_| {
            let _ = enter.send(());
            let _ = left.lock().map(|left| left.recv());
            Ok(())
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        entered.recv().unwrap();
        let good = writer.write(move |tx| {
            count.fetch_add(1, Ordering::SeqCst);
            tx.db.execute_batch("CREATE TABLE made (n)").map_err(|e| fault(e, "create"))
        });
        let bad = writer.write(|_| -> Result<()> { Err(Error::invalid("on purpose")) });
        leave.send(()).unwrap();
        block_on(first).unwrap();
        block_on(good).unwrap();
        assert_eq!(block_on(bad).unwrap_err().kind(), ErrorKind::InvalidInput);
        // Once with the bad one, rolled back, and once alone.
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
