//! What held-out rows say of log-odds.

use super::component::Regime;
use super::is_seen;
use super::rate_baseline::RateBaseline;
use super::scorer::Scorer;
use crate::dataset::Example;
use crate::error::Result;
use crate::ml::metrics::log_loss;
use crate::ml::{Calibrator, Influence, Method, Reliability, VennAbers, choose_calibrator};
use crate::stats::sigmoid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Turns log-odds into probabilities that held on rows not learned from.
///
/// The probability, its interval and its pair all come from one calibrator: the interval lies around the
/// calibrated probability, and the pair is that calibrator fitted with one more row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "StoredCalibration", into = "StoredCalibration")]
pub(super) struct Calibration {
    calibrator: Calibrator,
    reliability: Reliability,
    /// The held-out rows, and how firmly they hold the calibrator; `None` where no row was held out.
    held_out: Option<(VennAbers, Influence)>,
}

/// A calibration as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct StoredCalibration {
    calibrator: Calibrator,
    reliability: Reliability,
    venn_abers: Option<VennAbers>,
}

impl From<StoredCalibration> for Calibration {
    fn from(stored: StoredCalibration) -> Self {
        let StoredCalibration { calibrator, reliability, venn_abers } = stored;
        Self::new(calibrator, reliability, venn_abers)
    }
}

impl From<Calibration> for StoredCalibration {
    fn from(calibration: Calibration) -> Self {
        let Calibration { calibrator, reliability, held_out } = calibration;
        Self { calibrator, reliability, venn_abers: held_out.map(|(rows, _)| rows) }
    }
}

/// Rows not learned from, with what was said of them.
#[derive(Debug, Default)]
pub(super) struct HeldOut<'a> {
    rows: Vec<(&'a Example, [f64; 2])>,
}

/// Shares of the ability that are tried.
const SHARES: [f64; 4] = [0.0, 0.25, 0.5, 0.75];

/// Factor of the loss up to which the ability alone is preferred. Rates of a held-out row's project and language hold what
/// others made of its own task, those of a task that nobody tried do not: the past looks better on held-out rows than it
/// is. Chosen on six splits by task of each of three matrices of tasks and LLMs, with and without a host's columns: the
/// ability alone is better on new tasks in all (log loss by .002 to .020), and its held-out loss at most 1.03 of the least.
const PREFERENCE: f64 = 1.05;

/// Fewer held-out rows than this do not put a rate in the place of a model.
const ROWS_FOR_RATES: usize = 100;

/// Blocks, each predicted from those before it, on which a calibration is chosen.
const FOLDS: usize = 4;

impl<'a> HeldOut<'a> {
    pub(super) fn of(scorer: &Scorer, rows: &[&'a Example]) -> Self {
        let mut held_out = Self::default();
        held_out.add(scorer, rows);
        held_out
    }

    pub(super) fn add(&mut self, scorer: &Scorer, rows: &[&'a Example]) {
        self.rows.extend(rows.iter().map(|e| (*e, scorer.both(&e.features))));
    }

    /// The share of the ability: all, unless another loses less by more than what it is preferred by; of equal ones the
    /// smallest.
    pub(super) fn share(&self) -> f64 {
        let weights = self.weights();
        let loss = |share: f64| -> f64 {
            let losses =
                self.rows.iter().zip(&weights).map(|((e, both), weight)| {
                    weight * log_loss(sigmoid(mixed(*both, share)), e.label >= 0.5)
                });
            losses.sum()
        };
        let best = SHARES.map(|share| (loss(share), share)).into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let (least, share) = best.unwrap_or_default();
        let differ = self.rows.iter().any(|(_, [past, able])| past != able);
        if differ && loss(1.0) <= PREFERENCE * least { 1.0 } else { share }
    }

    /// The calibration that the rows, in the order of time, speak for; with the rate of the history that is to answer instead
    /// where it loses less than the calibrated scorer on these rows, by more than chance among six rates would have it.
    pub(super) fn calibrate(
        mut self,
        share: f64,
        regime: Regime,
    ) -> Result<(Calibration, Option<RateBaseline>)> {
        let calibration = self.calibrate_scorer(share)?;
        let weights = self.weights();
        let losses = |probability: &dyn Fn(&Example, [f64; 2]) -> f64| -> Vec<f64> {
            let rows = self.rows.iter().zip(&weights);
            rows.map(|((e, both), w)| w * log_loss(probability(e, *both), e.label >= 0.5)).collect()
        };
        let own = losses(&|_, both| calibration.probability(mixed(both, share)));
        let rates = RateBaseline::ALL.map(|rate| (losses(&|e, _| sigmoid(rate.margin(&e.features))), rate));
        let sum = |losses: &[f64]| losses.iter().sum::<f64>();
        let best = rates.into_iter().min_by(|a, b| sum(&a.0).total_cmp(&sum(&b.0)));
        // Rates of a tried task's groups hold its own tries: they would look better than they are for new ones.
        let of_kind = |(e, _): &(&Example, _)| is_seen(&e.features) == (regime == Regime::SeenTask);
        let enough = self.rows.len() >= ROWS_FOR_RATES && self.rows.iter().all(of_kind);
        let Some((_, rate)) = best.filter(|(theirs, _)| enough && self.surely_less(theirs, &own)) else {
            return Ok((calibration, None));
        };
        let margins: Vec<_> = self.rows.iter().map(|(e, _)| rate.margin(&e.features)).collect();
        Ok((self.calibrated(&margins, |_, _, _| Ok(Calibrator::Identity))?, Some(rate)))
    }

    /// Returns true if the sum of `ours` is less than that of `theirs` by more than a standard error, in which the tries of a
    /// task count as one.
    fn surely_less(&self, ours: &[f64], theirs: &[f64]) -> bool {
        let mut by_task = BTreeMap::<u64, f64>::new();
        for ((example, _), (a, b)) in self.rows.iter().zip(ours.iter().zip(theirs)) {
            *by_task.entry(example.task).or_default() += b - a;
        }
        let n = by_task.len() as f64;
        let mean = by_task.values().sum::<f64>() / n;
        let variance = by_task.values().map(|less| (less - mean).powi(2)).sum::<f64>() / n;
        mean > (variance / n).sqrt()
    }

    /// The calibration of the scorer alone.
    pub(super) fn calibrate_scorer(&mut self, share: f64) -> Result<Calibration> {
        self.rows.sort_by_key(|(e, _)| e.started_at);
        let margins: Vec<_> = self.rows.iter().map(|(_, both)| mixed(*both, share)).collect();
        self.calibrated(&margins, |margins, labels, weights| {
            let chosen = choose_calibrator(margins, labels, weights, FOLDS)?.calibrator;
            match chosen.method() {
                Method::Identity => Calibrator::fit(Method::Temperature, margins, labels, weights),
                _ => Ok(chosen),
            }
        })
    }

    fn calibrated(
        &self,
        margins: &[f64],
        fit: impl Fn(&[f64], &[bool], &[f64]) -> Result<Calibrator>,
    ) -> Result<Calibration> {
        if self.rows.is_empty() {
            return Ok(Calibration::none());
        }
        let weights = self.weights();
        let labels: Vec<_> = self.rows.iter().map(|(e, _)| e.label >= 0.5).collect();
        let calibrator = fit(margins, &labels, &weights)?;
        let predicted: Vec<_> = margins.iter().map(|m| calibrator.probability(*m)).collect();
        let weight = weights.iter().sum::<f64>() / weights.len() as f64;
        let rows = VennAbers::fit(margins, &labels, &weights)?;
        Ok(Calibration::new(calibrator, Reliability::new(&predicted, &labels, weight), Some(rows)))
    }

    /// All tries of a task weigh together as much as one row: they rise and fall together.
    fn weights(&self) -> Vec<f64> {
        let mut tries = HashMap::<u64, f64>::new();
        self.rows.iter().for_each(|(e, _)| *tries.entry(e.task).or_default() += 1.0);
        self.rows.iter().map(|(e, _)| e.weight / tries[&e.task]).collect()
    }
}

impl Calibration {
    /// Where no row was held out.
    fn none() -> Self {
        Self::new(Calibrator::Identity, Reliability::default(), None)
    }

    fn new(calibrator: Calibrator, reliability: Reliability, rows: Option<VennAbers>) -> Self {
        let held_out = rows.map(|rows| {
            let influence = Influence::of(&calibrator, &rows);
            (rows, influence)
        });
        Self { calibrator, reliability, held_out }
    }

    pub(super) fn probability(&self, margin: f64) -> f64 {
        self.calibrator.probability(margin)
    }

    /// The 90 % interval of the success rate of tasks predicted like `p`.
    pub(super) fn interval(&self, p: f64) -> (f64, f64) {
        self.reliability.interval(p)
    }

    pub(super) fn venn_abers(&self, margin: f64) -> Option<(f64, f64)> {
        let (rows, influence) = self.held_out.as_ref()?;
        Some(influence.pair(&self.calibrator, rows, margin))
    }

    pub(super) fn is_sound(&self) -> bool {
        self.calibrator.is_sound()
            && self.reliability.is_sound()
            && self.held_out.as_ref().is_none_or(|(rows, _)| rows.is_sound())
    }
}

fn mixed([past, able]: [f64; 2], share: f64) -> f64 {
    (1.0 - share) * past + share * able
}
