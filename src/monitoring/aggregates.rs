//! Whole-number sums over generations: what is taken back leaves nothing, and the order changes no bit.

use super::analytics::{Figures, NumberScores, Rate, SuccessScores};
use super::moments::{Moments, Term};
use crate::dataset::Target;
use crate::ml::metrics::log_loss;
use serde::{Deserialize, Serialize};

/// Contribution of a generation's start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StartPart {
    pub(super) regeneration: bool,
}

/// Contribution of a generation's end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct EndPart {
    pub(super) cost: Option<f64>,
    pub(super) seconds: Option<f64>,
    pub(super) tokens: Option<f64>,
}

/// Contribution of a generation's outcome, with the predicted probability of success.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OutcomePart {
    pub(super) success: Option<bool>,
    pub(super) approved: Option<bool>,
    pub(super) quality: Option<f64>,
    pub(super) seconds_to_approval: Option<f64>,
    pub(super) cost: Option<f64>,
    /// The predicted probability of success.
    pub(super) predicted: Option<f64>,
}

/// A number that was predicted, and what it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NumberPart {
    pub(super) predicted: f64,
    pub(super) actual: f64,
    pub(super) held_80: Option<bool>,
    pub(super) held_90: Option<bool>,
}

/// [`EndPart`] as it is summed up.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndTerms {
    cost: Option<Term>,
    seconds: Option<Term>,
    tokens: Option<Term>,
}

impl EndPart {
    pub(super) fn terms(&self) -> EndTerms {
        let [cost, seconds, tokens] = [self.cost, self.seconds, self.tokens].map(|v| v.map(Term::of));
        EndTerms { cost, seconds, tokens }
    }
}

/// [`OutcomePart`] as it is summed up.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutcomeTerms {
    success: Option<bool>,
    approved: Option<bool>,
    quality: Option<Term>,
    approval: Option<Term>,
    cost: Option<Term>,
    scored: Option<Scored>,
}

impl OutcomePart {
    pub(super) fn terms(&self) -> OutcomeTerms {
        let [quality, approval, cost] =
            [self.quality, self.seconds_to_approval, self.cost].map(|v| v.map(Term::of));
        let scored =
            self.predicted.zip(self.success).map(|(predicted, success)| Scored::of(predicted, success));
        OutcomeTerms { success: self.success, approved: self.approved, quality, approval, cost, scored }
    }
}

/// [`NumberPart`] as it is summed up.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberTerms {
    absolute: Term,
    bias: Term,
    actual: Term,
    held: [Option<bool>; 2],
}

impl NumberPart {
    pub(super) fn terms(&self) -> NumberTerms {
        let error = self.predicted - self.actual;
        let [absolute, bias, actual] = [error.abs(), error, self.actual].map(Term::of);
        NumberTerms { absolute, bias, actual, held: [self.held_80, self.held_90] }
    }
}

/// Aggregated outcomes of the generations of one day and slice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) generations: i64,
    regenerations: i64,
    completed: i64,
    pub(super) judged: i64,
    pub(super) successes: i64,
    approval_known: i64,
    approved: i64,
    pub(super) quality: Moments,
    cost: Moments,
    seconds: Moments,
    tokens: Moments,
    approval: Moments,
    /// Cost of generations whose success is known, and those of them that succeeded.
    judged_cost: Moments,
    paid_successes: i64,
    pub(super) success: Option<Box<SuccessCell>>,
    pub(super) numbers: [Option<Box<NumberCell>>; NUMBERS.len()],
}

/// The numbers that are predicted, in the order in which they are kept.
pub(super) const NUMBERS: &[Target] = Target::NUMBERS;

impl Cell {
    pub(super) fn add_start(&mut self, part: StartPart, sign: i64) {
        self.generations += sign;
        self.regenerations += sign * i64::from(part.regeneration);
    }

    pub(super) fn add_end(&mut self, end: &EndTerms, sign: i64) {
        self.completed += sign;
        let sums =
            [(&mut self.cost, end.cost), (&mut self.seconds, end.seconds), (&mut self.tokens, end.tokens)];
        sums.into_iter().for_each(|(sum, term)| term.iter().for_each(|term| sum.add(term, sign)));
    }

    pub(super) fn add_outcome(&mut self, outcome: &OutcomeTerms, sign: i64) {
        if let Some(success) = outcome.success {
            self.judged += sign;
            self.successes += sign * i64::from(success);
            if let Some(cost) = &outcome.cost {
                self.judged_cost.add(cost, sign);
                self.paid_successes += sign * i64::from(success);
            }
            if let Some(scored) = &outcome.scored {
                self.success.get_or_insert_default().add(scored, sign);
            }
        }
        if let Some(approved) = outcome.approved {
            self.approval_known += sign;
            self.approved += sign * i64::from(approved);
        }
        outcome.quality.iter().for_each(|quality| self.quality.add(quality, sign));
        outcome.approval.iter().for_each(|seconds| self.approval.add(seconds, sign));
    }

    pub(super) fn add_number(&mut self, which: usize, number: &NumberTerms, sign: i64) {
        self.numbers[which].get_or_insert_default().add(number, sign);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.generations += other.generations;
        self.regenerations += other.regenerations;
        self.completed += other.completed;
        self.judged += other.judged;
        self.successes += other.successes;
        self.approval_known += other.approval_known;
        self.approved += other.approved;
        self.quality.merge(&other.quality);
        self.cost.merge(&other.cost);
        self.seconds.merge(&other.seconds);
        self.tokens.merge(&other.tokens);
        self.approval.merge(&other.approval);
        self.judged_cost.merge(&other.judged_cost);
        self.paid_successes += other.paid_successes;
        if let Some(theirs) = &other.success {
            self.success.get_or_insert_default().merge(theirs);
        }
        for (ours, theirs) in self.numbers.iter_mut().zip(&other.numbers) {
            if let Some(theirs) = theirs {
                ours.get_or_insert_default().merge(theirs);
            }
        }
    }

    pub(super) fn success_rate(&self) -> Rate {
        Rate::of(self.successes.max(0) as u64, self.judged.max(0) as u64)
    }

    /// First tries and regenerations.
    pub(super) fn tries(&self) -> (i64, i64) {
        (self.generations - self.regenerations, self.regenerations)
    }

    pub(super) fn figures(&self) -> Figures {
        let rate = |hits: i64, n: i64| Rate::of(hits.max(0) as u64, n.max(0) as u64);
        Figures {
            generations: self.generations.max(0) as u64,
            completed: self.completed.max(0) as u64,
            success: self.success_rate(),
            approved: rate(self.approved, self.approval_known),
            regenerations: rate(self.regenerations, self.generations),
            quality: self.quality.average(),
            cost_usd: self.cost.average(),
            total_cost_usd: self.cost.sum(),
            cost_per_success_usd: (self.paid_successes > 0)
                .then(|| self.judged_cost.sum() / self.paid_successes as f64),
            seconds: self.seconds.average(),
            tokens: self.tokens.average(),
            seconds_to_approval: self.approval.average(),
        }
    }

    pub(super) fn success_scores(&self) -> Option<SuccessScores> {
        self.success.as_ref().and_then(|cell| cell.scores())
    }

    pub(super) fn number_scores(&self) -> Vec<NumberScores> {
        let cells = self.numbers.iter().zip(NUMBERS);
        cells.filter_map(|(cell, target)| cell.as_ref().and_then(|cell| cell.scores(*target))).collect()
    }
}

/// Predicted probabilities and what became of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SuccessCell {
    pub(super) brier: Moments,
    logloss: Moments,
    correct: i64,
    bins: Vec<Bin>,
}

/// Predictions of about the same probability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bin {
    pub(super) n: i64,
    pub(super) successes: i64,
    /// Sum of predictions, fixed point.
    predicted: i64,
}

impl Bin {
    pub(super) fn predicted(&self) -> f64 {
        self.predicted as f64 / Term::SCALE / self.n.max(1) as f64
    }

    /// Counts a prediction of which nothing has become known.
    pub(super) fn add(&mut self, predicted: f64, sign: i64) {
        self.n += sign;
        self.predicted += sign * Term::of(predicted).value();
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.successes += other.successes;
        self.predicted += other.predicted;
    }
}

impl Default for SuccessCell {
    fn default() -> Self {
        Self {
            brier: Moments::default(),
            logloss: Moments::default(),
            correct: 0,
            bins: vec![Bin::default(); SuccessScores::BINS],
        }
    }
}

/// The bin of a probability.
pub(super) fn bin_of(probability: f64) -> usize {
    ((probability * SuccessScores::BINS as f64) as usize).min(SuccessScores::BINS - 1)
}

/// A prediction that met its outcome, as it is summed up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    brier: Term,
    logloss: Term,
    correct: bool,
    success: bool,
    bin: usize,
    /// Fixed point.
    predicted: i64,
}

impl Scored {
    pub(super) fn of(predicted: f64, success: bool) -> Self {
        let y = f64::from(u8::from(success));
        Self {
            brier: Term::of((predicted - y).powi(2)),
            logloss: Term::of(log_loss(predicted, success)),
            correct: (predicted >= 0.5) == success,
            success,
            bin: bin_of(predicted),
            predicted: Term::of(predicted).value(),
        }
    }
}

impl SuccessCell {
    pub(super) fn add(&mut self, scored: &Scored, sign: i64) {
        self.brier.add(&scored.brier, sign);
        self.logloss.add(&scored.logloss, sign);
        self.correct += sign * i64::from(scored.correct);
        let bin = &mut self.bins[scored.bin];
        bin.n += sign;
        bin.successes += sign * i64::from(scored.success);
        bin.predicted += sign * scored.predicted;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.brier.merge(&other.brier);
        self.logloss.merge(&other.logloss);
        self.correct += other.correct;
        self.bins.iter_mut().zip(&other.bins).for_each(|(ours, theirs)| ours.merge(theirs));
    }

    pub(super) fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The bins in ten of equal width.
    pub(super) fn tenths(&self) -> Vec<Bin> {
        let together = |bins: &[Bin]| {
            bins.iter().fold(Bin::default(), |mut sum, bin| {
                sum.merge(bin);
                sum
            })
        };
        self.bins.chunks(SuccessScores::BINS / 10).map(together).collect()
    }

    pub(super) fn ece(&self) -> f64 {
        let gap = |bin: &Bin| (bin.predicted as f64 / Term::SCALE - bin.successes as f64).abs();
        self.tenths().iter().map(gap).sum::<f64>() / self.brier.n.max(1) as f64
    }

    pub(super) fn predicted(&self) -> f64 {
        let sum: i64 = self.bins.iter().map(|bin| bin.predicted).sum();
        sum as f64 / Term::SCALE / self.brier.n.max(1) as f64
    }

    pub(super) fn actual(&self) -> Rate {
        let successes: i64 = self.bins.iter().map(|bin| bin.successes).sum();
        Rate::of(successes.max(0) as u64, self.brier.n.max(0) as u64)
    }

    pub(super) fn scores(&self) -> Option<SuccessScores> {
        let n = self.brier.n;
        (n > 0).then(|| SuccessScores {
            n: n as u64,
            accuracy: Rate::of(self.correct.max(0) as u64, n as u64),
            auc: self.auc(),
            brier: self.brier.sum() / n as f64,
            logloss: self.logloss.sum() / n as f64,
            ece: self.ece(),
            predicted: self.predicted(),
            actual: self.actual(),
        })
    }

    fn auc(&self) -> Option<f64> {
        area(self.bins.iter().map(|bin| (bin.successes as f64, (bin.n - bin.successes) as f64)))
    }
}

/// Area under the ROC curve of (successes, failures) by ascending prediction.
pub(super) fn area(bins: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut below, mut wins, mut positive) = (0.0, 0.0, 0.0);
    for (successes, failures) in bins {
        wins += successes * (below + failures / 2.0);
        below += failures;
        positive += successes;
    }
    (positive > 0.0 && below > 0.0).then(|| wins / (positive * below))
}

/// Predicted numbers and what they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NumberCell {
    absolute: Moments,
    bias: Moments,
    actual: Moments,
    /// Intervals by level, and those that held.
    held: [(i64, i64); 2],
}

impl NumberCell {
    pub(super) fn add(&mut self, number: &NumberTerms, sign: i64) {
        self.absolute.add(&number.absolute, sign);
        self.bias.add(&number.bias, sign);
        self.actual.add(&number.actual, sign);
        for (sum, held) in self.held.iter_mut().zip(number.held) {
            if let Some(held) = held {
                sum.0 += sign;
                sum.1 += sign * i64::from(held);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.absolute.merge(&other.absolute);
        self.bias.merge(&other.bias);
        self.actual.merge(&other.actual);
        for (ours, theirs) in self.held.iter_mut().zip(other.held) {
            ours.0 += theirs.0;
            ours.1 += theirs.1;
        }
    }

    pub(super) fn held(&self) -> [Rate; 2] {
        self.held.map(|(n, held)| Rate::of(held.max(0) as u64, n.max(0) as u64))
    }

    pub(super) fn scores(&self, target: Target) -> Option<NumberScores> {
        let [held_80, held_90] = self.held();
        Some(NumberScores {
            target,
            n: self.absolute.n as u64,
            mae: self.absolute.mean()?,
            bias: self.bias.mean()?,
            actual: self.actual.average(),
            held_80,
            held_90,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ml::metrics::{BinaryScores, roc_auc};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scores_are_those_of_the_rows(rows in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..300)) {
            let mut cell = SuccessCell::default();
            rows.iter().for_each(|(p, y)| cell.add(&Scored::of(*p, *y), 1));
            let (p, y): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
            let (found, exact) = (cell.scores().unwrap(), BinaryScores::of(&p, &y).unwrap());
            prop_assert_eq!(found.n as usize, exact.n);
            for (a, b) in [
                (found.accuracy.value.unwrap(), exact.accuracy),
                (found.brier, exact.brier),
                (found.logloss, exact.logloss),
                (found.ece, exact.ece),
            ] {
                prop_assert!((a - b).abs() < 2e-6, "{} {}", a, b);
            }
            let rounded: Vec<_> = p.iter().map(|p| bin_of(*p) as f64).collect();
            match (found.auc, roc_auc(&rounded, &y)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }
}
