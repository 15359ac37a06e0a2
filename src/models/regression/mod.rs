//! Models of a number: complexity, time, quality, cost, tokens. What the past leads one to expect is the start;
//! a ridge regression over the description's n-grams and trees correct it; quantile trees,
//! conformalised on later rows, give the interval.

// The targets are those of this crate: a host cannot add one.
#![allow(private_interfaces, private_bounds)]

mod adaptive_intervals;
mod component;
mod estimate;
#[cfg(feature = "mlflow")]
mod export;
mod fitted;
mod forward;
mod imported;
mod ordinal_text;
mod params;
mod solver_effects;
mod spec;
mod target;
mod text_component;

pub(crate) use adaptive_intervals::AdaptiveIntervals;
pub(super) use component::LEVELS;
pub use estimate::{ComplexityPrediction, Estimate, QualityPrediction, TimePrediction};
pub use params::RegressionParams;
pub(crate) use target::{Complexity, Cost, Quality, RegressionTarget, Time, Tokens};

use super::attributions::{Attribution, attribution, reasons};
use super::column_encoder::{self, ColumnEncoder};
use super::external::{Adopt, ImportedTrees, is_imported, open_imported, seal_imported};
use super::{Predictor, Status, Trainer};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{FeatureRow, index_of};
use crate::ml::metrics::{RegressionScores, correlation};
use fitted::{Fitted, StoredFitted};
use imported::{ImportedFit, StoredImportedFit};
use serde::{Deserialize, Serialize};
use spec::{Regime, Scale};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// Fits models of one number: complexity, time, quality, cost or tokens.
#[derive(Debug, Clone)]
pub struct RegressionTrainer<Q> {
    params: RegressionParams,
    quantity: PhantomData<fn() -> Q>,
}

/// A fitted model of one number: from what is known before a generation and, where that is of
/// use, from its code too.
#[derive(Debug, Clone)]
pub struct RegressionModel<Q> {
    body: Body,
    schema: u64,
    quantity: PhantomData<fn() -> Q>,
}

/// The fitted model behind the predictions.
#[derive(Debug, Clone)]
enum Body {
    /// A model trained by this crate.
    Learned(Box<Learned>),
    /// Trees of an imported model.
    Imported(Box<ImportedFit>),
}

#[derive(Debug, Clone)]
struct Learned {
    before: Regimes<Fitted>,
    after: Option<Regimes<Fitted>>,
}

/// One for tasks that were not tried before, one for those that were.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Regimes<F> {
    untried: F,
    tried: Option<F>,
}

impl<F> Regimes<F> {
    fn try_map<G>(self, mut f: impl FnMut(F) -> Result<G>) -> Result<Regimes<G>> {
        Ok(Regimes { untried: f(self.untried)?, tried: self.tried.map(f).transpose()? })
    }
}

/// Fits complexity, 0 to 10.
pub type ComplexityTrainer = RegressionTrainer<Complexity>;
/// Fits seconds.
pub type TimeTrainer = RegressionTrainer<Time>;
/// Fits quality, 0 to 10.
pub type QualityTrainer = RegressionTrainer<Quality>;

impl<Q: RegressionTarget> Default for RegressionTrainer<Q> {
    fn default() -> Self {
        Self { params: Q::params(), quantity: PhantomData }
    }
}

impl<Q: RegressionTarget> RegressionTrainer<Q> {
    /// A trainer with verified parameters.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: RegressionParams) -> Result<Self> {
        params.validate().map(|()| Self { params, quantity: PhantomData })
    }

    fn fit_all(
        &self,
        data: &Dataset,
        known: Option<(&Dataset, &Learned)>,
        aim: Aim,
    ) -> Result<RegressionModel<Q>> {
        let (have, need) = (data.certain().count(), self.params.min_samples.max(2));
        if have < need {
            return Err(Error::new(
                ErrorKind::NotEnoughData { have, need },
                format!("{have} generations with a known {}, {need} are needed (min_samples)", Q::TARGET),
            ));
        }
        let completed = |data: &Dataset| data.filter(|_, e| e.completed.is_some());
        let with_code = completed(data);
        let after = Q::USES_CODE && with_code.examples.len() >= need;
        let before =
            self.fit_both(data, View::Before, known.map(|(rows, model)| (rows, &model.before)), aim)?;
        let known = known.and_then(|(rows, model)| Some((completed(rows), model.after.as_ref()?)));
        let known = known.as_ref().map(|(rows, model)| (rows, *model));
        let after = after.then(|| self.fit_both(&with_code, View::After, known, aim)).transpose()?;
        Ok(RegressionModel::new(Body::Learned(Box::new(Learned { before, after })), data.schema))
    }

    fn fit_both(
        &self,
        data: &Dataset,
        view: View,
        known: Option<(&Dataset, &Regimes<Fitted>)>,
        aim: Aim,
    ) -> Result<Regimes<Fitted>> {
        let spec = Q::spec();
        let is_tried = |data: &Dataset| data.filter(|_, e| spec.is_tried(&e.features));
        let tried = is_tried(data);
        let enough = tried.examples.len() >= self.params.min_samples.max(2);
        let fit = |regime, data: &Dataset, known: Option<(&Dataset, &Fitted)>| {
            Fitted::fit(&spec, regime, data, (view, aim), &self.params, known)
        };
        let untried = fit(Regime::Untried, data, known.map(|(rows, model)| (rows, &model.untried)))?;
        let known = known.and_then(|(rows, model)| Some((is_tried(rows), model.tried.as_ref()?)));
        let known = known.as_ref().map(|(rows, model)| (rows, *model));
        Ok(Regimes { untried, tried: enough.then(|| fit(Regime::Tried, &tried, known)).transpose()? })
    }
}

/// The row of an example to learn from.
#[derive(Debug, Clone, Copy)]
enum View {
    /// The features known at the start.
    Before,
    /// Those of the generated code too.
    After,
}

/// What will be asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// Points alone, for an evaluation.
    Points,
    /// Intervals that hold too.
    Intervals,
}

impl View {
    fn of(self, example: &Example) -> Option<&FeatureRow> {
        match self {
            Self::Before => Some(&example.features),
            Self::After => example.completed.as_deref(),
        }
    }
}

impl<Q: RegressionTarget> Trainer for RegressionTrainer<Q> {
    type Model = RegressionModel<Q>;

    fn name(&self) -> &'static str {
        Q::TARGET.name()
    }

    fn target(&self) -> Target {
        Q::TARGET
    }

    /// Fits on all but the newest fifth, widens the intervals until they hold that fifth, and fits
    /// again on everything.
    fn fit(&self, data: &Dataset) -> Result<RegressionModel<Q>> {
        self.fit_all(data, None, Aim::Intervals)
    }

    fn fit_points(&self, data: &Dataset) -> Result<RegressionModel<Q>> {
        self.fit_all(data, None, Aim::Points)
    }

    /// Of few distinct values the median of past labels and its intervals; else, for tasks that were tried before, what their
    /// record leads one to expect.
    fn fit_baseline(&self, data: &Dataset) -> Result<Option<RegressionModel<Q>>> {
        let params = RegressionParams { past_alone: true, ..self.params.clone() };
        let trainer = Self { params, quantity: PhantomData };
        let spec = Q::spec();
        (spec.ordinal || spec.tries.is_some()).then(|| trainer.fit(data)).transpose()
    }

    /// The fit on all but the newest fifth is often `of_earlier` itself.
    fn fit_beside(
        &self,
        data: &Dataset,
        earlier: &Dataset,
        of_earlier: &RegressionModel<Q>,
    ) -> Result<RegressionModel<Q>> {
        match &of_earlier.body {
            Body::Learned(learned) => self.fit_all(data, Some((earlier, learned)), Aim::Intervals),
            Body::Imported(_) => self.fit(data),
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<RegressionModel<Q>> {
        if is_imported(bytes) {
            let (stored, schema) = open_imported::<(StoredImportedFit, u64)>(bytes)?;
            return Ok(RegressionModel::new(Body::Imported(Box::new(stored.open(&Q::spec())?)), schema));
        }
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|e| Error::corrupt(format!("the {} model cannot be read", Q::TARGET)).with_source(e))?;
        let mut encoders = column_encoder::read(rest)?;
        let mut open = |part: StoredFitted| part.open(&Q::spec(), encoders.next());
        let learned = Learned {
            before: stored.before.try_map(&mut open)?,
            after: stored.after.map(|regimes| regimes.try_map(&mut open)).transpose()?,
        };
        Ok(RegressionModel::new(Body::Learned(Box::new(learned)), stored.schema))
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        let spec = Q::spec();
        let expected = spec.read_feature_at(row, spec.expected).map(|value| (value, Status::ColdStart));
        let heuristic = || Some((spec.read_feature(row, Q::HEURISTIC?)?, Status::InsufficientEvidence));
        expected.or_else(heuristic).unwrap_or((Q::UNKNOWN, Status::InsufficientEvidence))
    }

    /// The feature that was expected, against the value that is predicted where nothing is known.
    fn prior_attributions(&self, row: &FeatureRow) -> Vec<Attribution> {
        let spec = Q::spec();
        let mut columns = std::iter::once(spec.expected as usize).chain(Q::HEURISTIC.and_then(index_of));
        let known = columns.find_map(|column| Some((column, spec.raw_feature_at(row, column)?)));
        let raw = |(column, raw)| attribution(row, column, raw - spec.scale.to(Q::UNKNOWN));
        known.and_then(raw).into_iter().collect()
    }

    /// Intervals as wide as ignorance.
    fn prior_estimate(&self, row: &FeatureRow, schema: u64) -> Estimate {
        let (value, status) = self.prior(row);
        let mut estimate = Estimate::new(value, Q::spec().around(value), status, schema);
        estimate.notes.push(match status {
            Status::ColdStart => {
                format!("no model yet: the {} that past generations lead one to expect", Q::TARGET)
            }
            _ if self.prior_attributions(row).is_empty() => {
                format!("no model yet, and no {} is known: {value} is a default", Q::TARGET)
            }
            _ => format!("no model yet, and no {} is known: a guess from the task alone", Q::TARGET),
        });
        estimate
    }

    /// The absolute error; of costs and tokens, the absolute logarithm of the ratio.
    fn loss(&self, point: f64, label: f64) -> f64 {
        Q::spec().scale.error(point, label)
    }

    /// The training rows' median, and what the past leads one to expect.
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        let mut labels: Vec<_> = train.certain().map(|e| e.label).collect();
        labels.sort_by(f64::total_cmp);
        let median = labels.get(labels.len() / 2).copied().unwrap_or(0.0);
        let spec = Q::spec();
        let of = |name: &str| -> Vec<f64> {
            test.iter().map(|e| spec.read_feature(&e.features, name).unwrap_or(median)).collect()
        };
        let named = Q::BASELINES.iter().map(|(name, feature)| ((*name).to_owned(), of(feature)));
        std::iter::once(("constant".to_owned(), vec![median; test.len()])).chain(named).collect()
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        let mut scores = RegressionScores::of(points, labels)?.to_map();
        let scale = Q::spec().scale;
        if matches!(scale, Scale::Relative(_)) {
            let logged = |values: &[f64]| values.iter().map(|v| scale.to(*v)).collect::<Vec<_>>();
            let correlation = correlation(&logged(points), &logged(labels));
            scores.extend(correlation.map(|r| ("log_correlation".to_owned(), r)));
        }
        Ok(scores)
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.params).unwrap_or_default()
    }
}

impl<Q: RegressionTarget> Adopt for RegressionTrainer<Q> {
    fn adopt(&self, trees: &ImportedTrees, rows: &[&Example], schema: u64) -> Result<RegressionModel<Q>> {
        let fit = ImportedFit::calibrated(Q::spec(), trees.clone(), rows)?;
        Ok(RegressionModel::new(Body::Imported(Box::new(fit)), schema))
    }
}

impl<Q: RegressionTarget> RegressionModel<Q> {
    fn new(body: Body, schema: u64) -> Self {
        Self { body, schema, quantity: PhantomData }
    }

    /// The value taken apart, in the model's own unit: of the average task, of each feature in the
    /// order of [`crate::features::FEATURES`], and of the description's wording.
    pub(crate) fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        match &self.body {
            Body::Learned(learned) => learned.part::<Q>(row).contributions(row),
            Body::Imported(fit) => fit.contributions(row),
        }
    }

    /// The columns of each part, in the order in which they are written.
    fn encoders(&self) -> impl Iterator<Item = Option<&ColumnEncoder>> {
        let learned = match &self.body {
            Body::Learned(learned) => Some(learned),
            Body::Imported(_) => None,
        };
        let regimes =
            learned.into_iter().flat_map(|learned| std::iter::once(&learned.before).chain(&learned.after));
        let parts = regimes.flat_map(|regimes| std::iter::once(&regimes.untried).chain(&regimes.tried));
        parts.map(|fitted| Some(&fitted.part.encoder))
    }
}

impl Learned {
    fn part<Q: RegressionTarget>(&self, row: &FeatureRow) -> &Fitted {
        let regimes = self.after.as_ref().filter(|_| row.has_code()).unwrap_or(&self.before);
        let tried = regimes.tried.as_ref().filter(|_| Q::spec().is_tried(row));
        tried.unwrap_or(&regimes.untried)
    }
}

impl<Q: RegressionTarget> Predictor for RegressionModel<Q> {
    type Prediction = Estimate;

    fn predict(&self, row: &FeatureRow) -> Estimate {
        self.estimate(row, component::LEVELS)
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        match &self.body {
            Body::Learned(learned) => learned.part::<Q>(row).point(row),
            Body::Imported(fit) => fit.point(row),
        }
    }

    fn estimate(&self, row: &FeatureRow, levels: [f64; 2]) -> Estimate {
        match &self.body {
            Body::Learned(learned) => {
                let part = learned.part::<Q>(row);
                let mut estimate = part.estimate(row, levels, self.schema);
                estimate.notes.extend(part.part.encoder.outdated(row));
                estimate
            }
            Body::Imported(fit) => fit.estimate(row, levels, self.schema),
        }
    }

    fn intervals(&self, row: &FeatureRow) -> Option<[(f64, f64); 2]> {
        let estimate = self.predict(row);
        Some([estimate.interval_80, estimate.interval_90])
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution> {
        let (_, features, wording) = self.contributions(row);
        let encoder = match &self.body {
            Body::Learned(learned) => Some(&learned.part::<Q>(row).part.encoder),
            Body::Imported(_) => None,
        };
        reasons(row, &features, encoder, wording, Q::TARGET)
    }

    /// Those of the trees that look at what is known before a generation, for tasks not yet tried.
    fn gains(&self) -> Vec<(String, f64)> {
        match &self.body {
            Body::Learned(learned) => learned.before.untried.gains(),
            Body::Imported(fit) => fit.gains(),
        }
    }

    fn schema(&self) -> u64 {
        self.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let Learned { before, after } = match &self.body {
            Body::Learned(learned) => learned.as_ref(),
            Body::Imported(fit) => return seal_imported(&(fit.store()?, self.schema)),
        };
        let store = |regimes: &Regimes<Fitted>| regimes.clone().try_map(|fitted| fitted.store());
        let after = after.as_ref().map(store).transpose()?;
        let stored = Stored { before: store(before)?, after, schema: self.schema };
        let bytes = postcard::to_stdvec(&stored).map_err(|e| {
            Error::internal(format!("the {} model cannot be written", Q::TARGET)).with_source(e)
        })?;
        column_encoder::write(bytes, self.encoders())
    }
}

/// A model as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    before: Regimes<StoredFitted>,
    after: Option<Regimes<StoredFitted>>,
    schema: u64,
}

#[cfg(test)]
impl<Q: RegressionTarget> RegressionModel<Q> {
    /// Together they are this.
    pub(crate) fn raw(&self, row: &FeatureRow) -> f64 {
        match &self.body {
            Body::Learned(learned) => learned.part::<Q>(row).margin(row),
            Body::Imported(fit) => fit.margin(row),
        }
    }
}

#[cfg(test)]
pub(crate) type CostTrainer = RegressionTrainer<Cost>;
#[cfg(test)]
pub(crate) type TokensTrainer = RegressionTrainer<Tokens>;
