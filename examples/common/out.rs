//! Standard output of a command line: where its reader has closed the pipe (`| head`) the program goes on, where it cannot be
//! written (a full disk) the program fails.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line; std's own panics where the pipe is closed.
macro_rules! println {
    () => { crate::out::line(format_args!("")) };
    ($($text:tt)*) => { crate::out::line(format_args!($($text)*)) };
}

pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(format_args!("{text}\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: standard output cannot be written: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}
