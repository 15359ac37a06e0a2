//! A fitted regression: start, wording, trees, intervals.

use super::params::RegressionParams;
use super::{Estimate, RowOf};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, Result};
use crate::features::{FEATURES, FeatureRow, index_of};
use crate::learn::{
    FitRequest, Interval, Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, Matrix, Objective,
    QuantileConformal, Sample, Tfidf, Trees,
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
    /// The value comes from a forest.
    pub(super) forest: bool,
    /// The wording counts.
    pub(super) text: bool,
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

/// How far the trees may be trusted.
const TRUSTS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Standard errors of a difference that are taken for chance.
const CHANCE: f64 = 0.5;

/// Share of the newest examples that the intervals must hold.
const HELD_OUT: f64 = 0.2;

/// A fitted regression.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    spec: Spec,
    part: Part,
    /// How far the value goes from the start towards what the part says, 0 to 1.
    trust: f64,
    conformal: Option<QuantileConformal>,
}

/// What predicts.
#[derive(Debug, Clone)]
struct Part {
    regime: Regime,
    places: Vec<usize>,
    expected: usize,
    /// Where nothing is expected.
    start: f64,
    wording: Option<(Tfidf, Linear)>,
    /// Mean contribution of the wording in training.
    mean_wording: f64,
    value: Trees,
    quantiles: Vec<Trees>,
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
        let (mut trust, mut conformal) = (1.0, None);
        if let Some((learnt, held_out)) = hold_out(spec, regime, data) {
            let part = Part::fit(spec, regime, &learnt, row, params)?;
            let rows: Vec<_> =
                held_out.iter().filter_map(|e| Some((row(e)?, spec.scale.to(e.label)))).collect();
            trust = part.trust(spec, &rows);
            conformal = part.conformal(spec, &rows).ok();
        }
        Ok(Self {
            spec: *spec,
            part: Part::fit(spec, regime, &data.examples, row, params)?,
            trust,
            conformal,
        })
    }

    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        let full = self.part.margin(&self.spec, row);
        self.part.start + self.trust * (full - self.part.start)
    }

    pub(super) fn point(&self, row: &FeatureRow) -> f64 {
        self.number(self.margin(row))
    }

    pub(super) fn estimate(&self, row: &FeatureRow, status: Status, schema: u64) -> Estimate {
        let margin = self.margin(row);
        let bands = self.part.bands(&self.spec, row);
        let held = self.conformal.as_ref().and_then(|c| c.intervals(&bands).ok());
        let bands = held.map_or(bands, |found| [found[0], found[1]]);
        let [narrow, wide] = bands.map(|b| (b.lower.min(margin), b.upper.max(margin)));
        let wide = (wide.0.min(narrow.0), wide.1.max(narrow.1));
        let number = |(low, high): (f64, f64)| (self.number(low), self.number(high));
        let mut notes = Vec::new();
        if self.conformal.is_none() {
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
        let (base, mut features, wording) = self.part.contributions(&self.spec, row);
        features.iter_mut().for_each(|part| *part *= self.trust);
        (self.part.start + self.trust * (base - self.part.start), features, self.trust * wording)
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
            wording: self.part.wording.clone(),
            mean_wording: self.part.mean_wording,
            value: self.part.value.to_bytes()?,
            quantiles,
            conformal: self.conformal.clone(),
        })
    }
}

/// A regression as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredFitted {
    regime: Regime,
    trust: f64,
    places: Vec<usize>,
    start: f64,
    wording: Option<(Tfidf, Linear)>,
    mean_wording: f64,
    value: Vec<u8>,
    quantiles: Vec<Vec<u8>>,
    conformal: Option<QuantileConformal>,
}

impl StoredFitted {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(mut self, spec: &Spec) -> Result<Fitted> {
        if let Some((tfidf, linear)) = &mut self.wording {
            tfidf.prepare()?;
            linear.prepare(NGRAM_BUCKETS)?;
        }
        let value = Trees::from_bytes(&self.value)?;
        let quantiles =
            self.quantiles.iter().map(|bytes| Trees::from_bytes(bytes)).collect::<Result<Vec<_>>>()?;
        let width = self.places.len();
        let fits = self.places.iter().all(|p| *p < FEATURES.len())
            && value.width() == width
            && quantiles.len() == QUANTILES.len()
            && quantiles.iter().all(|trees| trees.width() == width)
            && (0.0..=1.0).contains(&self.trust)
            && self.start.abs() <= 1e9
            && self.mean_wording.abs() <= 1e9
            && self.wording.as_ref().is_none_or(|(_, linear)| linear.dense_weights().is_empty())
            && self.conformal.as_ref().is_none_or(|c| c.is_sound() && c.levels().len() == LEVELS.len());
        if !fits {
            return Err(Error::corrupt(format!("{} model: its parts do not fit together", spec.target)));
        }
        let part = Part {
            regime: self.regime,
            places: self.places,
            expected: expected_place(spec, self.regime),
            start: self.start,
            wording: self.wording,
            mean_wording: self.mean_wording,
            value,
            quantiles,
        };
        Ok(Fitted { spec: *spec, part, trust: self.trust, conformal: self.conformal })
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
        let mut offsets: Vec<_> =
            rows.iter().map(|(r, _)| spec.raw_feature(r, spec.expected(regime)).unwrap_or(start)).collect();
        let (wording, mean_wording) = match spec.text {
            true => Self::fit_wording(&rows, &offsets, params)?,
            false => (None, 0.0),
        };
        if let Some((tfidf, linear)) = &wording {
            offsets.iter_mut().zip(&rows).for_each(|(o, (r, _))| *o += wording_of(tfidf, linear, r));
        }
        let places = spec.places(regime);
        let table: Vec<f32> = rows.iter().flat_map(|(r, _)| places.iter().map(|p| value_at(r, *p))).collect();
        let data = Matrix { values: &table, width: places.len() };
        let sample = Sample::new(data, &labels).starting_from(&offsets);
        let boosted = |objective| Trees::fit(&params.boost, &FitRequest::new(objective, sample));
        let value = match spec.forest {
            true => Trees::fit_forest(&params.forest, &sample)?,
            false => boosted(Objective::AbsoluteError)?,
        };
        let quantiles =
            QUANTILES.iter().map(|q| boosted(Objective::Quantile(*q))).collect::<Result<Vec<_>>>()?;
        let expected = expected_place(spec, regime);
        Ok(Self { regime, places, expected, start, wording, mean_wording, value, quantiles })
    }

    /// A ridge regression of what the past does not explain on the description's n-grams.
    fn fit_wording(
        rows: &[(&FeatureRow, f64)],
        offsets: &[f64],
        params: &RegressionParams,
    ) -> Result<(Option<(Tfidf, Linear)>, f64)> {
        let tfidf = Tfidf::fit(rows.iter().map(|(r, _)| &r.text), params.min_texts);
        let mut sparse = Vec::with_capacity(rows.len());
        for (row, _) in rows {
            let (mut indices, mut values) = (Vec::new(), Vec::new());
            tfidf.transform(&row.text, &mut indices, &mut values);
            sparse.push((indices, values));
        }
        let linear_rows: Vec<_> =
            sparse.iter().map(|(indices, values)| LinearRow { dense: &[], indices, values }).collect();
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        let weights = vec![1.0; rows.len()];
        let target = LinearTarget { labels: &labels, weights: &weights, offsets, loss: LinearLoss::Squared };
        let l2 = LinearParams { dense_l2: params.l2, sparse_l2: params.l2, max_steps: 20 };
        let linear = Linear::fit(&l2, &linear_rows, target, NGRAM_BUCKETS)?;
        let sum: f64 = linear_rows.iter().map(|r| linear.margin(*r)).sum();
        Ok((Some((tfidf, linear)), sum / rows.len() as f64))
    }

    fn conformal(&self, spec: &Spec, rows: &[(&FeatureRow, f64)]) -> Result<QuantileConformal> {
        let bands: Vec<_> = rows.iter().map(|(r, _)| self.bands(spec, r)).collect();
        let of = |level: usize| -> Vec<Interval> { bands.iter().map(|b| b[level]).collect() };
        let (narrow, wide) = (of(0), of(1));
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        QuantileConformal::fit(&LEVELS, &[&narrow, &wide], &labels, &vec![1.0; labels.len()])
    }

    /// How far to go from the start to what the trees say: the least that is within chance of the
    /// best on rows that were not learnt from.
    fn trust(&self, spec: &Spec, rows: &[(&FeatureRow, f64)]) -> f64 {
        let errors = |trust: f64| -> Vec<f64> {
            let error = |(row, label): &(&FeatureRow, f64)| {
                let raw = self.start + trust * (self.margin(spec, row) - self.start);
                (spec.scale.from(raw) - spec.scale.from(*label)).abs()
            };
            rows.iter().map(error).collect()
        };
        let tried: Vec<_> = TRUSTS.iter().map(|trust| (*trust, errors(*trust))).collect();
        let sum = |errors: &[f64]| errors.iter().sum::<f64>();
        let best = tried.iter().min_by(|a, b| sum(&a.1).total_cmp(&sum(&b.1)));
        let Some((_, best)) = best else { return 1.0 };
        let within_chance = |errors: &[f64]| {
            let n = errors.len() as f64;
            let differences: Vec<_> = errors.iter().zip(best).map(|(a, b)| a - b).collect();
            let mean = sum(&differences) / n;
            let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n;
            mean <= CHANCE * (variance / n).sqrt()
        };
        tried.iter().find(|(_, errors)| within_chance(errors)).map_or(1.0, |(trust, _)| *trust)
    }

    fn offset(&self, spec: &Spec, row: &FeatureRow) -> (f64, f64) {
        let expected = spec.raw_feature(row, spec.expected(self.regime)).unwrap_or(self.start);
        let wording = self.wording.as_ref().map_or(0.0, |(tfidf, linear)| wording_of(tfidf, linear, row));
        (expected, wording)
    }

    fn tree_row(&self, row: &FeatureRow) -> Vec<f32> {
        self.places.iter().map(|p| value_at(row, *p)).collect()
    }

    fn margin(&self, spec: &Spec, row: &FeatureRow) -> f64 {
        let (expected, wording) = self.offset(spec, row);
        expected + wording + self.value.margin(&self.tree_row(row)).unwrap_or(0.0)
    }

    fn bands(&self, spec: &Spec, row: &FeatureRow) -> [Interval; 2] {
        let (expected, wording) = self.offset(spec, row);
        let trees = self.tree_row(row);
        let at = |i: usize| expected + wording + self.quantiles[i].margin(&trees).unwrap_or(0.0);
        let narrow = Interval::between(at(0), at(1));
        [narrow, Interval::between(at(2), at(3)).hull(&narrow)]
    }

    fn contributions(&self, spec: &Spec, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        let (expected, wording) = self.offset(spec, row);
        let mut features = vec![0.0; FEATURES.len()];
        features[self.expected] += expected - self.start;
        let shap = self.value.contributions(&self.tree_row(row)).unwrap_or_default();
        for (place, part) in self.places.iter().zip(&shap) {
            features[*place] += f64::from(*part);
        }
        let base = self.start + self.mean_wording + shap.last().copied().map_or(0.0, f64::from);
        (base, features, wording - self.mean_wording)
    }
}

fn wording_of(tfidf: &Tfidf, linear: &Linear, row: &FeatureRow) -> f64 {
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    tfidf.transform(&row.text, &mut indices, &mut values);
    linear.margin(LinearRow { dense: &[], indices: &indices, values: &values })
}

fn value_at(row: &FeatureRow, place: usize) -> f32 {
    row.values.get(place).copied().filter(|v| !v.is_infinite()).unwrap_or(f32::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
