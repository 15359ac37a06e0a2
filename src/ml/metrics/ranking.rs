//! Scores of an order against how relevant the ordered rows were.
//!
//! Rows that a model scores the same have no order. Every measure is then its mean over all orders of
//! such rows (McSherry and Najork 2008), so that no score depends on where a row stands in the data.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How well scores order the rows of groups, best first; the means over the groups that have a
/// relevant row.
///
/// ```
/// use devmatrix_ml::ml::metrics::RankingScores;
/// let scores = RankingScores::of(&[0.9, 0.1, 0.5, 0.7], &[1.0, 0.0, 1.0, 0.0], &[2, 2])?;
/// assert_eq!((scores.ndcg_1, scores.mrr), (0.5, 0.75));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RankingScores {
    /// NDCG@1, the normalised discounted cumulative gain of the first rank.
    pub ndcg_1: f64,
    /// NDCG@3.
    pub ndcg_3: f64,
    /// NDCG@5.
    pub(crate) ndcg_5: f64,
    /// NDCG@10.
    pub(crate) ndcg_10: f64,
    /// Mean average precision; every relevance above 0 counts as relevant.
    pub(crate) map: f64,
    /// Mean reciprocal rank of the first relevant row.
    pub mrr: f64,
    /// Groups scored.
    pub(crate) groups: usize,
    /// Rows of these groups.
    pub n: usize,
}

/// Relevances up to this keep gains exact.
const LARGEST_RELEVANCE: f64 = 31.0;

impl RankingScores {
    /// Scores the order by `scores` (higher is better) against `relevances` (0 to 31), in groups of
    /// so many rows as `sizes` says, one after the other. Groups without a relevant row are left out:
    /// any order of them is as good.
    ///
    /// # Errors
    /// `InvalidInput` when the numbers of rows differ, a value is out of range, or no group has a
    /// relevant row.
    pub fn of(scores: &[f64], relevances: &[f64], sizes: &[usize]) -> Result<Self> {
        check(scores, relevances)?;
        let total = sizes.iter().try_fold(0_usize, |sum, size| sum.checked_add(*size));
        if total != Some(scores.len()) {
            return Err(Error::invalid(format!("groups: their sizes must add up to {} rows", scores.len())));
        }
        let (mut sums, mut groups, mut n, mut start) = ([0.0; 6], 0, 0, 0);
        for size in sizes {
            let rows = start..start + size;
            start += size;
            let ties = Ties::of(&scores[rows.clone()], &relevances[rows]);
            if ties.relevant() == 0 {
                continue;
            }
            let ndcg = [1, 3, 5, 10].map(|k| ties.ndcg(k));
            let [a, b, c, d] = ndcg;
            let found = [a, b, c, d, ties.average_precision(), ties.reciprocal_rank()];
            sums.iter_mut().zip(found).for_each(|(sum, v)| *sum += v);
            groups += 1;
            n += size;
        }
        if groups == 0 {
            return Err(Error::invalid("groups: at least one must have a relevant row"));
        }
        let [ndcg_1, ndcg_3, ndcg_5, ndcg_10, map, mrr] = sums.map(|sum| sum / f64::from(groups));
        Ok(Self { ndcg_1, ndcg_3, ndcg_5, ndcg_10, map, mrr, groups: groups as usize, n })
    }

    /// The scores by name.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        let named = [
            ("ndcg@1", self.ndcg_1),
            ("ndcg@3", self.ndcg_3),
            ("ndcg@5", self.ndcg_5),
            ("ndcg@10", self.ndcg_10),
            ("map", self.map),
            ("mrr", self.mrr),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Normalised discounted cumulative gain of one group's first `k` ranks: gains 2^relevance − 1,
/// discounts log2(rank + 1) (Järvelin and Kekäläinen 2002; Burges et al. 2005). `None` when nothing
/// is relevant.
///
/// # Errors
/// `InvalidInput` when the numbers of rows differ, `k` is 0, or a value is out of range.
pub(crate) fn ndcg(scores: &[f64], relevances: &[f64], k: usize) -> Result<Option<f64>> {
    check(scores, relevances)?;
    if k == 0 {
        return Err(Error::invalid("NDCG needs at least one place"));
    }
    let ties = Ties::of(scores, relevances);
    Ok((ties.relevant() > 0).then(|| ties.ndcg(k)))
}

/// One group's rows by descending score.
struct Ties {
    /// The gains of rows of the same score, best first.
    gains: Vec<Vec<f64>>,
}

impl Ties {
    fn of(scores: &[f64], relevances: &[f64]) -> Self {
        // Adding 0 makes -0 the same as 0.
        let mut rows: Vec<_> = scores.iter().map(|s| s + 0.0).zip(relevances).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.total_cmp(b.1)));
        let ties = rows.chunk_by(|a, b| a.0 == b.0);
        Self { gains: ties.map(|tie| tie.iter().map(|(_, r)| r.exp2() - 1.0).collect()).collect() }
    }

    fn relevant(&self) -> usize {
        self.gains.iter().flatten().filter(|g| **g > 0.0).count()
    }

    fn ndcg(&self, k: usize) -> f64 {
        let (mut found, mut place) = (0.0, 0);
        for tie in &self.gains {
            let mean = tie.iter().sum::<f64>() / tie.len() as f64;
            found += mean * (place..(place + tie.len()).min(k)).map(discount).sum::<f64>();
            place += tie.len();
        }
        let mut ideal: Vec<_> = self.gains.iter().flatten().copied().collect();
        ideal.sort_by(|a, b| b.total_cmp(a));
        found / ideal.iter().take(k).enumerate().map(|(i, gain)| gain * discount(i)).sum::<f64>()
    }

    /// Each rank of a tie is relevant with the same probability (McSherry and Najork 2008).
    fn average_precision(&self) -> f64 {
        let (mut sum, mut before, mut hits) = (0.0, 0.0, 0.0);
        for tie in &self.gains {
            let (size, relevant) = (tie.len() as f64, tie.iter().filter(|g| **g > 0.0).count() as f64);
            // Of the other rows of the tie, how many relevant ones stand before each rank.
            let share = if size > 1.0 { (relevant - 1.0) / (size - 1.0) } else { 0.0 };
            for i in 0..tie.len() {
                let i = i as f64;
                sum += relevant / size * (hits + 1.0 + i * share) / (before + i + 1.0);
            }
            before += size;
            hits += relevant;
        }
        sum / hits
    }

    /// The first relevant row stands in the first tie that has one.
    fn reciprocal_rank(&self) -> f64 {
        let mut before = 0.0;
        for tie in &self.gains {
            let relevant = tie.iter().filter(|g| **g > 0.0).count() as f64;
            if relevant > 0.0 {
                let (mut sum, mut none_yet) = (0.0, 1.0);
                for i in 0..tie.len() {
                    let left = (tie.len() - i) as f64;
                    let here = (relevant / left).min(1.0);
                    sum += none_yet * here / (before + i as f64 + 1.0);
                    none_yet *= 1.0 - here;
                }
                return sum;
            }
            before += tie.len() as f64;
        }
        0.0
    }
}

fn discount(place: usize) -> f64 {
    1.0 / (place as f64 + 2.0).log2()
}

fn check(scores: &[f64], relevances: &[f64]) -> Result<()> {
    if scores.len() != relevances.len() || scores.is_empty() {
        return Err(Error::invalid(format!(
            "{} scores against {} relevances: give as many, and at least one",
            scores.len(),
            relevances.len()
        )));
    }
    if let Some(row) = scores.iter().position(|s| !s.is_finite()) {
        return Err(Error::invalid(format!("score {} of row {row} is not finite", scores[row])));
    }
    match relevances.iter().position(|r| !(0.0..=LARGEST_RELEVANCE).contains(r)) {
        Some(row) => {
            Err(Error::invalid(format!("relevance {} of row {row} is not in [0, 31]", relevances[row])))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCORES: [f64; 8] = [0.9, 0.3, 0.7, 0.2, 0.8, 0.1, 0.5, 0.6];
    const TIED: [f64; 8] = [0.8, 0.2, 0.8, 0.2, 0.8, 0.2, 0.5, 0.5];
    const RELEVANCES: [f64; 8] = [0.0, 2.0, 1.0, 0.0, 3.0, 1.0, 0.0, 4.0];
    const PLAIN: [f64; 6] =
        [0.0, 0.235_053_968_395, 0.523_448_833_318, 0.587_131_728_37, 0.641_666_666_667, 0.5];
    const WITH_TIES: [f64; 6] = [
        0.177_777_777_778,
        0.271_674_376_437,
        0.543_569_021_927,
        0.605_223_796_731,
        0.715_158_730_159,
        0.833_333_333_333,
    ];

    /// `ndcg_score(2**relevance - 1, scores, k=k)` and `average_precision_score` of scikit-learn
    /// 1.9.1; for ties, the last two are means over all orders of the tied rows (numpy 2.4.6).
    #[test]
    fn scores_equal_the_reference() {
        for (scores, wanted) in [(SCORES, PLAIN), (TIED, WITH_TIES)] {
            let s = RankingScores::of(&scores, &RELEVANCES, &[8]).unwrap();
            let found = [s.ndcg_1, s.ndcg_3, s.ndcg_5, s.ndcg_10, s.map, s.mrr];
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
            }
            assert_eq!(ndcg(&scores, &RELEVANCES, 3).unwrap(), Some(s.ndcg_3));
        }
    }

    #[test]
    fn groups_are_scored_apart_and_those_without_a_relevant_row_left_out() {
        let scores = [0.1, 0.2, 0.3, 0.9, 0.8];
        let s = RankingScores::of(&scores, &[0.0, 1.0, 0.0, 0.0, 0.0], &[2, 0, 1, 2]).unwrap();
        assert_eq!((s.groups, s.n, s.ndcg_5, s.mrr), (1, 2, 1.0, 1.0));
        assert_eq!(s.to_map().len(), 6);
        assert_eq!(ndcg(&scores, &[0.0; 5], 3).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        assert!(RankingScores::of(&[], &[], &[]).is_err());
        assert!(RankingScores::of(&[1.0], &[1.0], &[2]).is_err());
        assert!(RankingScores::of(&[1.0], &[1.0], &[usize::MAX, 2]).is_err());
        assert!(RankingScores::of(&[1.0], &[0.0], &[1]).is_err());
        assert!(RankingScores::of(&[f64::NAN], &[1.0], &[1]).is_err());
        assert!(RankingScores::of(&[1.0], &[-1.0], &[1]).is_err());
        assert!(ndcg(&[1.0], &[1.0], 0).is_err());
    }

    proptest! {
        #[test]
        fn every_score_is_a_share_and_rows_may_stand_anywhere(
            rows in prop::collection::vec((0_i32..5, 0_u8..4), 1..20),
            turn in 0_usize..20,
        ) {
            let (scores, relevances): (Vec<_>, Vec<_>) =
                rows.iter().map(|(s, r)| (f64::from(*s), f64::from(*r))).unzip();
            if let Ok(s) = RankingScores::of(&scores, &relevances, &[rows.len()]) {
                prop_assert!(s.to_map().values().all(|v| (0.0..=1.0 + 1e-12).contains(v)), "{s:?}");
                let (mut scores, mut relevances) = (scores, relevances);
                scores.rotate_left(turn % rows.len());
                relevances.rotate_left(turn % rows.len());
                prop_assert_eq!(RankingScores::of(&scores, &relevances, &[rows.len()]).unwrap(), s);
            }
        }
    }
}
