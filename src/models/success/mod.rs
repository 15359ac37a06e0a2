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

pub(super) use columns::SHAPE;
pub use params::SuccessParams;

use super::prediction::{Status, SuccessPrediction};
use super::reasons::{Reason, reasons};
use super::{Predictor, Trainer};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::{BinaryScores, log_loss};
use crate::features::{FEATURES, FeatureRow, index_of};
use crate::learn::{Reliability, Scaling, sigmoid};
use part::{Contributions, Part, Regime, StoredPart};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Fits [`SuccessModel`]s.
#[derive(Debug, Clone, Default)]
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

/// A part with what it is worth.
#[derive(Debug, Clone)]
struct Calibrated {
    part: Part,
    calibration: Calibration,
}

/// What held-out rows say of a part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Calibration {
    scaling: Scaling,
    reliability: Reliability,
}

/// What the description's wording does: against and for.
const WORDING: [&str; 2] =
    ["tasks worded like this failed more often", "tasks worded like this succeeded more often"];

/// Fewer held-out rows than this calibrate nothing.
const FEWEST_ROWS: usize = 30;

/// One in so many tasks is held out.
const HELD_OUT_TASKS: u64 = 5;

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

    /// Each part on rows of its own kind that it has not seen. Where all tasks held out had been
    /// tried before, new ones are made by holding out whole tasks.
    fn calibrate(
        &self,
        data: &Dataset,
        earlier: &Dataset,
        held_out: &[Example],
    ) -> Result<(Calibration, Calibration)> {
        let (new_task, seen_task) = self.fit_parts(earlier)?;
        let (seen, new): (Vec<_>, Vec<_>) = held_out.iter().partition(|e| is_seen(&e.features));
        let of_seen = seen_task.map(|part| Calibration::fit(&part, &seen)).unwrap_or_default();
        if new.len() >= FEWEST_ROWS {
            return Ok((Calibration::fit(&new_task, &new), of_seen));
        }
        let (apart, rest): (Vec<_>, Vec<_>) =
            data.examples.iter().partition(|e| e.task % HELD_OUT_TASKS == 0);
        let apart: Vec<_> = apart.into_iter().filter(|e| e.known_at.is_some()).collect();
        if apart.is_empty() || rest.len() < self.params.min_samples {
            return Ok((Calibration::default(), of_seen));
        }
        let part = Part::fit(Regime::NewTask, &rest, &self.params)?;
        Ok((Calibration::fit(&part, &apart), of_seen))
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

    fn target(&self) -> Target {
        Target::Success
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
        let (of_new, of_seen) = match data.split_by_time(CALIBRATION_SHARE) {
            Ok((earlier, held_out)) => self.calibrate(data, &earlier, &held_out)?,
            Err(_) => <(Calibration, Calibration)>::default(),
        };
        let (new_task, seen_task) = self.fit_parts(data)?;
        Ok(SuccessModel {
            new_task: Calibrated { part: new_task, calibration: of_new },
            seen_task: seen_task.map(|part| Calibrated { part, calibration: of_seen }),
            schema: data.schema,
        })
    }

    fn read(&self, bytes: &[u8]) -> Result<SuccessModel> {
        let stored: Stored = postcard::from_bytes(bytes)
            .map_err(|e| Error::corrupt("the success model cannot be read").with_source(e))?;
        Ok(SuccessModel {
            new_task: open(stored.new_task)?,
            seen_task: stored.seen_task.map(open).transpose()?,
            schema: stored.schema,
        })
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        super::prior::success(row)
    }

    fn loss(&self, point: f64, label: f64) -> f64 {
        log_loss(point, label >= 0.5)
    }

    /// The training rows' rate, the agent's, the project's.
    fn baselines(&self, train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        let (sum, n) = train.certain().fold((0.0, 0.0), |(s, n), e| (s + e.label, n + 1.0));
        vec![
            ("constant".to_owned(), vec![sum / n; test.len()]),
            ("agent_prior".to_owned(), test.iter().map(|e| e.priors.agent).collect()),
            ("project_prior".to_owned(), test.iter().map(|e| e.priors.project).collect()),
        ]
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
        let interval = self.regime(row).calibration.reliability.interval(p);
        SuccessPrediction::new(p, interval, Status::Calibrated, self.schema)
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        self.regime(row).point(row)
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Reason> {
        let (_, features, wording) = self.contributions(row);
        reasons(row, &features, wording, WORDING)
    }

    fn schema(&self) -> u64 {
        self.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = Stored {
            new_task: self.new_task.store()?,
            seen_task: self.seen_task.as_ref().map(Calibrated::store).transpose()?,
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
        let Calibrated { part, calibration: Calibration { scaling, .. } } = self.regime(row);
        let Contributions { base, mut features, wording } = part.contributions(row);
        features.iter_mut().for_each(|part| *part = scaling.apply(*part));
        (scaling.apply(base), features, scaling.apply(wording))
    }

    fn regime(&self, row: &FeatureRow) -> &Calibrated {
        match &self.seen_task {
            Some(seen) if is_seen(row) => seen,
            _ => &self.new_task,
        }
    }
}

impl Calibrated {
    fn point(&self, row: &FeatureRow) -> f64 {
        sigmoid(self.calibration.scaling.apply(self.part.margin(row)))
    }

    fn store(&self) -> Result<(StoredPart, Calibration)> {
        Ok((self.part.store()?, self.calibration.clone()))
    }
}

/// A success model as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    new_task: (StoredPart, Calibration),
    seen_task: Option<(StoredPart, Calibration)>,
    schema: u64,
}

fn open((part, calibration): (StoredPart, Calibration)) -> Result<Calibrated> {
    if !(calibration.scaling.is_sound() && calibration.reliability.is_sound()) {
        return Err(Error::corrupt("success model: its calibration is out of range"));
    }
    Ok(Calibrated { part: part.open()?, calibration })
}

impl Calibration {
    /// All tries of a task weigh together as much as one row: they rise and fall together.
    fn fit(part: &Part, rows: &[&Example]) -> Self {
        let mut tries = HashMap::<u64, f64>::new();
        rows.iter().for_each(|e| *tries.entry(e.task).or_default() += 1.0);
        let weights: Vec<_> = rows.iter().map(|e| 1.0 / tries[&e.task]).collect();
        let margins: Vec<_> = rows.iter().map(|e| part.margin(&e.features)).collect();
        let labels: Vec<_> = rows.iter().map(|e| e.label >= 0.5).collect();
        let scaling = Scaling::fit(&margins, &labels, &weights);
        let predicted: Vec<_> = margins.iter().map(|m| sigmoid(scaling.apply(*m))).collect();
        let weight = tries.len() as f64 / rows.len().max(1) as f64;
        Self { scaling, reliability: Reliability::new(&predicted, &labels, weight) }
    }
}

/// Whether an outcome of the same task was known.
fn is_seen(row: &FeatureRow) -> bool {
    use std::sync::LazyLock;
    static PLACE: LazyLock<usize> = LazyLock::new(|| index_of("task_outcomes").unwrap_or(FEATURES.len()));
    row.values.get(*PLACE).is_some_and(|n| *n > 0.0)
}
