//! Two probabilities, one of which is right.

use super::check;
use super::isotonic::grouped;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// An inductive Venn–Abers predictor (Vovk and Petej 2014): isotonic regression over the held-out
/// rows and the new one, once as a failure and once as a success. If rows are exchangeable, one of
/// the two probabilities is perfectly calibrated, whichever comes true; how far they are apart says
/// how little is known there.
///
/// A row that weighs less than 1 counts as that much of a row; the new one weighs 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Group>", into = "Vec<Group>")]
pub(crate) struct VennAbers {
    groups: Vec<Group>,
    /// For every group, the last block when those up to it are pooled.
    left: Vec<Block>,
    /// For every group, the last one first, the first block when those from it on are pooled.
    right: Vec<Block>,
}

/// Distinct log-odds, the weight of the successes there and of all rows.
type Group = (f64, f64, f64);

/// A block of pooled groups, and where the next one stands.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Block {
    hits: f64,
    weight: f64,
    next: Option<u32>,
}

impl VennAbers {
    /// Remembers held-out log-odds and what came true. Rows that rise and fall together should share
    /// the weight of one.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ or a value is out of range.
    pub(crate) fn fit(margins: &[f64], labels: &[bool], weights: &[f64]) -> Result<Self> {
        check(margins, labels, weights)?;
        Ok(Self::of(grouped(margins, labels, weights)))
    }

    /// The probabilities of success at a margin, were it a failure and were it a success: p0 ≤ p1.
    pub(crate) fn interval(&self, margin: f64) -> (f64, f64) {
        let from = self.groups.partition_point(|(m, ..)| *m < margin);
        let tie = self.groups.get(from).filter(|(m, ..)| *m == margin);
        let (hits, weight) = tie.map_or((0.0, 0.0), |(_, hits, weight)| (*hits, *weight));
        let after = from + usize::from(tie.is_some());
        let right = self.groups.len().checked_sub(after + 1).and_then(|i| self.right.get(i));
        let left = from.checked_sub(1).and_then(|i| self.left.get(i));
        let pooled = |label: f64| self.pool(hits + label, weight + 1.0, left, right);
        (pooled(0.0), pooled(1.0))
    }

    /// Whether what was read back can be used; reading refuses what cannot.
    pub(crate) fn is_sound(&self) -> bool {
        are_sound(&self.groups)
    }

    /// The held-out rows: distinct log-odds, ascending, the weight of the successes there and of all rows.
    pub(super) fn groups(&self) -> &[(f64, f64, f64)] {
        &self.groups
    }

    fn of(groups: Vec<Group>) -> Self {
        let left = chain(groups.iter(), |before, block| before >= block);
        let right = chain(groups.iter().rev(), |after, block| after <= block);
        Self { groups, left, right }
    }

    /// The mean of the block around a new row, pooled with its neighbors for as long as they are on
    /// the wrong side of it.
    fn pool(&self, mut hits: f64, mut weight: f64, left: Option<&Block>, right: Option<&Block>) -> f64 {
        let (mut left, mut right) = (left, right);
        loop {
            let mean = hits / weight;
            let block = if let Some(block) = left.filter(|b| b.mean() >= mean) {
                left = block.next.and_then(|i| self.left.get(i as usize));
                block
            } else if let Some(block) = right.filter(|b| b.mean() <= mean) {
                right = block.next.and_then(|i| self.right.get(i as usize));
                block
            } else {
                return mean;
            };
            hits += block.hits;
            weight += block.weight;
        }
    }
}

impl Block {
    fn mean(&self) -> f64 {
        self.hits / self.weight
    }
}

/// Pools group after group; `wrong` says of two means that their blocks must be one. A block points
/// to the one it ends at, so that every state of the pooling stays there to be read.
fn chain<'a>(groups: impl Iterator<Item = &'a Group>, wrong: impl Fn(f64, f64) -> bool) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for (_, hits, weight) in groups {
        let next = found.len().checked_sub(1).map(|i| i as u32);
        let mut block = Block { hits: *hits, weight: *weight, next };
        while let Some(last) = block.next.and_then(|i| found.get(i as usize)) {
            if !wrong(last.mean(), block.mean()) {
                break;
            }
            block.hits += last.hits;
            block.weight += last.weight;
            block.next = last.next;
        }
        found.push(block);
    }
    found
}

fn are_sound(groups: &[Group]) -> bool {
    let sound = |(margin, hits, weight): &Group| {
        margin.is_finite() && *weight > 0.0 && *weight <= 1e18 && *hits >= 0.0 && *hits <= *weight
    };
    !groups.is_empty()
        && u32::try_from(groups.len()).is_ok()
        && groups.iter().all(sound)
        && groups.is_sorted_by(|a, b| a.0 < b.0)
}

impl TryFrom<Vec<Group>> for VennAbers {
    type Error = Error;

    fn try_from(groups: Vec<Group>) -> Result<Self> {
        if are_sound(&groups) {
            Ok(Self::of(groups))
        } else {
            Err(Error::corrupt("Venn-Abers predictor: its rows are out of range"))
        }
    }
}

impl From<VennAbers> for Vec<Group> {
    fn from(fitted: VennAbers) -> Self {
        fitted.groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::calibration::Isotonic;
    use crate::ml::calibration::golden::{LABELS, MARGINS, POINTS, WEIGHTS};
    use proptest::prelude::*;

    const PLAIN: [(f64, f64); 12] = [
        (0.0, 0.333_333_333_333),
        (0.0, 0.375),
        (0.0, 0.428_571_428_571),
        (0.25, 0.5),
        (0.285_714_285_714, 0.5),
        (0.285_714_285_714, 0.6),
        (0.333_333_333_333, 0.6),
        (0.4, 0.666_666_666_667),
        (0.4, 0.8),
        (0.6, 0.8),
        (0.6, 0.8),
        (0.6, 1.0),
    ];
    const WEIGHTED: [(f64, f64); 12] = [
        (0.0, 0.347_826_086_957),
        (0.0, 0.413_793_103_448),
        (0.0, 0.444_444_444_444),
        (0.235_294_117_647, 0.571_428_571_429),
        (0.296_296_296_296, 0.571_428_571_429),
        (0.296_296_296_296, 0.727_272_727_273),
        (0.4, 0.727_272_727_273),
        (0.545_454_545_455, 0.75),
        (0.545_454_545_455, 0.866_666_666_667),
        (0.629_629_629_63, 0.866_666_666_667),
        (0.636_363_636_364, 0.866_666_666_667),
        (0.636_363_636_364, 1.0),
    ];

    /// `IsotonicRegression` of scikit-learn 1.9.1 fitted to the rows and the new one.
    #[test]
    fn both_probabilities_equal_the_reference() {
        let plain = VennAbers::fit(&MARGINS, &LABELS, &[1.0; 16]).unwrap();
        let weighted = VennAbers::fit(&MARGINS, &LABELS, &WEIGHTS).unwrap();
        for (i, margin) in POINTS.iter().enumerate() {
            for (fitted, (p0, p1)) in [(&plain, PLAIN[i]), (&weighted, WEIGHTED[i])] {
                let (low, high) = fitted.interval(*margin);
                assert!((low - p0).abs() < 1e-9 && (high - p1).abs() < 1e-9, "{margin}: {low} {high}");
            }
        }
    }

    #[test]
    fn reading_back_makes_the_same_and_refuses_damage() {
        let fitted = VennAbers::fit(&MARGINS, &LABELS, &WEIGHTS).unwrap();
        let back: VennAbers = postcard::from_bytes(&postcard::to_stdvec(&fitted).unwrap()).unwrap();
        assert!(back == fitted && back.is_sound());
        for damaged in ["[]", "[[1.0,2.0,1.0]]", "[[1.0,0.0,1.0],[0.0,0.0,1.0]]", "[[1.0,0.0,0.0]]"] {
            assert!(serde_json::from_str::<VennAbers>(damaged).is_err(), "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn it_equals_pooling_everything_anew(
            rows in prop::collection::vec((-6_i32..6, any::<bool>(), 0.2..2.0_f64), 1..40),
            next in -7_i32..7,
        ) {
            let mut margins: Vec<_> = rows.iter().map(|r| f64::from(r.0)).collect();
            let mut labels: Vec<_> = rows.iter().map(|r| r.1).collect();
            let mut weights: Vec<_> = rows.iter().map(|r| r.2).collect();
            let (low, high) = VennAbers::fit(&margins, &labels, &weights).unwrap().interval(f64::from(next));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
            margins.push(f64::from(next));
            weights.push(1.0);
            let edge = 1.0 / (weights.iter().sum::<f64>() + 2.0);
            for (label, found) in [(false, low), (true, high)] {
                labels.push(label);
                let anew = Isotonic::fit(&margins, &labels, &weights).unwrap().probability(f64::from(next));
                prop_assert!((anew - found.clamp(edge, 1.0 - edge)).abs() < 1e-9, "{anew} {found}");
                labels.pop();
            }
        }
    }
}
