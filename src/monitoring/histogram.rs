//! Counts of numbers in bins that grow with the number: whole, mergeable, exact to 5 %.

use serde::{Deserialize, Serialize};

/// Bins of one octave: two to the power of this.
const SUB_BITS: u32 = 4;
/// 2^-20: what is nearer to zero counts as zero.
const SMALLEST: f64 = 1.0 / 1_048_576.0;
/// 2^40: what is larger counts as this.
const LARGEST: f64 = 1_099_511_627_776.0;

/// How often numbers of about the same size occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Histogram {
    /// Ascending by bin.
    bins: Vec<(i16, u32)>,
    n: u64,
    unknown: u64,
}

impl Histogram {
    /// Counts a number; NaN as unknown.
    pub(super) fn add(&mut self, value: f64) {
        if value.is_nan() {
            self.unknown += 1;
            return;
        }
        self.n += 1;
        self.count(bin(value), 1);
    }

    /// Takes a number back that was counted.
    pub(super) fn take_back(&mut self, value: f64) {
        if let Ok(at) = self.bins.binary_search_by_key(&bin(value), |(bin, _)| *bin) {
            self.n -= 1;
            self.bins[at].1 -= 1;
            if self.bins[at].1 == 0 {
                self.bins.remove(at);
            }
        }
    }

    fn count(&mut self, bin: i16, n: u32) {
        match self.bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
            Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(n),
            Err(at) => self.bins.insert(at, (bin, n)),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.bins.iter().for_each(|(bin, n)| self.count(*bin, *n));
        self.n += other.n;
        self.unknown += other.unknown;
    }

    /// Halves every count, so that what is older counts less.
    pub(super) fn halve(&mut self) {
        self.bins.iter_mut().for_each(|(_, n)| *n /= 2);
        self.bins.retain(|(_, n)| *n > 0);
        self.n = self.bins.iter().map(|(_, n)| u64::from(*n)).sum();
        self.unknown /= 2;
    }

    /// How many numbers.
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    /// How often none was known.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The value below which `share` of the numbers lie, as the middle of its bin; `None` of nothing.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.n as f64).max(f64::MIN_POSITIVE);
        let mut seen = 0.0;
        self.bins.iter().find_map(|(bin, n)| {
            seen += f64::from(*n);
            (seen >= wanted).then(|| middle(*bin))
        })
    }

    /// Mean of the bins' middles.
    pub(super) fn mean(&self) -> f64 {
        let sum: f64 = self.bins.iter().map(|(bin, n)| middle(*bin) * f64::from(*n)).sum();
        sum / self.n.max(1) as f64
    }

    pub(super) fn deviation(&self) -> f64 {
        let mean = self.mean();
        let of = |(bin, n): &(i16, u32)| (middle(*bin) - mean).powi(2) * f64::from(*n);
        (self.bins.iter().map(of).sum::<f64>() / self.n.max(1) as f64).sqrt()
    }

    /// From, to, how many, in at most `most` bins; neighbors are put together.
    pub(super) fn bars(&self, most: usize) -> Vec<(f64, f64, u64)> {
        let together = self.bins.len().div_ceil(most.max(1)).max(1);
        let bar = |bins: &[(i16, u32)]| {
            let n = bins.iter().map(|(_, n)| u64::from(*n)).sum();
            (ends(bins[0].0).0, ends(bins[bins.len() - 1].0).1, n)
        };
        self.bins.chunks(together).map(bar).collect()
    }

    /// The bins of both, with what each counts.
    pub(super) fn beside<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (f64, f64, f64)> + 'a {
        let (mut i, mut j) = (0, 0);
        std::iter::from_fn(move || {
            let next = |bins: &[(i16, u32)], at: usize| bins.get(at).map_or(i16::MAX, |(bin, _)| *bin);
            let bin = next(&self.bins, i).min(next(&other.bins, j));
            if bin == i16::MAX {
                return None;
            }
            let take = |bins: &[(i16, u32)], at: &mut usize| match bins.get(*at) {
                Some((found, n)) if *found == bin => {
                    *at += 1;
                    f64::from(*n)
                }
                _ => 0.0,
            };
            let (ours, theirs) = (take(&self.bins, &mut i), take(&other.bins, &mut j));
            Some((middle(bin), ours, theirs))
        })
    }
}

/// The bin of a number: sign, exponent and the leading bits of the mantissa.
pub(super) fn bin(value: f64) -> i16 {
    let size = value.abs().min(LARGEST);
    if size < SMALLEST {
        return 0;
    }
    let offset = (SMALLEST.to_bits() >> (52 - SUB_BITS)) as i64;
    let bin = ((size.to_bits() >> (52 - SUB_BITS)) as i64 - offset + 1) as i16;
    if value < 0.0 { -bin } else { bin }
}

/// Where a bin begins and ends.
fn ends(bin: i16) -> (f64, f64) {
    let offset = (SMALLEST.to_bits() >> (52 - SUB_BITS)) as i64;
    let edge = |at: i64| f64::from_bits(((offset + at - 1) as u64) << (52 - SUB_BITS));
    match i64::from(bin) {
        0 => (0.0, 0.0),
        at if at > 0 => (edge(at), edge(at + 1)),
        at => (-edge(1 - at), -edge(-at)),
    }
}

/// The middle of a bin, whole where the bin holds a whole number: most numbers counted are.
fn middle(bin: i16) -> f64 {
    let (low, high) = ends(bin);
    let whole = low.ceil();
    if whole < high || whole == low { whole } else { f64::midpoint(low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_is_in_its_bin(value in prop_oneof![-1e6..1e6_f64, -1.0..1.0_f64, (0..5000_i32).prop_map(f64::from)]) {
            let (low, high) = ends(bin(value));
            let within = if value.abs() < SMALLEST { low == 0.0 && high == 0.0 } else { low <= value && value <= high };
            prop_assert!(within, "{} is not in {} to {}", value, low, high);
            prop_assert!((middle(bin(value)) - value).abs() <= 0.063 * value.abs() + SMALLEST);
        }

        #[test]
        fn parts_add_up(a in prop::collection::vec(-1e3..1e6_f64, 0..60), b in prop::collection::vec(-1e3..1e6_f64, 0..60)) {
            let of = |values: &[f64]| { let mut h = Histogram::default(); values.iter().for_each(|v| h.add(*v)); h };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(&merged, &of(&[a.clone(), b.clone()].concat()));
            let (ha, hb) = (of(&a), of(&b));
            let sums = ha.beside(&hb).fold((0.0, 0.0), |s, (_, x, y)| (s.0 + x, s.1 + y));
            prop_assert_eq!(sums, (a.len() as f64, b.len() as f64));
        }
    }

    #[test]
    fn quantiles_are_near_and_nothing_has_none() {
        let mut h = Histogram::default();
        assert_eq!(h.quantile(0.5), None);
        (1..=1000).for_each(|v| h.add(f64::from(v)));
        h.add(f64::NAN);
        assert!((h.quantile(0.5).unwrap() - 500.0).abs() < 25.0);
        assert_eq!((h.n(), h.unknown()), (1000, 1));
        assert!(h.bars(24).len() <= 24 && h.bars(24).iter().map(|b| b.2).sum::<u64>() == 1000);
        h.add(3.7);
        h.take_back(3.7);
        h.take_back(-3.7);
        assert_eq!(h.n(), 1000);
        h.halve();
        assert!(h.n() < 501 && h.n() > 400);
    }
}
