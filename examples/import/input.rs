//! Files that are opened when their turn comes, with a progress bar.

use crate::common;
use std::fs::File;
use std::io::{BufRead, BufReader, Error, IsTerminal, Read, Result};
use std::time::{Duration, Instant};

/// A file by its name; `-` is standard input.
pub(crate) struct Input {
    name: String,
    opened: Option<Box<dyn BufRead>>,
}

impl Input {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), opened: None }
    }

    fn opened(&mut self) -> Result<&mut Box<dyn BufRead>> {
        if self.opened.is_none() {
            let named = |e: Error| Error::new(e.kind(), format!("{}: {e}", self.name));
            self.opened = Some(if self.name == "-" {
                common::unpacked(BufReader::new(std::io::stdin())).map_err(named)?
            } else {
                let file = File::open(&self.name).map_err(named)?;
                let size = file.metadata().map_or(0, |data| data.len());
                let bar = Progress { file, size, read: 0, name: self.name.clone(), shown: Instant::now() };
                common::unpacked(BufReader::with_capacity(1 << 17, bar)).map_err(named)?
            });
        }
        self.opened.as_mut().ok_or_else(|| Error::other("the file is not open"))
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        self.opened()?.read(out)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.opened()?.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        if let Some(opened) = &mut self.opened {
            opened.consume(n);
        }
    }
}

/// Shows on a terminal how much of a file is read.
struct Progress {
    file: File,
    size: u64,
    read: u64,
    name: String,
    shown: Instant,
}

impl Read for Progress {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.file.read(out)?;
        self.read += n as u64;
        if n == 0 || self.shown.elapsed() > Duration::from_millis(200) {
            self.shown = Instant::now();
            self.show(n == 0);
        }
        Ok(n)
    }
}

impl Progress {
    fn show(&self, done: bool) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let share = if self.size == 0 { 1.0 } else { (self.read as f64 / self.size as f64).min(1.0) };
        let full = (share * 30.0) as usize;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(30 - full));
        eprint!("\r{bar} {:3.0} % {}{}", share * 100.0, self.name, if done { "\n" } else { "" });
    }
}
