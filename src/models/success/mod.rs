//! Will it be approved without modification?
//!
//! The historical rates give the offset: the log-odds of the success rate of this agent in this
//! project with this LLM, each rate shrunk toward its parent's, the more the fewer outcomes it has,
//! with open generations counted at their expected outcome. A ridge regression over the description's
//! n-grams and boosted trees over the features learn corrections to the offset. A new agent or project
//! thus starts from its parent's rate, and the correction need not relearn historical rates. Tasks
//! that were tried before have a model component of their own, which uses their record.

mod ability;
mod calibration;
mod columns;
mod component;
#[cfg(feature = "mlflow")]
mod export;
pub(super) mod likeness;
mod params;
mod rate_baseline;
mod scorer;

pub(crate) use columns::SUCCESS_FEATURE_SETS;
#[cfg(feature = "linfa")]
pub(super) use columns::Scaler;
pub(super) use likeness::{Likeness, OwnScaler};
pub use params::SuccessParams;
pub(crate) use params::WORDING;
pub(super) use params::known_features;

use super::attributions::{Attribution, reasons};
use super::column_encoder::{self, ColumnEncoder};
use super::external::{Adopt, ImportedTrees, StoredTrees, is_imported, open_imported, seal_imported};
use super::prediction::{Status, SuccessPrediction};
use super::unseen::UnseenValues;
use super::{Predictor, Trainer, unseen};
use crate::dataset::{Dataset, Example, Target, same_rows};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{FeatureId, FeatureRow};
use crate::ml::metrics::{BinaryScores, log_loss};
use calibration::{Calibration, HeldOut};
use component::{Contributions, Regime};
use rate_baseline::RateBaseline;
use scorer::{Scorer, StoredScorer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fits [`SuccessModel`]s.
#[derive(Debug, Clone, Default)]
#[doc(alias = "SuccessPredictorTrainer")]
pub struct SuccessTrainer {
    params: SuccessParams,
}

/// A fitted success model.
#[derive(Debug, Clone)]
pub struct SuccessModel {
    new_task: Calibrated,
    seen_task: Option<Calibrated>,
    schema: u64,
}

/// What gives the log-odds, with what they are worth.
#[derive(Debug, Clone)]
struct Calibrated {
    scorer: Scorer,
    calibration: Calibration,
}

/// A model fitted before, with its rows.
#[derive(Clone, Copy)]
struct Known<'a> {
    rows: &'a Dataset,
    model: &'a SuccessModel,
}

/// Fewer held-out rows than this calibrate nothing.
const FEWEST_ROWS: usize = 30;

/// Into so many parts tasks are divided, each to be predicted from the others.
const FOLDS: u64 = 5;

/// Share of the newest examples that calibrates.
const CALIBRATION_SHARE: f64 = 0.2;

impl SuccessTrainer {
    /// A trainer with verified parameters.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: SuccessParams) -> Result<Self> {
        params.validate().map(|()| Self { params })
    }

    /// The scorers, each calibrated on rows of its own kind that it had not seen, then fitted to all.
    fn fit_all(&self, data: &Dataset, known: Option<Known<'_>>) -> Result<(Calibrated, Option<Calibrated>)> {
        let all: Vec<_> = data.examples.iter().collect();
        let split = data.split_by_time(CALIBRATION_SHARE).ok();
        let (seen, new) = match &split {
            Some((_, held_out)) => held_out.iter().partition(|e| is_seen(&e.features)),
            None => (Vec::new(), Vec::new()),
        };
        let earlier: Vec<_> = split.iter().flat_map(|(earlier, _)| &earlier.examples).collect();
        let known = known.filter(|known| same_rows(&known.rows.examples, &earlier));
        let held_out = if new.len() >= FEWEST_ROWS {
            match known {
                Some(known) => HeldOut::of(&known.model.new_task.scorer, &new),
                None => HeldOut::of(&Scorer::fit(Regime::NewTask, &earlier, &self.params)?, &new),
            }
        } else {
            self.across_tasks(&all)?
        };
        let new_task = Calibrated::fit(Regime::NewTask, &all, held_out, &self.params)?;
        let Some(rows) = self.seen(&all) else { return Ok((new_task, None)) };
        let held_out = match (known.and_then(|known| known.model.seen_task.as_ref()), self.seen(&earlier)) {
            (Some(known), Some(_)) => HeldOut::of(&known.scorer, &seen),
            (None, Some(earlier)) => {
                HeldOut::of(&Scorer::fit(Regime::SeenTask, &earlier, &self.params)?, &seen)
            }
            (_, None) => HeldOut::default(),
        };
        Ok((new_task, Some(Calibrated::fit(Regime::SeenTask, &rows, held_out, &self.params)?)))
    }

    fn fit_knowing(&self, data: &Dataset, known: Option<Known<'_>>) -> Result<SuccessModel> {
        self.check_enough(data)?;
        let (new_task, seen_task) = self.fit_all(data, known)?;
        Ok(SuccessModel { new_task, seen_task, schema: data.schema })
    }

    fn check_enough(&self, data: &Dataset) -> Result<()> {
        let have = data.certain().count();
        let need = self.params.min_samples.max(2);
        if have >= need {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotEnoughData { have, need },
            format!("{have} labelled generations, {need} are needed (min_samples): record more feedback"),
        ))
    }

    /// Where all tasks held out had been tried before, new ones are made: each part of the tasks is
    /// predicted from the others.
    fn across_tasks<'a>(&self, all: &[&'a Example]) -> Result<HeldOut<'a>> {
        let mut held_out = HeldOut::default();
        for fold in 0..FOLDS {
            let (apart, rest): (Vec<&'a Example>, Vec<&'a Example>) =
                all.iter().partition(|e| e.task % FOLDS == fold);
            let apart: Vec<_> = apart.into_iter().filter(|e| e.known_at.is_some()).collect();
            if rest.len() >= self.params.min_samples && !apart.is_empty() {
                held_out.add(&Scorer::fit(Regime::NewTask, &rest, &self.params)?, &apart);
            }
        }
        Ok(held_out)
    }

    /// The rows of tasks that were tried before, where there are enough.
    fn seen<'a>(&self, rows: &[&'a Example]) -> Option<Vec<&'a Example>> {
        let seen: Vec<_> = rows.iter().copied().filter(|e| is_seen(&e.features)).collect();
        let certain = seen.iter().filter(|e| e.known_at.is_some()).count();
        (certain >= self.params.min_samples.max(1)).then_some(seen)
    }
}

impl Trainer for SuccessTrainer {
    type Model = SuccessModel;

    fn name(&self) -> &'static str {
        "success"
    }

    fn target(&self) -> Target {
        Target::Success
    }

    /// Calibrates on the newest fifth with a fit on the rest, then fits on everything.
    fn fit(&self, data: &Dataset) -> Result<SuccessModel> {
        self.fit_knowing(data, None)
    }

    /// The fit on the rest is often `of_earlier` itself.
    fn fit_beside(
        &self,
        data: &Dataset,
        earlier: &Dataset,
        of_earlier: &SuccessModel,
    ) -> Result<SuccessModel> {
        self.fit_knowing(data, Some(Known { rows: earlier, model: of_earlier }))
    }

    /// Calibrated as `like` is.
    fn fit_like(&self, data: &Dataset, like: &SuccessModel) -> Result<SuccessModel> {
        self.check_enough(data)?;
        let all: Vec<_> = data.examples.iter().collect();
        let fit = |regime, rows: &[&Example], like: &Calibrated| -> Result<Calibrated> {
            let scorer = Scorer::fit(regime, rows, &self.params)?;
            let scorer = scorer.with_share(like.scorer.share).answered_by(like.scorer.rate);
            Ok(Calibrated { scorer, calibration: like.calibration.clone() })
        };
        let seen = like.seen_task.as_ref().zip(self.seen(&all));
        Ok(SuccessModel {
            new_task: fit(Regime::NewTask, &all, &like.new_task)?,
            seen_task: seen.map(|(like, rows)| fit(Regime::SeenTask, &rows, like)).transpose()?,
            schema: data.schema,
        })
    }

    fn read(&self, bytes: &[u8]) -> Result<SuccessModel> {
        if is_imported(bytes) {
            return open_imported::<StoredImported>(bytes)?.open();
        }
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|e| Error::corrupt("the success model cannot be read").with_source(e))?;
        let mut encoders = column_encoder::read(rest)?;
        Ok(SuccessModel {
            new_task: stored.new_task.open(encoders.next())?,
            seen_task: stored.seen_task.map(|part| part.open(encoders.next())).transpose()?,
            schema: stored.schema,
        })
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        super::prior::success(row)
    }

    fn prior_attributions(&self, row: &FeatureRow) -> Vec<Attribution> {
        super::prior::attributions(row)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        log_loss(point, label >= 0.5)
    }

    /// The training rows' rate, the rates of the agent, the project, the LLM, and the agent with the LLM, and that of the most
    /// specific group with enough outcomes.
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        let weights = train.certain().map(|e| (e.label, 1.0 / e.propensity));
        let (sum, n) = weights.fold((0.0, 0.0), |(s, n), (label, weight)| (s + weight * label, n + weight));
        let constant = sum / n;
        let rate = |baseline: RateBaseline| -> Vec<f64> {
            test.iter().map(|e| baseline.rate(&e.features).map_or(constant, |(_, rate)| rate)).collect()
        };
        vec![
            ("constant".to_owned(), vec![constant; test.len()]),
            ("agent_prior".to_owned(), test.iter().map(|e| e.priors.agent).collect()),
            ("project_prior".to_owned(), test.iter().map(|e| e.priors.project).collect()),
            ("model_prior".to_owned(), rate(RateBaseline::Model)),
            ("agent_model_prior".to_owned(), rate(RateBaseline::AgentModel)),
            ("group_prior".to_owned(), rate(RateBaseline::MostSpecific)),
        ]
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        let outcomes: Vec<_> = labels.iter().map(|y| *y >= 0.5).collect();
        Ok(BinaryScores::of(points, &outcomes)?.to_map())
    }

    fn weighted_scores(
        &self,
        points: &[f64],
        labels: &[f64],
        weights: &[f64],
    ) -> Result<BTreeMap<String, f64>> {
        let outcomes: Vec<_> = labels.iter().map(|y| *y >= 0.5).collect();
        Ok(BinaryScores::weighted(points, &outcomes, weights)?.to_map())
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.params).unwrap_or_default()
    }
}

impl Adopt for SuccessTrainer {
    fn adopt(&self, trees: &ImportedTrees, rows: &[&Example], schema: u64) -> Result<SuccessModel> {
        let scorer = Scorer::imported(trees.clone());
        let calibration = HeldOut::of(&scorer, rows).calibrate_scorer(0.0)?;
        Ok(SuccessModel { new_task: Calibrated { scorer, calibration }, seen_task: None, schema })
    }
}

impl Predictor for SuccessModel {
    type Prediction = SuccessPrediction;

    fn predict(&self, row: &FeatureRow) -> SuccessPrediction {
        let Calibrated { scorer, calibration } = self.regime(row);
        let margin = scorer.margin(row);
        let p = calibration.probability(margin);
        let unseen = scorer.unseen(row);
        let outdated = scorer.encoder().and_then(|encoder| encoder.outdated(row));
        SuccessPrediction {
            venn_abers: calibration.venn_abers(margin),
            notes: outdated.into_iter().chain(unseen::notes(&unseen)).collect(),
            unseen: UnseenValues(unseen),
            ..SuccessPrediction::new(p, calibration.interval(p), Status::Calibrated, self.schema)
        }
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        let Calibrated { scorer, calibration } = self.regime(row);
        calibration.probability(scorer.margin(row))
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution> {
        let (_, features, wording) = self.contributions(row);
        reasons(row, &features, self.regime(row).scorer.encoder(), wording, Target::Success)
    }

    /// Those of the trees for new tasks.
    fn gains(&self) -> Vec<(String, f64)> {
        self.new_task.scorer.gains()
    }

    fn schema(&self) -> u64 {
        self.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let Calibrated { scorer, calibration } = &self.new_task;
        if let Some(trees) = scorer.as_imported() {
            let (trees, calibration) = (trees.store()?, calibration.clone());
            return seal_imported(&StoredImported { trees, calibration, schema: self.schema });
        }
        let stored = Stored {
            new_task: self.new_task.store()?,
            seen_task: self.seen_task.as_ref().map(Calibrated::store).transpose()?,
            schema: self.schema,
        };
        let bytes = postcard::to_stdvec(&stored)
            .map_err(|e| Error::internal("the success model cannot be written").with_source(e))?;
        let parts = std::iter::once(&self.new_task).chain(&self.seen_task);
        column_encoder::write(bytes, parts.map(|part| part.scorer.encoder()))
    }
}

impl SuccessModel {
    /// Returns the contributions to the margin: the base value of the average task, those of each
    /// feature in the order of [`FEATURES`](crate::features::FEATURES) and then of each of the host's own columns that it
    /// uses, and that of the description's text. They sum to [`SuccessModel::margin`].
    ///
    /// Exact SHAP values for the trees (Lundberg and Lee 2017), weight times deviation from the
    /// mean for the linear parts, which is the same thing there.
    pub(crate) fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        let Contributions { base, features, wording } = self.regime(row).scorer.contributions(row);
        (base, features, wording)
    }

    fn regime(&self, row: &FeatureRow) -> &Calibrated {
        match &self.seen_task {
            Some(seen) if is_seen(row) => seen,
            _ => &self.new_task,
        }
    }
}

impl Calibrated {
    /// Fits to all rows, with what the held-out ones say.
    fn fit(regime: Regime, rows: &[&Example], held_out: HeldOut, params: &SuccessParams) -> Result<Self> {
        let share = held_out.share();
        let (calibration, rate) = held_out.calibrate(share, regime)?;
        let scorer = Scorer::fit(regime, rows, params)?.with_share(share).answered_by(rate);
        Ok(Self { scorer, calibration })
    }

    fn store(&self) -> Result<StoredCalibrated> {
        Ok(StoredCalibrated { scorer: self.scorer.store()?, calibration: self.calibration.clone() })
    }
}

/// A success model as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    new_task: StoredCalibrated,
    seen_task: Option<StoredCalibrated>,
    schema: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredCalibrated {
    scorer: StoredScorer,
    calibration: Calibration,
}

/// A model of trees that were learned elsewhere, as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct StoredImported {
    trees: StoredTrees,
    calibration: Calibration,
    schema: u64,
}

impl StoredImported {
    fn open(self) -> Result<SuccessModel> {
        let scorer = Scorer::imported(self.trees.open()?);
        let new_task = Calibrated { scorer, calibration: sound(self.calibration)? };
        Ok(SuccessModel { new_task, seen_task: None, schema: self.schema })
    }
}

impl StoredCalibrated {
    fn open(self, encoder: ColumnEncoder) -> Result<Calibrated> {
        Ok(Calibrated { scorer: self.scorer.open(encoder)?, calibration: sound(self.calibration)? })
    }
}

fn sound(calibration: Calibration) -> Result<Calibration> {
    if calibration.is_sound() {
        return Ok(calibration);
    }
    Err(Error::corrupt("success model: its calibration is out of range"))
}

/// Returns true if an outcome of the same task was known.
pub(crate) fn is_seen(row: &FeatureRow) -> bool {
    row.values.get(FeatureId::TaskOutcomes as usize).is_some_and(|n| *n > 0.0)
}

#[cfg(test)]
impl SuccessModel {
    /// The log-odds of `row` before calibration.
    pub(crate) fn margin(&self, row: &FeatureRow) -> f64 {
        self.regime(row).scorer.margin(row)
    }
}
