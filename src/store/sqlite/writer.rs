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

    /// Runs `work` in a transaction and answers once that is committed.
    ///
    /// `work` is `Fn`: it runs a second time, alone, when its group failed.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: Fn(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Request { work, done: None, reply });
        if self.queue.as_ref().is_none_or(|queue| queue.send(job).is_err()) {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
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
            self.serve(std::iter::once(first).chain(jobs.try_iter()).take(MAX_GROUP).collect());
        }
    }

    /// Commits `group` as one; if that fails, each request alone, so that none fails for another.
    fn serve(&self, mut group: Vec<Box<dyn Job>>) {
        if let Err(error) = self.begin() {
            return group.into_iter().for_each(|job| job.answer(Err(self.named(copy(&error)))));
        }
        match self.commit(&mut group) {
            Ok(()) => {
                self.overwrite();
                group.into_iter().for_each(|job| job.answer(Ok(())));
            }
            Err(error) if group.len() == 1 => {
                group.into_iter().for_each(|job| job.answer(Err(self.named(copy(&error)))));
            }
            Err(_) => group.into_iter().for_each(|job| self.serve(vec![job])),
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
            tracing::warn!(path = %self.path.display(), %error, "erased bytes are not overwritten yet");
            Instant::now()
        }));
    }

    fn try_overwrite(&self) -> Result<()> {
        let step = |e| fault(e, "overwrite what was erased");
        self.db.execute_batch("VACUUM").map_err(step)?;
        let busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        if busy.map_err(step)? != 0 {
            return Err(unavailable("another process reads the log"));
        }
        write::overwritten(&self.db)
    }

    fn named(&self, error: Error) -> Error {
        error.context(self.path.display())
    }
}

/// The same refusal for one more caller.
fn copy(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}

fn gone() -> Error {
    unavailable("the store's writing thread has ended: open the store again")
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
