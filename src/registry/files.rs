//! Files that are there whole, or not at all, whenever the power fails.

use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// Unfinished files begin so; under the lock it can only be left from a crash.
pub(super) const TEMPORARY: &str = ".tmp-";

/// Exclusive among threads and processes until dropped, or until the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closing it unlocks.
    _file: File,
}

impl Lock {
    /// Waits for the lock on the file at `path`.
    pub(super) fn wait(path: &Path) -> Result<Self> {
        let file = Self::file(path)?;
        file.lock().map_err(|error| unavailable("cannot lock", path, error))?;
        Ok(Self { _file: file })
    }

    /// The lock if nobody holds it now.
    pub(super) fn try_now(path: &Path) -> Result<Option<Self>> {
        let file = Self::file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unavailable("cannot lock", path, error)),
        }
    }

    /// Opened anew each time: handles that share one opening would share the lock.
    fn file(path: &Path) -> Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        options.open(path).map_err(|error| unavailable("cannot open", path, error))
    }
}

/// Makes the folder and those above it last.
pub(super) fn make_folders(path: &Path) -> Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            // Another process may have been faster.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unavailable("cannot make the folder", folder, error));
            }
            _ => sync_parent(folder)?,
        }
    }
    Ok(())
}

/// Puts a folder with these files at `path`, all or nothing.
pub(super) fn put_folder(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let temporary = beside(path)?;
    let fill = || {
        fs::create_dir(&temporary)
            .map_err(|error| unavailable("cannot make the folder", &temporary, error))?;
        for (name, bytes) in files {
            write_file(&temporary.join(name), bytes)?;
        }
        sync_folder(&temporary)?;
        rename(&temporary, path)
    };
    // Gives the space back at once when the disk is full; if it fails, the next sweep does it.
    fill().inspect_err(|_| drop(fs::remove_dir_all(&temporary)))?;
    sync_parent(path)
}

/// Replaces the file at `path`, or leaves it as it was.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = beside(path)?;
    let fill = || write_file(&temporary, bytes).and_then(|()| rename(&temporary, path));
    fill().inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_parent(path)
}

/// The bytes of the file at `path`, `None` where there is none.
pub(super) fn read_file(path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unavailable("cannot open", path, error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| unavailable("cannot read", path, error))?;
    if bytes.len() > limit {
        return Err(Error::corrupt(format!("{}: it has more than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// The names in a folder that are text; none where there is no folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unavailable("cannot list", folder, error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: io::Result<Vec<_>> = names.collect();
    names
        .map(|names| names.into_iter().flatten().collect())
        .map_err(|error| unavailable("cannot list", folder, error))
}

/// Returns whether there is a folder with nothing in it.
pub(super) fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes what a crash left under construction; to be called under the lock.
pub(super) fn sweep(folder: &Path) -> Result<()> {
    for name in names(folder)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
        let path = folder.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| unavailable("cannot remove", &path, error))?;
        tracing::warn!(path = %path.display(), "removed what an interrupted write had left");
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| unavailable("cannot write", path, error))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| unavailable("cannot rename to", to, error))
}

/// Without it a crash may forget the names in the folder, though not the files.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let sync = File::open(path).and_then(|folder| folder.sync_all());
        sync.map_err(|error| unavailable("cannot make durable", path, error))?;
    }
    Ok(())
}

fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

fn beside(path: &Path) -> Result<std::path::PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::internal(format!("{}: a path without a name", path.display())))?;
    Ok(path.with_file_name(format!("{TEMPORARY}{name}")))
}

fn unavailable(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{what} {}", path.display())).with_source(error)
}
