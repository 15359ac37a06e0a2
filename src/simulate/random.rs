//! Random draws that depend on seed, purpose and number alone.

use crate::stats::fnv;
use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// Purpose of a draw. Each purpose has its own stream for each generation, so that a change in one leaves the
/// others unchanged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Arrivals = 1,
    Task,
    Text,
    SetUp,
    Outcome,
    Completion,
    Code,
    Feedback,
    Audit,
}

/// A stream of draws.
#[derive(Debug, Clone)]
pub(super) struct Draw(Pcg64Mcg);

impl Draw {
    pub(super) fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let high = scramble(scramble(seed ^ scramble(purpose as u64)).wrapping_add(number));
        Self(Pcg64Mcg::new((u128::from(high) << 64) | u128::from(scramble(high))))
    }

    /// Draws a number in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        unit_of(self.0.next_u64())
    }

    /// Draws a whole number below `n`.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        (((self.0.next_u64() >> 32) * u64::from(n)) >> 32) as u32
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u32) as usize]
    }

    /// Draws a standard normal number (Box and Muller 1958). Written out: the draws of `rand_distr` would change every
    /// simulated world, and with it the published figures.
    pub(super) fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Draws an exponential number of mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

/// A number in [0, 1) that stands for these names under a seed (FNV-1a, scrambled).
pub(super) fn place(seed: u64, names: [&str; 2]) -> f64 {
    let bytes = names[0].bytes().chain([0]).chain(names[1].bytes());
    let hash = bytes.fold(seed ^ fnv::SEED, fnv::step);
    unit_of(scramble(hash))
}

fn unit_of(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
fn scramble(number: u64) -> u64 {
    let z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_their_own_and_numbers_have_their_moments() {
        let bits = |purpose, number| Draw::new(7, purpose, number).0.next_u64();
        assert_eq!(bits(Purpose::Task, 1), bits(Purpose::Task, 1));
        assert_ne!(bits(Purpose::Task, 1), bits(Purpose::Task, 2));
        assert_ne!(bits(Purpose::Task, 1), bits(Purpose::Text, 1));
        let first: Vec<_> = (0..20_000).map(|n| Draw::new(1, Purpose::Outcome, n).normal()).collect();
        let mean = first.iter().sum::<f64>() / 20_000.0;
        let square = first.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        let mut draw = Draw::new(2, Purpose::Task, 0);
        assert!((0..1000).all(|_| draw.below(3) < 3 && draw.exponential() >= 0.0));
    }
}
