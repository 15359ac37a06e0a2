//! Will it be approved without modification?
//!
//! The past gives the offset: the log-odds of the success rate of this agent in this project with
//! this LLM, each drawn to its parents by how little evidence it has, with open generations
//! counted by how such ones end. A ridge regression over the description's n-grams and boosted
//! trees over the features learn corrections to it. So what is new (an agent, a project) starts
//! from what is known of its parents, and the correction never has to learn what counting knows.
//! Tasks that were tried before have a part of their own, which looks at their record.

mod columns;
mod params;
mod part;

pub use params::SuccessParams;

use super::prediction::{Status, SuccessPrediction};
use super::reasons::{Reason, reasons};
use super::{Predictor, Trainer};
use crate::dataset::{Dataset, Example};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::{BinaryScores, log_loss};
use crate::features::{FEATURES, FeatureRow, index_of};
use crate::learn::{Reliability, Scaling, sigmoid};
use part::{Contributions, Part, Regime, StoredPart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fits [`SuccessModel`]s.
#[derive(Debug, Clone, Default)]
pub struct SuccessTrainer {
    params: SuccessParams,
}

/// A fitted success model.
#[derive(Debug, Clone)]
pub struct SuccessModel {
    new_task: Part,
    seen_task: Option<Part>,
    scaling: Scaling,
    reliability: Reliability,
    schema: u64,
}

/// Share of the newest examples that calibrates.
const CALIBRATION_SHARE: f64 = 0.2;

impl SuccessTrainer {
    /// A trainer with verified parameters.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: SuccessParams) -> Result<Self> {
        params.verify().map(|()| Self { params })
    }

    /// Both parts; the one for seen tasks only where enough of them are known.
    fn fit_parts(&self, data: &Dataset) -> Result<(Part, Option<Part>)> {
        let all: Vec<_> = data.examples.iter().collect();
        let seen: Vec<_> = all.iter().copied().filter(|e| is_seen(&e.features)).collect();
        let enough = seen.iter().filter(|e| e.known_at.is_some()).count() >= self.params.min_samples.max(1);
        let seen = enough.then(|| Part::fit(Regime::SeenTask, &seen, &self.params)).transpose()?;
        Ok((Part::fit(Regime::NewTask, &all, &self.params)?, seen))
    }
}

impl Trainer for SuccessTrainer {
    type Model = SuccessModel;

    fn name(&self) -> &'static str {
        "success"
    }

    /// Calibrates on the newest fifth with a fit on the rest, then fits on everything.
    fn fit(&self, data: &Dataset) -> Result<SuccessModel> {
        let have = data.certain().count();
        let need = self.params.min_samples.max(2);
        if have < need {
            return Err(Error::new(
                ErrorKind::NotEnoughData { have, need },
                format!("{have} labelled generations, {need} are needed (min_samples): record more feedback"),
            ));
        }
        let (scaling, reliability) = match data.split_by_time(CALIBRATION_SHARE) {
            Ok((earlier, held_out)) => calibrate(&self.fit_parts(&earlier)?, &held_out),
            Err(_) => (Scaling::default(), Reliability::default()),
        };
        let (new_task, seen_task) = self.fit_parts(data)?;
        Ok(SuccessModel { new_task, seen_task, scaling, reliability, schema: data.schema })
    }

    fn read(&self, bytes: &[u8]) -> Result<SuccessModel> {
        let stored: Stored = postcard::from_bytes(bytes)
            .map_err(|e| Error::corrupt("the success model cannot be read").with_source(e))?;
        if !(stored.scaling.is_sound() && stored.reliability.is_sound()) {
            return Err(Error::corrupt("success model: its calibration is out of range"));
        }
        Ok(SuccessModel {
            new_task: stored.new_task.open()?,
            seen_task: stored.seen_task.map(StoredPart::open).transpose()?,
            scaling: stored.scaling,
            reliability: stored.reliability,
            schema: stored.schema,
        })
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        log_loss(point, label >= 0.5)
    }

    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        let outcomes: Vec<_> = labels.iter().map(|y| *y >= 0.5).collect();
        Ok(BinaryScores::of(points, &outcomes)?.to_map())
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(self.params).unwrap_or_default()
    }
}

impl Predictor for SuccessModel {
    type Prediction = SuccessPrediction;

    fn predict(&self, row: &FeatureRow) -> SuccessPrediction {
        let p = self.point(row);
        SuccessPrediction::new(p, self.reliability.interval(p), Status::Calibrated, self.schema)
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        sigmoid(self.scaling.apply(self.part(row).margin(row)))
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Reason> {
        let (_, features, wording) = self.contributions(row);
        reasons(row, &features, wording)
    }

    fn schema(&self) -> u64 {
        self.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = Stored {
            new_task: self.new_task.store()?,
            seen_task: self.seen_task.as_ref().map(Part::store).transpose()?,
            scaling: self.scaling,
            reliability: self.reliability.clone(),
            schema: self.schema,
        };
        postcard::to_stdvec(&stored)
            .map_err(|e| Error::internal("the success model cannot be written").with_source(e))
    }
}

impl SuccessModel {
    /// The log-odds of `row` taken apart: of the average task, of each feature in the order of
    /// [`FEATURES`], and of the description's wording. Together they are the log-odds of the
    /// prediction.
    ///
    /// Exact SHAP values for the trees (Lundberg and Lee 2017), weight times deviation from the
    /// mean for the linear parts, which is the same thing there.
    pub fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        let Contributions { base, mut features, wording } = self.part(row).contributions(row);
        features.iter_mut().for_each(|part| *part = self.scaling.apply(*part));
        (self.scaling.apply(base), features, self.scaling.apply(wording))
    }

    fn part(&self, row: &FeatureRow) -> &Part {
        match &self.seen_task {
            Some(seen) if is_seen(row) => seen,
            _ => &self.new_task,
        }
    }
}

/// A success model as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    new_task: StoredPart,
    seen_task: Option<StoredPart>,
    scaling: Scaling,
    reliability: Reliability,
    schema: u64,
}

fn calibrate((new_task, seen_task): &(Part, Option<Part>), held_out: &[Example]) -> (Scaling, Reliability) {
    let part = |row: &FeatureRow| seen_task.as_ref().filter(|_| is_seen(row)).unwrap_or(new_task).margin(row);
    let margins: Vec<_> = held_out.iter().map(|e| part(&e.features)).collect();
    let labels: Vec<_> = held_out.iter().map(|e| e.label >= 0.5).collect();
    let scaling = Scaling::fit(&margins, &labels);
    let predicted: Vec<_> = margins.iter().map(|m| sigmoid(scaling.apply(*m))).collect();
    (scaling, Reliability::new(&predicted, &labels))
}

/// Whether an outcome of the same task was known.
fn is_seen(row: &FeatureRow) -> bool {
    use std::sync::LazyLock;
    static PLACE: LazyLock<usize> = LazyLock::new(|| index_of("task_outcomes").unwrap_or(FEATURES.len()));
    row.values.get(*PLACE).is_some_and(|n| *n > 0.0)
}
