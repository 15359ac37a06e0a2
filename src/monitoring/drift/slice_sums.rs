//! Where a number's change sits: how far it moved in each slice, and how little in the rest.

use crate::monitoring::dimension::{DIMENSIONS, Dimension, FIRST, Values};
use crate::monitoring::histogram::bin;
use serde::{Deserialize, Serialize};

/// Fewer numbers than this say nothing of a slice.
const FEWEST: f64 = 20.0;
/// Standard errors by which a slice must have moved further than the rest: many slices are looked at.
const CLEAR: f64 = 4.0;

/// The numbers of all generations and of each slice, summed up by bin: an octave is as far everywhere, so
/// that a few huge numbers do not hide the rest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Places {
    all: Vec<Sum>,
    /// By dimension, value and number.
    slices: [Vec<Vec<Sum>>; DIMENSIONS],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    n: i64,
    total: i64,
    squares: i64,
}

impl Places {
    /// Takes in the numbers of a generation in these slices; NaN is none.
    pub(super) fn add<const N: usize>(&mut self, numbers: &[f64; N], values: &Values) {
        let bins = numbers.map(|number| (!number.is_nan()).then(|| i64::from(bin(number))));
        add(&mut self.all, &bins);
        for (slices, value) in self.slices.iter_mut().zip(values) {
            let at = usize::from(*value);
            if slices.len() <= at {
                slices.resize_with(at + 1, Vec::new);
            }
            add(&mut slices[at], &bins);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        merge(&mut self.all, &other.all);
        for (ours, theirs) in self.slices.iter_mut().zip(&other.slices) {
            if ours.len() < theirs.len() {
                ours.resize_with(theirs.len(), Vec::new);
            }
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| merge(ours, theirs));
        }
    }

    /// Halves every sum of a number, so that what is older counts less.
    pub(super) fn halve(&mut self, which: usize) {
        self.of(which).for_each(Sum::halve);
    }

    /// Forgets all of a number.
    pub(super) fn forget(&mut self, which: usize) {
        self.of(which).for_each(|sum| *sum = Sum::default());
    }

    fn of(&mut self, which: usize) -> impl Iterator<Item = &mut Sum> {
        let slices = self.slices.iter_mut().flatten();
        std::iter::once(&mut self.all).chain(slices).filter_map(move |sums| sums.get_mut(which))
    }

    /// The slice whose numbers moved since `usual`, where those of all others hardly did.
    pub(super) fn moved(&self, usual: &Self, which: usize) -> Option<(Dimension, u16)> {
        let of = |sums: &[Sum]| sums.get(which).copied().unwrap_or_default();
        let total = Move { old: of(&usual.all), new: of(&self.all) };
        let mut clearest: Option<((Dimension, u16), f64)> = None;
        for dimension in Dimension::ALL {
            let slices = self.slices[dimension as usize].iter().zip(&usual.slices[dimension as usize]);
            for (value, (new, old)) in slices.enumerate().skip(usize::from(FIRST)) {
                let slice = Move { old: of(old), new: of(new) };
                let rest = total.without(&slice);
                let (is_known, z) = (slice.is_known() && rest.is_known(), slice.further_than(&rest));
                let only_here = rest.by().abs() < slice.by().abs() / 3.0;
                if is_known && only_here && z > clearest.map_or(CLEAR, |(_, z)| z) {
                    clearest = Some(((dimension, value as u16), z));
                }
            }
        }
        clearest.map(|(place, _)| place)
    }
}

/// Numbers before and now.
struct Move {
    old: Sum,
    new: Sum,
}

impl Move {
    fn without(&self, part: &Self) -> Self {
        Self { old: self.old.without(part.old), new: self.new.without(part.new) }
    }

    fn is_known(&self) -> bool {
        self.old.n as f64 >= FEWEST && self.new.n as f64 >= FEWEST
    }

    /// By how many bins the mean moved.
    fn by(&self) -> f64 {
        self.new.mean() - self.old.mean()
    }

    /// How much further it moved than another, in standard errors. Numbers that were all alike have none:
    /// then any move is clear.
    fn further_than(&self, other: &Self) -> f64 {
        let parts = [self.old, self.new, other.old, other.new];
        let error = parts.iter().map(|sum| sum.variance_of_mean()).sum::<f64>().sqrt();
        (self.by() - other.by()).abs() / error.max(1e-9)
    }
}

impl Sum {
    fn halve(&mut self) {
        *self = Self { n: self.n / 2, total: self.total / 2, squares: self.squares / 2 };
    }

    fn with(self, part: Self) -> Self {
        Self {
            n: self.n.saturating_add(part.n),
            total: self.total.saturating_add(part.total),
            squares: self.squares.saturating_add(part.squares),
        }
    }

    fn without(self, part: Self) -> Self {
        Self {
            n: self.n.saturating_sub(part.n),
            total: self.total.saturating_sub(part.total),
            squares: self.squares.saturating_sub(part.squares),
        }
    }

    fn mean(self) -> f64 {
        self.total as f64 / self.n.max(1) as f64
    }

    fn variance_of_mean(self) -> f64 {
        let n = self.n.max(1) as f64;
        (self.squares as f64 / n - self.mean().powi(2)).max(0.0) / n
    }
}

fn add(sums: &mut Vec<Sum>, bins: &[Option<i64>]) {
    sums.resize(bins.len(), Sum::default());
    for (sum, bin) in sums.iter_mut().zip(bins) {
        if let Some(bin) = bin {
            *sum = sum.with(Sum { n: 1, total: *bin, squares: bin * bin });
        }
    }
}

fn merge(ours: &mut Vec<Sum>, theirs: &[Sum]) {
    if ours.len() < theirs.len() {
        ours.resize(theirs.len(), Sum::default());
    }
    for (sum, other) in ours.iter_mut().zip(theirs) {
        *sum = sum.with(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 generations of two agents and two languages, the number of agent `FIRST` times `by`.
    fn places(by: impl Fn(u16) -> f64) -> Places {
        let mut places = Places::default();
        for i in 0..400_u16 {
            let agent = FIRST + i % 2;
            let values = [agent, 0, FIRST + i / 2 % 2, 0, 0, 0, 0];
            places.add(&[f64::NAN, f64::from(100 + i % 37) * by(agent)], &values);
        }
        places
    }

    #[test]
    fn what_moved_in_one_slice_is_found_there() {
        let (usual, twice) = (places(|_| 1.0), places(|agent| if agent == FIRST { 2.0 } else { 1.0 }));
        assert_eq!(twice.moved(&usual, 1), Some((Dimension::Agent, FIRST)));
        assert_eq!(twice.moved(&usual, 0), None);
    }

    #[test]
    fn what_moved_everywhere_or_nowhere_is_in_no_slice() {
        let usual = places(|_| 1.0);
        assert_eq!(places(|_| 2.0).moved(&usual, 1), None);
        assert_eq!(usual.moved(&usual, 1), None);
        assert_eq!(usual.moved(&Places::default(), 1), None);
    }

    #[test]
    fn what_has_faded_counts_half() {
        let (mut halved, usual) = (places(|_| 1.0), places(|_| 1.0));
        halved.halve(1);
        assert_eq!((halved.all[1].n, usual.all[1].n), (200, 400));
        halved.merge(&usual);
        assert_eq!(halved.all[1].n, 600);
        halved.forget(1);
        assert_eq!(halved.all[1], Sum::default());
    }
}
