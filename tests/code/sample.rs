//! What lizard tells apart in Rust.
use std::fmt;

/// A shape.
#[derive(Debug)]
pub struct Shape { pub size: u32 }

pub enum Kind { A, B(u32), C { x: u32 } }

pub trait Area { const UNIT: u32; }

impl Shape {
    /// Its kind.
    pub fn kind(&self, other: Option<Kind>) -> Result<u32, fmt::Error> {
        let Some(kind) = other else { return Err(fmt::Error) };
        if self.size > 1 && self.size < 9 || self.size == 4 {
            return Ok(1);
        } else if let Kind::B(n) = kind {
            return Ok(n);
        }
        for i in 0..self.size {
            while i > 2 { break; }
            loop { break; }
        }
        match kind {
            Kind::A => Ok(self.parse()?),
            Kind::B(n) if n > 1 => Ok(n),
            Kind::B(_) => { if self.size > 2 { Ok(2) } else { Ok(3) } }
            Kind::C { x } => Ok(x),
        }
    }

    fn parse(&self) -> Result<u32, fmt::Error> {
        fn inner(x: u32) -> u32 { if x > 1 { x } else { 0 } }
        let closure = |x: u32| if x > 1 && x < 4 { inner(x) } else { x };
        let nothing = || 1;
        Ok(closure(self.size) + nothing())
    }
}

pub fn generic<T>(x: T) -> usize where T: Into<usize> { x.into() }

pub async fn empty() {}

macro_rules! twice { ($x:expr) => { $x + $x }; }

pub fn uses() -> u32 { if twice!(1) > 1 { 2 } else { 3 } }

#[cfg(test)]
mod tests {
    #[test]
    fn adds() { assert!(1 + 1 == 2 && true); }

    #[tokio::test]
    async fn waits() {}
}
