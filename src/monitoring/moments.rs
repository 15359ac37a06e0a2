//! Sums of real numbers in fixed point, from which a mean and its error are read.

use super::analytics::Average;
use serde::{Deserialize, Serialize};

/// Larger numbers count as this one, so that no sum overflows.
const MOST: f64 = 1e9;
/// 95th percentile of the normal distribution: of intervals of 90 %.
pub(super) const Z_90: f64 = 1.644_853_626_951_472_2;

/// A number as it is summed up: worked out once for all the sums that it is added to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    value: i64,
    square: i128,
}

impl Term {
    /// Fixed point: six decimals.
    pub(super) const SCALE: f64 = 1e6;

    pub(super) fn of(value: f64) -> Self {
        let value = value.clamp(-MOST, MOST);
        Self {
            value: (value * Self::SCALE).round() as i64,
            square: (value * value * Self::SCALE).round() as i128,
        }
    }

    /// In millionths.
    pub(super) fn value(&self) -> i64 {
        self.value
    }
}

/// Sums of numbers and of their squares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moments {
    pub(super) n: i64,
    sum: i128,
    squares: i128,
}

impl Moments {
    /// Adds a number, or takes it back: `sign` is 1 or -1.
    pub(super) fn add(&mut self, term: &Term, sign: i64) {
        self.n += sign;
        self.sum += i128::from(sign * term.value);
        self.squares += if sign < 0 { -term.square } else { term.square };
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum as f64 / Term::SCALE
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum() / self.n as f64)
    }

    /// The variance of one value.
    pub(super) fn variance(&self) -> f64 {
        let n = self.n as f64;
        let squares = self.squares as f64 / Term::SCALE - self.sum() * self.sum() / n.max(1.0);
        (squares / (n - 1.0).max(1.0)).max(0.0)
    }

    pub(super) fn average(&self) -> Average {
        let half = Z_90 * (self.variance() / self.n.max(1) as f64).sqrt();
        let interval = self.mean().filter(|_| self.n > 1).map(|mean| (mean - half, mean + half));
        Average { value: self.mean(), interval, n: self.n as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_taken_back_leaves_nothing(values in prop::collection::vec(-1e12..1e12_f64, 1..50)) {
            let mut sum = Moments::default();
            values.iter().for_each(|v| sum.add(&Term::of(*v), 1));
            values.iter().rev().for_each(|v| sum.add(&Term::of(*v), -1));
            prop_assert_eq!(sum, Moments::default());
        }
    }

    #[test]
    fn a_mean_has_its_textbook_interval() {
        let mut sum = Moments::default();
        [2.0, 4.0, 6.0].iter().for_each(|v| sum.add(&Term::of(*v), 1));
        let average = sum.average();
        let (low, high) = average.interval.unwrap();
        assert_eq!(average.value, Some(4.0));
        assert!((high - 4.0 - Z_90 * 2.0 / 3.0_f64.sqrt()).abs() < 1e-9 && (low + high - 8.0).abs() < 1e-9);
    }
}
