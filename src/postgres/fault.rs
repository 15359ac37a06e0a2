//! PostgreSQL's errors in this crate's words: what happened, and what the caller can do.

use super::Again;
use crate::error::{Error, ErrorKind};
use deadpool_postgres::PoolError;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// Why work on a connection did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server or the way there.
    Server(tokio_postgres::Error),
    /// The server or the way there, while committing: it may have been done.
    Commit(tokio_postgres::Error),
    /// No connection to be had.
    Pool(PoolError),
    /// No answer for so long.
    Silent(Duration),
    /// What this crate found.
    Own(Error),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Fault {
    /// Whether to try again may help and does no harm.
    pub(super) fn is_passing(&self, again: Again) -> bool {
        match self {
            Self::Server(error) | Self::Pool(PoolError::Backend(error)) => is_passing(error),
            Self::Commit(error) => again == Again::Idempotent && is_passing(error),
            Self::Pool(PoolError::Timeout(_)) => true,
            Self::Pool(_) | Self::Silent(_) | Self::Own(_) => false,
        }
    }

    /// Returns the error for a failed `step`.
    pub(super) fn into_error(self, step: &str) -> Error {
        match self {
            Self::Own(error) => error,
            Self::Server(error) => spoken(error, step),
            Self::Pool(PoolError::Backend(error)) => spoken(error, "connect"),
            Self::Commit(error) if error.as_db_error().is_some() => spoken(error, step),
            Self::Commit(error) => unavailable(
                step,
                "the connection was lost while committing, and whether it was done is not known: read before \
                 trying again",
            )
            .with_source(error),
            Self::Pool(PoolError::Timeout(_)) => unavailable(
                step,
                "no connection was free in time: try again, or raise connections or connect_timeout",
            ),
            Self::Pool(error) => unavailable(step, "no connection could be had").with_source(error),
            Self::Silent(limit) => unavailable(
                step,
                &format!(
                    "no answer within {limit:?}: see whether the server stands still, or raise statement_timeout"
                ),
            ),
        }
    }
}

/// Returns whether the connection was lost, the server is just starting or stopping, or two transactions
/// stood in
/// each other's way.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // Neither what the server said nor what it sent: the way there.
        return error.is_closed()
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    let class = &code.code()[..2];
    class == "08"
        || [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
        ]
        .contains(code)
}

fn spoken(error: tokio_postgres::Error, step: &str) -> Error {
    let (kind, advice) = match error.code() {
        Some(code) => meaning(code),
        None => {
            (ErrorKind::Unavailable, "the server cannot be reached or the connection was lost; try again")
        }
    };
    Error::new(kind, format!("could not {step}: {advice}")).with_source(error)
}

fn meaning(code: &SqlState) -> (ErrorKind, &'static str) {
    use ErrorKind::{Incompatible, Internal, InvalidInput, Unavailable};
    match (&code.code()[..2], code.code()) {
        ("28", _) => (Unavailable, "the server refuses this user or password; mend the URL"),
        ("3D", _) => (Unavailable, "there is no such database; mend the URL, or make it"),
        (_, "42501") => (Unavailable, "this user may not; grant it the right"),
        (_, "25006") => {
            (Unavailable, "the server is read-only; connect to the primary, or wait until it is one")
        }
        (_, "53100") => (Unavailable, "the server's disk is full; free space, then try again"),
        ("53" | "54", _) => (Unavailable, "the server lacks memory or connections; try again later"),
        (_, "57014") => (Unavailable, "it took longer than statement_timeout; try again, or raise it"),
        ("57" | "58" | "08" | "40", _) => {
            (Unavailable, "the server is stopping, or is busy with others; try again")
        }
        (_, "42P01" | "42703") => (Incompatible, "its tables are not those of this release; connect anew"),
        ("22", _) => (InvalidInput, "the server cannot keep a value; make it smaller or plainer"),
        _ => (Internal, "please report it"),
    }
}

fn unavailable(step: &str, advice: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("could not {step}: {advice}"))
}
