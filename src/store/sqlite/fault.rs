//! SQLite's errors in this crate's words: what happened, and what the caller can do.

use crate::error::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// Says what SQLite's `error` means for whoever tried to `step`.
pub(super) fn fault(error: rusqlite::Error, step: &str) -> Error {
    let (kind, advice) = match error.sqlite_error_code() {
        Some(code) => meaning(code),
        None if is_wrong_type(&error) => {
            (ErrorKind::Corrupt, "a stored value has the wrong type: restore the file from a copy")
        }
        None => (ErrorKind::Internal, "please report it"),
    };
    Error::new(kind, format!("could not {step}: {advice}")).with_source(error)
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn meaning(code: ErrorCode) -> (ErrorKind, &'static str) {
    use ErrorKind::{Corrupt, Internal, InvalidInput, Unavailable};
    match code {
        ErrorCode::DiskFull => (Unavailable, "the disk is full; free space, then try again"),
        ErrorCode::SystemIoFailure => {
            (Unavailable, "the disk failed or a quota or limit was reached; mend that, then try again")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            (Unavailable, "another process holds the file; try again, or raise busy_timeout")
        }
        ErrorCode::FileLockingProtocolFailed | ErrorCode::NoLargeFileSupport => {
            (Unavailable, "the file system cannot lock or map the file; use a local disk")
        }
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            (Unavailable, "the file or its folder may not be written; change its permissions")
        }
        ErrorCode::CannotOpen => {
            (Unavailable, "the file cannot be opened; make sure that its folder exists and may be written")
        }
        ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => {
            (Unavailable, "memory ran out or the work was interrupted; try again")
        }
        ErrorCode::DatabaseCorrupt => (Corrupt, "the file is damaged; restore it from a copy"),
        ErrorCode::NotADatabase => {
            (Corrupt, "the file is no SQLite database, or its head is damaged; check the path, or restore it")
        }
        ErrorCode::TooBig => (InvalidInput, "a value is larger than SQLite keeps (1 GB); make it smaller"),
        _ => (Internal, "please report it"),
    }
}

/// Only damage can put a value of another type where a checked schema (`STRICT`) has one.
fn is_wrong_type(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    )
}
