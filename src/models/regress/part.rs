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
    pub(super) features: &'static [&'static [&'static str]],
    /// The value comes from a forest.
    pub(super) forest: bool,
    /// The wording counts.
    pub(super) text: bool,
}

/// The scale on which a number is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
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

    fn places(&self) -> Vec<usize> {
        self.features.iter().copied().flatten().filter_map(|name| index_of(name)).collect()
    }
}

/// The levels of the intervals, and the quantiles that they begin from.
const LEVELS: [f64; 2] = [0.8, 0.9];
const QUANTILES: [f64; 4] = [0.1, 0.9, 0.05, 0.95];

/// Share of the newest examples that the intervals must hold.
const HELD_OUT: f64 = 0.2;

/// A fitted regression.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    spec: Spec,
    part: Part,
    conformal: Option<QuantileConformal>,
}

/// What predicts.
#[derive(Debug, Clone)]
struct Part {
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
    /// Fits on the older rows, widens the intervals until they hold the newest, fits on all.
    pub(super) fn fit(spec: &Spec, data: &Dataset, row: RowOf, params: &RegressionParams) -> Result<Self> {
        let conformal = match data.split_by_time(HELD_OUT) {
            Ok((earlier, held_out)) => {
                let part = Part::fit(spec, &earlier.examples, row, params)?;
                Some(part.conformal(spec, &held_out, row)).and_then(Result::ok)
            }
            Err(_) => None,
        };
        Ok(Self { spec: *spec, part: Part::fit(spec, &data.examples, row, params)?, conformal })
    }

    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        self.part.margin(&self.spec, row)
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
        self.part.contributions(&self.spec, row)
    }

    fn number(&self, raw: f64) -> f64 {
        self.spec.scale.from(raw).clamp(self.spec.range.0, self.spec.range.1)
    }

    pub(super) fn store(&self) -> Result<StoredFitted> {
        let quantiles = self.part.quantiles.iter().map(Trees::to_bytes).collect::<Result<_>>()?;
        Ok(StoredFitted {
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
            && self.start.abs() <= 1e9
            && self.mean_wording.abs() <= 1e9
            && self.wording.as_ref().is_none_or(|(_, linear)| linear.dense_weights().is_empty())
            && self.conformal.as_ref().is_none_or(|c| c.is_sound() && c.levels().len() == LEVELS.len());
        if !fits {
            return Err(Error::corrupt(format!("{} model: its parts do not fit together", spec.target)));
        }
        let part = Part {
            places: self.places,
            expected: expected_place(spec),
            start: self.start,
            wording: self.wording,
            mean_wording: self.mean_wording,
            value,
            quantiles,
        };
        Ok(Fitted { spec: *spec, part, conformal: self.conformal })
    }
}

fn expected_place(spec: &Spec) -> usize {
    index_of(spec.expected).unwrap_or(0)
}

impl Part {
    fn fit(spec: &Spec, examples: &[Example], row: RowOf, params: &RegressionParams) -> Result<Self> {
        let rows: Vec<_> = examples.iter().filter_map(|e| Some((row(e)?, spec.scale.to(e.label)))).collect();
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        let start = median(labels.clone());
        let mut offsets: Vec<_> =
            rows.iter().map(|(r, _)| spec.raw_feature(r, spec.expected).unwrap_or(start)).collect();
        let (wording, mean_wording) = match spec.text {
            true => Self::fit_wording(&rows, &offsets, params)?,
            false => (None, 0.0),
        };
        if let Some((tfidf, linear)) = &wording {
            offsets.iter_mut().zip(&rows).for_each(|(o, (r, _))| *o += wording_of(tfidf, linear, r));
        }
        let places = spec.places();
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
        Ok(Self { places, expected: expected_place(spec), start, wording, mean_wording, value, quantiles })
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

    fn conformal(&self, spec: &Spec, held_out: &[Example], row: RowOf) -> Result<QuantileConformal> {
        let rows: Vec<_> = held_out.iter().filter_map(|e| Some((row(e)?, spec.scale.to(e.label)))).collect();
        let bands: Vec<_> = rows.iter().map(|(r, _)| self.bands(spec, r)).collect();
        let of = |level: usize| -> Vec<Interval> { bands.iter().map(|b| b[level]).collect() };
        let (narrow, wide) = (of(0), of(1));
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        QuantileConformal::fit(&LEVELS, &[&narrow, &wide], &labels, &vec![1.0; labels.len()])
    }

    fn offset(&self, spec: &Spec, row: &FeatureRow) -> (f64, f64) {
        let expected = spec.raw_feature(row, spec.expected).unwrap_or(self.start);
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
