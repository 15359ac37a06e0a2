//! How much the trees' correction is worth, judged on rows that they had not seen.

use super::{Fitted, rates};
use crate::dataset::Dataset;
use crate::error::Result;
use crate::ml::Scaling;

/// What rows held out say of the correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct QFunction {
    /// The share of the correction that serves best; 0 where none is better than the prior alone.
    pub(super) share: f64,
    pub(super) scaling: Scaling,
}

/// Where the rows held out begin and end, as shares of all, in the order of start; each time what
/// was known before is learned from.
const FOLDS: [(f64, f64); 3] = [(0.4, 0.6), (0.6, 0.8), (0.8, 1.0)];

/// Shares of the correction that are tried.
const SHARES: [f64; 3] = [0.25, 0.5, 1.0];

/// Rows after it in its group with which a row is compared.
const MOST_PAIRS: usize = 50;

/// Fewer rows held out than this say nothing.
const FEWEST_ROWS: usize = 30;

/// Predictions of rows held out.
#[derive(Default)]
struct HeldOut {
    priors: Vec<f64>,
    corrections: Vec<f64>,
    successes: Vec<bool>,
    /// Pairs of rows of which the first did better, by group.
    groups: Vec<Vec<(usize, usize)>>,
}

/// Fits on what came before and judges on what came after. A share is taken when its pairs are
/// told apart better than by the prior alone, by more than the standard error over the groups; of
/// several such the one that does best.
pub(super) fn judge(data: &Dataset, fit: impl Fn(&Dataset) -> Result<Option<Fitted>>) -> Result<QFunction> {
    let mut held_out = HeldOut::default();
    for (from, to) in FOLDS {
        let (earlier, later) = between(data, from, to);
        if let Some(fitted) = fit(&earlier)? {
            held_out.add(&fitted, &later);
        }
    }
    if held_out.priors.len() < FEWEST_ROWS {
        return Ok(QFunction { share: 0.0, scaling: Scaling::default() });
    }
    let share = held_out.best_share();
    let margins = held_out.margins(share);
    let weights = vec![1.0; margins.len()];
    Ok(QFunction { share, scaling: Scaling::fit(&margins, &held_out.successes, &weights) })
}

/// The rows between two shares of all, in the order of their start, and what was known before the first of
/// them started.
fn between(data: &Dataset, from: f64, to: f64) -> (Dataset, Dataset) {
    let rows = &data.examples;
    let index = |share: f64| ((rows.len() as f64 * share) as usize).min(rows.len());
    let later = rows.get(index(from)..index(to)).unwrap_or_default();
    let first = later.first().map(|row| row.started_at);
    let earlier = rows[..index(from)].iter().filter(|row| row.known_at < first);
    (data.with_examples(earlier.cloned().collect()), data.with_examples(later.to_vec()))
}

impl HeldOut {
    fn add(&mut self, fitted: &Fitted, later: &Dataset) {
        let first = self.priors.len();
        for row in &later.examples {
            self.priors.push(rates::prior(&row.features.values));
            self.corrections.push(fitted.correction(&row.features.values));
            self.successes.push(row.labels.success.is_some_and(|(_, success)| success));
        }
        let groups = later.groups();
        let pairs = groups.iter().map(|group| pairs(later, group, first));
        self.groups.extend(pairs.filter(|pairs| !pairs.is_empty()));
    }

    fn margins(&self, share: f64) -> Vec<f64> {
        self.priors.iter().zip(&self.corrections).map(|(prior, more)| prior + share * more).collect()
    }

    /// 0 where no share gains more than its standard error.
    fn best_share(&self) -> f64 {
        let alone = self.losses(0.0);
        let mut best = (0.0, 0.0);
        for share in SHARES {
            let gains: Vec<_> =
                self.losses(share).iter().zip(&alone).map(|(with, without)| without - with).collect();
            let n = gains.len() as f64;
            let mean = gains.iter().sum::<f64>() / n;
            let variance = gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
            if mean > (variance / n).sqrt() && mean > best.0 {
                best = (mean, share);
            }
        }
        best.1
    }

    /// The mean logistic loss over the pairs of each group.
    fn losses(&self, share: f64) -> Vec<f64> {
        let margins = self.margins(share);
        let loss = |(better, worse): &(usize, usize)| (margins[*worse] - margins[*better]).exp().ln_1p();
        let mean = |pairs: &Vec<_>| pairs.iter().map(loss).sum::<f64>() / pairs.len() as f64;
        self.groups.iter().map(mean).collect()
    }
}

/// The places, from `first` on, of rows of a group with different templates and different
/// relevances, the better one first.
fn pairs(data: &Dataset, group: &[usize], first: usize) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (i, at) in group.iter().enumerate() {
        let row = &data.examples[*at];
        for other_at in group[i + 1..].iter().take(MOST_PAIRS) {
            let other = &data.examples[*other_at];
            if other.about.template == row.about.template || other.label == row.label {
                continue;
            }
            let (a, b) = (first + at, first + other_at);
            pairs.push(if row.label > other.label { (a, b) } else { (b, a) });
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of one pair each, of which the correction tells every `wrong`th the wrong way.
    fn held_out(wrong: usize) -> HeldOut {
        let corrections = (0..40).flat_map(|i| if i % wrong == 0 { [-1.0, 1.0] } else { [1.0, -1.0] });
        HeldOut {
            priors: vec![0.0; 80],
            corrections: corrections.collect(),
            successes: vec![true; 80],
            groups: (0..40).map(|i| vec![(2 * i, 2 * i + 1)]).collect(),
        }
    }

    #[test]
    fn a_correction_counts_as_far_as_it_is_right() {
        assert_eq!(held_out(100).best_share(), 1.0);
        assert_eq!(held_out(3).best_share(), 0.25);
        assert_eq!(held_out(2).best_share(), 0.0);
        assert_eq!(held_out(1).best_share(), 0.0);
        assert_eq!(HeldOut::default().best_share(), 0.0);
    }
}
