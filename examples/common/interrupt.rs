//! Ctrl-C of a command line: removes what is temporary before the process ends.

use std::path::PathBuf;
use std::time::Duration;

/// Ends the process as soon as it is interrupted or asked to end, after `tidy`.
pub(crate) fn then(tidy: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        tidy();
        // What a shell says of a process that was interrupted.
        std::process::exit(130);
    })?;
    Ok(())
}

/// Removes `folder` with all that is in it when the process is interrupted.
#[allow(dead_code)] // not of every example that has a part of it
pub(crate) fn removes(folder: PathBuf) -> anyhow::Result<()> {
    then(move || {
        // The other threads write on until the process ends: what they create meanwhile is removed by the next try.
        for _ in 0..200 {
            let _ = std::fs::remove_dir_all(&folder);
            std::thread::sleep(Duration::from_millis(5));
            if !folder.exists() {
                break;
            }
        }
    })
}
