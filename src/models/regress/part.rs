//! A fitted regression: start, wording, trees, intervals.

use super::params::RegressionParams;
use super::{Estimate, RowOf};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, Result};
use crate::features::{FEATURES, FeatureRow, index_of};
use crate::learn::{
    FitRequest, Interval, Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, Matrix, Neighbours,
    Objective, QuantileConformal, Sample, Tfidf, Trees,
};
use crate::models::Status;
use crate::text::NGRAM_BUCKETS;
use serde::{Deserialize, Serialize};

/// How a number is learnt.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub(super) target: Target,
    pub(super) scale: Scale,
    /// Where it lies.
    pub(super) range: (f64, f64),
    /// The feature that says what the past leads one to expect.
    pub(super) expected: &'static str,
    /// The same without the task's own record.
    pub(super) expected_untried: &'static str,
    /// The feature that counts how often the task was tried; `None` where tries make no difference.
    pub(super) tries: Option<&'static str>,
    pub(super) features: &'static [&'static [&'static str]],
    /// Those of the task's own record.
    pub(super) of_task: &'static [&'static str],
    /// The value comes from what became of similar texts, corrected by a forest; else from what the
    /// past leads one to expect, the wording, and boosted trees.
    pub(super) by_neighbours: bool,
}

/// The scale on which a number is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As it is.
    Plain,
    /// ln(1 + number).
    Log,
}

impl Scale {
    fn to(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Log => value.max(0.0).ln_1p(),
        }
    }

    fn from(self, raw: f64) -> f64 {
        match self {
            Self::Plain => raw,
            Self::Log => raw.min(50.0).exp_m1(),
        }
    }
}

impl Spec {
    /// Wide intervals around a value of which only the past's mean is known: of 80 % and of 90 %.
    pub(super) fn around(&self, value: f64) -> [(f64, f64); 2] {
        let spread = match self.scale {
            Scale::Log => 1.0,
            Scale::Plain => 0.25 * (self.range.1 - self.range.0),
        };
        let raw = self.scale.to(value);
        let number = |raw: f64| self.scale.from(raw).clamp(self.range.0, self.range.1);
        [1.282, 1.645].map(|z| (number(raw - z * spread), number(raw + z * spread)))
    }

    /// A feature of the past as the number itself.
    pub(super) fn read_feature(&self, row: &FeatureRow, name: &str) -> Option<f64> {
        self.raw_feature(row, name).map(|raw| self.scale.from(raw))
    }

    /// The same on the scale of learning.
    fn raw_feature(&self, row: &FeatureRow, name: &str) -> Option<f64> {
        let place = index_of(name)?;
        let value = f64::from(*row.values.get(place)?);
        let logged = FEATURES[place].unit.starts_with("ln(");
        Some(if logged { value } else { self.scale.to(value) }).filter(|v| v.is_finite())
    }

    /// Whether the task's own record says anything.
    pub(super) fn is_tried(&self, row: &FeatureRow) -> bool {
        let place = self.tries.and_then(index_of);
        place.and_then(|p| row.values.get(p)).is_some_and(|n| *n > 0.0)
    }

    fn places(&self, regime: Regime) -> Vec<usize> {
        let own = if regime == Regime::Tried { self.of_task } else { &[] };
        self.features.iter().copied().flatten().chain(own).filter_map(|name| index_of(name)).collect()
    }

    fn expected(&self, regime: Regime) -> &'static str {
        match regime {
            Regime::Tried => self.expected,
            Regime::Untried => self.expected_untried,
        }
    }
}

/// Whether the task's own record is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Regime {
    Untried,
    Tried,
}

/// The levels of the intervals, and the quantiles that they begin from.
const LEVELS: [f64; 2] = [0.8, 0.9];
const QUANTILES: [f64; 4] = [0.1, 0.9, 0.05, 0.95];

/// How far a part may be trusted.
const TRUSTS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// The tails that intervals may leave out at either end, and those that they leave out by default.
const TAIL_GRID: [f64; 11] = [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3];
const TAILS: [f64; 2] = [0.1, 0.05];

/// Rounding errors are below this.
const ROUNDING: f64 = 1e-9;

/// Share of the newest examples that the intervals must hold.
const HELD_OUT: f64 = 0.2;

/// A fitted regression.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    spec: Spec,
    part: Part,
    /// How far what is expected and worded, and the trees, are trusted, 0 to 1.
    trust: [f64; 2],
    calibration: Option<Calibration>,
}

/// What makes the intervals hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Calibration {
    /// How far to widen them.
    Widened(QuantileConformal),
    /// The tails to leave out at either end: where labels have few values, widening by a little
    /// takes in no more of them and narrowing by a little leaves out many.
    Tails([f64; 2]),
}

/// What predicts.
#[derive(Debug, Clone)]
struct Part {
    regime: Regime,
    places: Vec<usize>,
    expected: usize,
    /// Where nothing is expected.
    start: f64,
    tfidf: Tfidf,
    wording: Wording,
    /// Mean contribution of the wording in training.
    mean_wording: f64,
    value: Trees,
    /// The ends of the intervals, where the neighbours do not give them.
    quantiles: Vec<Trees>,
}

/// What is made of a description's wording.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Wording {
    /// What it adds to what is expected.
    Linear(Linear),
    /// What became of similar ones.
    Neighbours(Neighbours),
}

impl Fitted {
    /// Fits on some rows, trusts it as far as the others show, widens the intervals until they hold
    /// those, and fits on all.
    pub(super) fn fit(
        spec: &Spec,
        regime: Regime,
        data: &Dataset,
        row: RowOf,
        params: &RegressionParams,
    ) -> Result<Self> {
        let (mut trust, mut calibration) = ([1.0; 2], None);
        if let Some((learnt, held_out)) = hold_out(spec, regime, data) {
            let part = Part::fit(spec, regime, &learnt, row, params)?;
            let rows: Vec<_> =
                held_out.iter().filter_map(|e| Some((row(e)?, spec.scale.to(e.label)))).collect();
            trust = part.trust(spec, &rows);
            calibration = part.calibrate(spec, &rows, trust);
        }
        Ok(Self {
            spec: *spec,
            part: Part::fit(spec, regime, &data.examples, row, params)?,
            trust,
            calibration,
        })
    }

    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        self.part.margin(&self.spec, row, self.trust)
    }

    pub(super) fn point(&self, row: &FeatureRow) -> f64 {
        self.number(self.margin(row))
    }

    pub(super) fn estimate(&self, row: &FeatureRow, status: Status, schema: u64) -> Estimate {
        let margin = self.margin(row);
        let tails = match &self.calibration {
            Some(Calibration::Tails(tails)) => *tails,
            _ => TAILS,
        };
        let mut bands = self.part.bands(&self.spec, row, self.trust, tails);
        if let Some(Calibration::Widened(conformal)) = &self.calibration
            && let Ok(held) = conformal.intervals(&bands)
        {
            bands = [held[0], held[1]];
        }
        let [narrow, wide] = bands.map(|b| (b.lower.min(margin), b.upper.max(margin)));
        let wide = (wide.0.min(narrow.0), wide.1.max(narrow.1));
        // A label that is an end is within, whatever rounding does on the way to its scale and back.
        let number = |(low, high): (f64, f64)| (self.number(low - ROUNDING), self.number(high + ROUNDING));
        let mut notes = Vec::new();
        if self.calibration.is_none() {
            notes.push("too few later generations to test the interval on".to_owned());
        }
        Estimate {
            value: self.number(margin),
            interval_80: number(narrow),
            interval_90: number(wide),
            status,
            factors: Vec::new(),
            notes,
            model_version: 0,
            feature_schema: schema,
        }
    }

    /// Base, features in the order of [`FEATURES`], wording: they add up to the margin.
    pub(super) fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        self.part.contributions(&self.spec, row, self.trust)
    }

    fn number(&self, raw: f64) -> f64 {
        self.spec.scale.from(raw).clamp(self.spec.range.0, self.spec.range.1)
    }

    pub(super) fn store(&self) -> Result<StoredFitted> {
        let quantiles = self.part.quantiles.iter().map(Trees::to_bytes).collect::<Result<_>>()?;
        Ok(StoredFitted {
            regime: self.part.regime,
            trust: self.trust,
            places: self.part.places.clone(),
            start: self.part.start,
            tfidf: self.part.tfidf.clone(),
            wording: self.part.wording.clone(),
            mean_wording: self.part.mean_wording,
            value: self.part.value.to_bytes()?,
            quantiles,
            calibration: self.calibration.clone(),
        })
    }
}

/// A regression as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredFitted {
    regime: Regime,
    trust: [f64; 2],
    places: Vec<usize>,
    start: f64,
    tfidf: Tfidf,
    wording: Wording,
    mean_wording: f64,
    value: Vec<u8>,
    quantiles: Vec<Vec<u8>>,
    calibration: Option<Calibration>,
}

impl StoredFitted {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(mut self, spec: &Spec) -> Result<Fitted> {
        self.tfidf.prepare()?;
        let by_neighbours = match &mut self.wording {
            Wording::Linear(linear) => linear.prepare(NGRAM_BUCKETS).map(|()| false)?,
            Wording::Neighbours(neighbours) => neighbours.prepare().map(|()| true)?,
        };
        let ends = if by_neighbours { 0 } else { QUANTILES.len() };
        let value = Trees::from_bytes(&self.value)?;
        let quantiles =
            self.quantiles.iter().map(|bytes| Trees::from_bytes(bytes)).collect::<Result<Vec<_>>>()?;
        let width = self.places.len();
        let fits = self.places.iter().all(|p| *p < FEATURES.len())
            && value.width() == width
            && by_neighbours == spec.by_neighbours
            && quantiles.len() == ends
            && quantiles.iter().all(|trees| trees.width() == width)
            && self.trust.iter().all(|trust| (0.0..=1.0).contains(trust))
            && self.start.abs() <= 1e9
            && self.mean_wording.abs() <= 1e9
            && !matches!(&self.wording, Wording::Linear(linear) if !linear.dense_weights().is_empty())
            && self.calibration.as_ref().is_none_or(Calibration::is_sound);
        if !fits {
            return Err(Error::corrupt(format!("{} model: its parts do not fit together", spec.target)));
        }
        let part = Part {
            regime: self.regime,
            places: self.places,
            expected: expected_place(spec, self.regime),
            start: self.start,
            tfidf: self.tfidf,
            wording: self.wording,
            mean_wording: self.mean_wording,
            value,
            quantiles,
        };
        Ok(Fitted { spec: *spec, part, trust: self.trust, calibration: self.calibration })
    }
}

fn expected_place(spec: &Spec, regime: Regime) -> usize {
    index_of(spec.expected(regime)).unwrap_or(0)
}

/// Fewer rows than this test nothing.
const FEWEST_ROWS: usize = 30;

/// One in so many tasks is held out.
const HELD_OUT_TASKS: u64 = 5;

/// Rows to learn from and rows of the regime's own kind that are later or of other tasks: the newest
/// where enough of them are of that kind, else whole tasks.
fn hold_out(spec: &Spec, regime: Regime, data: &Dataset) -> Option<(Vec<Example>, Vec<Example>)> {
    let (earlier, newest) = data.split_by_time(HELD_OUT).ok()?;
    let fits = |e: &Example| spec.tries.is_none() || spec.is_tried(&e.features) == (regime == Regime::Tried);
    let own: Vec<_> = newest.into_iter().filter(fits).collect();
    if own.len() >= FEWEST_ROWS {
        return Some((earlier.examples, own));
    }
    if regime == Regime::Tried {
        return None;
    }
    let (apart, rest): (Vec<_>, Vec<_>) =
        data.examples.iter().cloned().partition(|e| e.task % HELD_OUT_TASKS == 0);
    (apart.len() >= FEWEST_ROWS && rest.len() >= FEWEST_ROWS).then_some((rest, apart))
}

impl Part {
    fn fit(
        spec: &Spec,
        regime: Regime,
        examples: &[Example],
        row: RowOf,
        params: &RegressionParams,
    ) -> Result<Self> {
        let rows: Vec<_> = examples.iter().filter_map(|e| Some((row(e)?, spec.scale.to(e.label)))).collect();
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        let start = median(labels.clone());
        let tfidf = Tfidf::fit(rows.iter().map(|(r, _)| &r.text), params.min_texts);
        let texts: Vec<_> = rows.iter().map(|(r, _)| sparse(&tfidf, r)).collect();
        let expected: Vec<_> = match spec.by_neighbours {
            true => vec![start; rows.len()],
            false => rows
                .iter()
                .map(|(r, _)| spec.raw_feature(r, spec.expected(regime)).unwrap_or(start))
                .collect(),
        };
        let wording = Wording::fit(spec, &texts, &labels, &expected, params)?;
        let worded: Vec<_> =
            texts.iter().enumerate().map(|(i, text)| wording.value(text, start, Some(i))).collect();
        let offsets: Vec<_> = expected.iter().zip(&worded).map(|(a, b)| a + b).collect();
        let mean_wording = worded.iter().sum::<f64>() / worded.len().max(1) as f64;
        let places = spec.places(regime);
        let table: Vec<f32> = rows.iter().flat_map(|(r, _)| places.iter().map(|p| value_at(r, *p))).collect();
        let data = Matrix { values: &table, width: places.len() };
        let sample = Sample::new(data, &labels).starting_from(&offsets);
        let boosted = |objective| Trees::fit(&params.boost, &FitRequest::new(objective, sample));
        let (value, quantiles) = match spec.by_neighbours {
            true => (Trees::fit_forest(&params.forest, &sample)?, Vec::new()),
            false => (
                boosted(Objective::AbsoluteError)?,
                QUANTILES.iter().map(|q| boosted(Objective::Quantile(*q))).collect::<Result<Vec<_>>>()?,
            ),
        };
        let expected = expected_place(spec, regime);
        Ok(Self { regime, places, expected, start, tfidf, wording, mean_wording, value, quantiles })
    }

    fn calibrate(&self, spec: &Spec, rows: &[(&FeatureRow, f64)], trust: [f64; 2]) -> Option<Calibration> {
        if matches!(self.wording, Wording::Neighbours(_)) {
            return Some(Calibration::Tails(self.tails(spec, rows, trust)));
        }
        let bands: Vec<_> = rows.iter().map(|(r, _)| self.bands(spec, r, trust, TAILS)).collect();
        let of = |level: usize| -> Vec<Interval> { bands.iter().map(|b| b[level]).collect() };
        let (narrow, wide) = (of(0), of(1));
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        let found = QuantileConformal::fit(&LEVELS, &[&narrow, &wide], &labels, &vec![1.0; labels.len()]);
        found.ok().map(Calibration::Widened)
    }

    /// For each level the tails whose intervals held the share closest to it.
    fn tails(&self, spec: &Spec, rows: &[(&FeatureRow, f64)], trust: [f64; 2]) -> [f64; 2] {
        let held = |tail: f64| {
            let hits = rows.iter().filter(|(row, label)| {
                let point = self.margin(spec, row, trust);
                let [band, _] = self.bands(spec, row, trust, [tail; 2]);
                let (low, high) = (band.lower.min(point) - ROUNDING, band.upper.max(point) + ROUNDING);
                (low..=high).contains(label)
            });
            hits.count() as f64 / rows.len().max(1) as f64
        };
        let shares: Vec<_> = TAIL_GRID.iter().map(|tail| (*tail, held(*tail))).collect();
        let closest = |level: f64| {
            let off = |share: f64| (share - level).abs();
            let best = shares.iter().min_by(|a, b| off(a.1).total_cmp(&off(b.1)));
            best.map_or(0.5 - 0.5 * level, |(tail, _)| *tail)
        };
        let (narrow, wide) = (closest(LEVELS[0]), closest(LEVELS[1]));
        [narrow, wide.min(narrow)]
    }

    /// How far to trust what is expected and worded, and the trees: what errs least on rows that were
    /// not learnt from, of equal ones the most.
    fn trust(&self, spec: &Spec, rows: &[(&FeatureRow, f64)]) -> [f64; 2] {
        let error = |trust: [f64; 2]| -> f64 {
            let errors = rows.iter().map(|(row, label)| {
                (spec.scale.from(self.margin(spec, row, trust)) - spec.scale.from(*label)).abs()
            });
            errors.sum()
        };
        let tried = TRUSTS.iter().flat_map(|a| TRUSTS.iter().map(|b| [*a, *b]));
        let scored = tried.map(|trust| (error(trust), trust));
        let best = scored.min_by(|a, b| a.0.total_cmp(&b.0).then(b.1[0].total_cmp(&a.1[0])));
        best.map_or([1.0; 2], |(_, trust)| trust)
    }

    /// What is expected, and what the wording adds to it.
    fn offset(&self, spec: &Spec, row: &FeatureRow) -> (f64, f64) {
        let expected = match self.wording {
            Wording::Neighbours(_) => None,
            Wording::Linear(_) => spec.raw_feature(row, spec.expected(self.regime)),
        };
        (expected.unwrap_or(self.start), self.wording.value(&sparse(&self.tfidf, row), self.start, None))
    }

    fn tree_row(&self, row: &FeatureRow) -> Vec<f32> {
        self.places.iter().map(|p| value_at(row, *p)).collect()
    }

    fn margin(&self, spec: &Spec, row: &FeatureRow, trust: [f64; 2]) -> f64 {
        let (expected, wording) = self.offset(spec, row);
        let trees = self.value.margin(&self.tree_row(row)).unwrap_or(0.0);
        self.start + trust[0] * (expected + wording - self.start) + trust[1] * trees
    }

    fn bands(&self, spec: &Spec, row: &FeatureRow, trust: [f64; 2], tails: [f64; 2]) -> [Interval; 2] {
        let trees = self.tree_row(row);
        let ends: Vec<f64> = match &self.wording {
            Wording::Linear(_) => {
                let (expected, wording) = self.offset(spec, row);
                let end = |trees_of: &Trees| expected + wording + trees_of.margin(&trees).unwrap_or(0.0);
                self.quantiles.iter().map(end).collect()
            }
            Wording::Neighbours(neighbours) => {
                let (indices, values) = sparse(&self.tfidf, row);
                let shift = trust[1] * self.value.margin(&trees).unwrap_or(0.0);
                let levels = [tails[0], 1.0 - tails[0], tails[1], 1.0 - tails[1]];
                let found = neighbours.quantiles(&indices, &values, None, &levels);
                found.map_or(vec![self.start; 4], |ends| ends.iter().map(|end| end + shift).collect())
            }
        };
        let narrow = Interval::between(ends[0], ends[1]);
        [narrow, Interval::between(ends[2], ends[3]).hull(&narrow)]
    }

    fn contributions(&self, spec: &Spec, row: &FeatureRow, trust: [f64; 2]) -> (f64, Vec<f64>, f64) {
        let (expected, wording) = self.offset(spec, row);
        let mut features = vec![0.0; FEATURES.len()];
        features[self.expected] += trust[0] * (expected - self.start);
        let shap = self.value.contributions(&self.tree_row(row)).unwrap_or_default();
        for (place, part) in self.places.iter().zip(&shap) {
            features[*place] += trust[1] * f64::from(*part);
        }
        let trees = shap.last().copied().map_or(0.0, f64::from);
        let base = self.start + trust[0] * self.mean_wording + trust[1] * trees;
        (base, features, trust[0] * (wording - self.mean_wording))
    }
}

impl Calibration {
    fn is_sound(&self) -> bool {
        match self {
            Self::Widened(conformal) => conformal.is_sound() && conformal.levels().len() == LEVELS.len(),
            Self::Tails(tails) => tails.iter().all(|tail| (0.0..=0.5).contains(tail)),
        }
    }
}

impl Wording {
    fn fit(
        spec: &Spec,
        texts: &[SparseRow],
        labels: &[f64],
        expected: &[f64],
        params: &RegressionParams,
    ) -> Result<Self> {
        if spec.by_neighbours {
            let rows = texts.iter().zip(labels).map(|((indices, values), y)| (&indices[..], &values[..], *y));
            return Ok(Self::Neighbours(Neighbours::fit(rows)));
        }
        let rows: Vec<_> =
            texts.iter().map(|(indices, values)| LinearRow { dense: &[], indices, values }).collect();
        let weights = vec![1.0; rows.len()];
        let target = LinearTarget { labels, weights: &weights, offsets: expected, loss: LinearLoss::Squared };
        let l2 = LinearParams { dense_l2: params.l2, sparse_l2: params.l2, max_steps: 20 };
        Linear::fit(&l2, &rows, target, NGRAM_BUCKETS).map(Self::Linear)
    }

    /// What it adds to what is expected; a row that was learnt from does not count for itself.
    fn value(&self, (indices, values): &SparseRow, start: f64, row: Option<usize>) -> f64 {
        match self {
            Self::Linear(linear) => linear.margin(LinearRow { dense: &[], indices, values }),
            Self::Neighbours(neighbours) => {
                let median = neighbours.quantiles(indices, values, row, &[0.5]);
                median.map_or(0.0, |found| found[0] - start)
            }
        }
    }
}

/// Indices and values of a row of n-grams.
type SparseRow = (Vec<u32>, Vec<f32>);

fn sparse(tfidf: &Tfidf, row: &FeatureRow) -> SparseRow {
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    tfidf.transform(&row.text, &mut indices, &mut values);
    (indices, values)
}

fn value_at(row: &FeatureRow, place: usize) -> f32 {
    row.values.get(place).copied().filter(|v| !v.is_infinite()).unwrap_or(f32::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
