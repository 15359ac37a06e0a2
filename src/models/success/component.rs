//! One regime of the success model: an offset from the past, corrected by a linear model over
//! the description's n-grams and by boosted trees.
//!
//! For new tasks half of the past's log-odds is the offset and all of it a column of both corrections, so that its
//! coefficient is learned and shrunk toward one half: where agents arrive, the past promises more than it holds.

use super::columns::{self, Scaler};
use super::params::{SuccessParams, WORDING};
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::features::{FEATURES, FeatureId, FeatureRow, SHAPE};
use crate::ml::{
    FitRequest, Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, Matrix, Objective, Sample, Tfidf,
    TreeFamily, Trees,
};
use crate::models::column_encoder::{ColumnEncoder, Encodable};
use crate::models::shares_of_columns;
use crate::models::unseen::{UnseenValue, unseen};
use crate::stats::logit;
use serde::{Deserialize, Serialize};

/// Cold start or warm start: a new task or one that was tried before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Regime {
    /// Predicted from agent, project and LLM.
    NewTask,
    /// Predicted from its own record too.
    SeenTask,
}

/// The fitted regime.
#[derive(Debug, Clone)]
pub(super) struct ModelComponent {
    pub(super) regime: Regime,
    pub(super) scaler: Scaler,
    pub(super) tfidf: Tfidf,
    pub(super) linear: Linear,
    pub(super) trees: Trees,
    pub(super) tree_places: Vec<usize>,
    /// The host's own columns.
    pub(super) encoder: ColumnEncoder,
    /// Share of the trees in the correction.
    pub(super) blend: f64,
    /// True if the past's log-odds are a column.
    pub(super) prior: bool,
    /// Mean contribution of the wording in training.
    wording: f64,
}

/// A margin taken apart, in log-odds.
pub(super) struct Contributions {
    /// The average task's margin.
    pub(super) base: f64,
    /// One a feature, in the order of [`FEATURES`], then one a column of the host's own.
    pub(super) features: Vec<f64>,
    /// The description's wording.
    pub(super) wording: f64,
}

/// Below this share of distinct texts the shape of a text gives the task away: trees would
/// remember it instead of learning from it.
const DISTINCT_SHARE: f64 = 0.25;

/// Share of the past's log-odds that is the offset where they are a column too; stored models rely on it. On pull requests
/// predicted daily within the part before the one that is evaluated: ROC AUC .783 and log loss .559, with .3 .779 and
/// .562, with 1 and no column .777 and .565.
const OFFSET_SHARE: f64 = 0.5;

/// Newton steps of the linear model, at most.
const STEPS: usize = 30;

impl Regime {
    /// The places of the rates that the offset adds and takes away: `plus` - `minus`.
    pub(super) fn offset_places(self) -> &'static Offset {
        const AGENT: usize = FeatureId::AgentPastPerformance as usize;
        const BOTH: usize = FeatureId::AgentModelSuccessRate as usize;
        const ALL: usize = FeatureId::OverallSuccessRate as usize;
        const HERE: usize = FeatureId::ProjectAgentSuccessRate as usize;
        const TASK: usize = FeatureId::TaskSuccessRate as usize;
        static OFFSETS: [Offset; 2] = [
            // overall + (agent - overall) + (here - agent) + (agent and LLM - agent)
            Offset { base: ALL, steps: [(AGENT, ALL), (HERE, AGENT), (BOTH, AGENT)] },
            // overall + (task - overall) + (agent and LLM - overall)
            Offset { base: ALL, steps: [(TASK, ALL), (BOTH, ALL), (ALL, ALL)] },
        ];
        &OFFSETS[self as usize]
    }
}

/// Log-odds of a base rate, and steps from one rate to another.
pub(super) struct Offset {
    pub(super) base: usize,
    /// To where, and from where.
    pub(super) steps: [(usize, usize); 3],
}

impl Offset {
    fn base(&self, row: &[f32]) -> f64 {
        log_odds(row, self.base)
    }

    fn steps<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = (usize, f64)> + 'a {
        self.steps.iter().map(|(to, from)| (*to, log_odds(row, *to) - log_odds(row, *from)))
    }

    fn margin(&self, row: &[f32]) -> f64 {
        self.base(row) + self.steps(row).map(|(_, step)| step).sum::<f64>()
    }

    /// Spreads a part of the margin over the steps by how large they are; returns what is left where there is none.
    fn spread(&self, row: &[f32], part: f64, features: &mut [f64]) -> f64 {
        let total: f64 = self.steps(row).map(|(_, step)| step.abs()).sum();
        if total <= 0.0 {
            return part;
        }
        self.steps(row).for_each(|(place, step)| features[place] += part * step.abs() / total);
        0.0
    }
}

/// The log-odds of a rate; a rate that is missing says nothing.
fn log_odds(row: &[f32], place: usize) -> f64 {
    let rate = columns::value_at(row, place);
    logit(if rate.is_nan() { 0.5 } else { f64::from(rate) })
}

impl ModelComponent {
    pub(super) fn fit(regime: Regime, examples: &[&Example], params: &SuccessParams) -> Result<Self> {
        let rows: Vec<_> = examples.iter().map(|e| e.features.as_ref()).collect();
        let tfidf = match regime {
            Regime::NewTask if !params.without.contains(WORDING) => {
                Tfidf::fit(rows.iter().map(|r| &r.text), params.min_texts)
            }
            _ => Tfidf::fit(std::iter::empty(), 1),
        };
        let (mut linear_places, mut tree_places) = places(regime, &rows);
        let given = |place: &usize| rows.iter().any(|row| !columns::value_at(&row.values, *place).is_nan());
        let given: Vec<_> = columns::places(&[columns::GIVEN]).into_iter().filter(given).collect();
        let encodable = examples.iter().copied().map(|e| Encodable {
            row: &e.features,
            task: e.task,
            label: e.label,
            weight: e.weight,
        });
        let (encoder, apart) = ColumnEncoder::fit(&encodable.collect::<Vec<_>>(), &params.without)?;
        for places in [&mut linear_places, &mut tree_places] {
            places.extend(&given);
            places.extend(encoder.places());
            places.retain(|place| encoder.name_of(*place).is_some_and(|name| !params.without.contains(name)));
        }
        let value = |row: usize, place: usize| apart.value(rows[row], row, place);
        let scaler = Scaler::fit(linear_places, rows.len(), value, params.dense_weight);
        let prior = regime == Regime::NewTask;
        let past: Vec<_> = rows.iter().map(|row| regime.offset_places().margin(&row.values)).collect();
        let offsets: Vec<_> = past.iter().map(|past| offset_share(prior) * past).collect();
        let labels: Vec<_> = examples.iter().map(|e| e.label).collect();
        let weights: Vec<_> = examples.iter().map(|e| e.weight).collect();
        let target = LinearTarget {
            labels: &labels,
            weights: &weights,
            offsets: &offsets,
            loss: LinearLoss::Logistic,
        };
        let column = |row: usize| prior.then_some(past[row] as f32);
        let (linear, wording) = fit_linear(&rows, value, column, &scaler, &tfidf, target, params)?;
        let table: Vec<f32> = (0..rows.len())
            .flat_map(|row| tree_places.iter().map(move |place| value(row, *place)).chain(column(row)))
            .collect();
        let matrix = Matrix { values: &table, width: tree_places.len() + usize::from(prior) };
        let sample = Sample::new(matrix, &labels).weighted(&weights).starting_from(&offsets);
        let trees = match params.trees {
            TreeFamily::Boosting => Trees::fit(&params.boost, &FitRequest::new(Objective::Logistic, sample))?,
            TreeFamily::Forest => Trees::fit_forest(&params.forest, Objective::Logistic, &sample)?,
        };
        let blend = match regime {
            Regime::NewTask => params.blend,
            Regime::SeenTask => params.seen_blend,
        };
        Ok(Self { regime, scaler, tfidf, linear, trees, tree_places, encoder, blend, prior, wording })
    }

    /// The log-odds of `row`.
    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        let past = self.regime.offset_places().margin(&row.values);
        let offset = offset_share(self.prior) * past;
        let mut buffers = Buffers::default();
        let linear = self.linear.margin(self.linear_row(&mut buffers, row, past));
        let trees = self.trees.margin(&self.tree_row(row, past)).unwrap_or(0.0);
        offset + (1.0 - self.blend) * linear + self.blend * trees
    }

    /// Returns the values of `row` that are unlike all that the trees were trained on.
    pub(super) fn unseen(&self, row: &FeatureRow) -> Vec<UnseenValue> {
        if self.blend <= 0.0 {
            return Vec::new();
        }
        let past = self.regime.offset_places().margin(&row.values);
        unseen([&self.trees], &self.tree_row(row, past), &self.tree_places, &self.encoder)
    }

    /// The same, taken apart; the parts add up to it.
    pub(super) fn contributions(&self, row: &FeatureRow) -> Contributions {
        let mut features = vec![0.0; FEATURES.len() + self.encoder.len()];
        let offset = self.regime.offset_places();
        let past = offset.margin(&row.values);
        let mut buffers = Buffers::default();
        let linear = self.linear_row(&mut buffers, row, past);
        let share = 1.0 - self.blend;
        let of_prior = self.linear.dense_weights().get(self.scaler.places().len()).copied().unwrap_or(0.0);
        let of_past = offset_share(self.prior) + share * of_prior;
        offset.steps(&row.values).for_each(|(place, step)| features[place] += of_past * step);
        let terms = self.scaler.places().iter().zip(self.linear.dense_weights()).zip(linear.dense);
        let mut dense = 0.0;
        for ((place, weight), x) in terms {
            features[ColumnEncoder::slot(*place)] += share * weight * f64::from(*x);
            dense += weight * f64::from(*x);
        }
        // The column is in single precision.
        let column = linear.dense.get(self.scaler.places().len()).map_or(0.0, |x| f64::from(*x));
        let wording = self.linear.margin(linear) - self.linear.intercept() - dense - of_prior * column;
        let shap = self.trees.contributions(&self.tree_row(row, past)).unwrap_or_default();
        let expected = shap.last().copied().map_or(0.0, f64::from);
        for (place, part) in self.tree_places.iter().zip(&shap) {
            features[ColumnEncoder::slot(*place)] += self.blend * f64::from(*part);
        }
        let in_trees =
            if self.prior { shap.get(self.tree_places.len()).copied().map_or(0.0, f64::from) } else { 0.0 };
        let left = offset.spread(&row.values, self.blend * in_trees, &mut features);
        let base = of_past * offset.base(&row.values)
            + share * (self.linear.intercept() + self.wording)
            + self.blend * expected
            + left;
        Contributions { base, features, wording: share * (wording - self.wording) }
    }

    /// Shares of the trees' gain by feature.
    pub(super) fn gains(&self) -> Vec<(String, f64)> {
        let mut gains = self.trees.importance();
        let steps = self.regime.offset_places().steps;
        if let Some(prior) = gains.get(self.tree_places.len()).copied() {
            for (gain, _) in gains
                .iter_mut()
                .zip(&self.tree_places)
                .filter(|(_, at)| steps.iter().any(|(to, _)| to == *at))
            {
                *gain += prior / steps.len() as f64;
            }
        }
        shares_of_columns(&self.encoder, &self.tree_places, &gains)
    }

    fn tree_row(&self, row: &FeatureRow, past: f64) -> Vec<f32> {
        let places = self.tree_places.iter().map(|place| self.encoder.value(row, *place));
        places.chain(self.prior.then_some(past as f32)).collect()
    }

    fn linear_row<'a>(&self, buffers: &'a mut Buffers, row: &FeatureRow, past: f64) -> LinearRow<'a> {
        let prior = self.prior.then_some(past as f32);
        buffers.fill(row, |place| self.encoder.value(row, place), prior, &self.scaler, &self.tfidf)
    }

    pub(super) fn store(&self) -> Result<StoredPart> {
        Ok(StoredPart {
            regime: self.regime,
            scaler: self.scaler.clone(),
            tfidf: self.tfidf.clone(),
            linear: self.linear.clone(),
            trees: self.trees.to_bytes()?,
            tree_places: self.tree_places.clone(),
            blend: self.blend,
            wording: self.wording,
        })
    }
}

/// A regime as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredPart {
    regime: Regime,
    scaler: Scaler,
    tfidf: Tfidf,
    linear: Linear,
    trees: Vec<u8>,
    tree_places: Vec<usize>,
    blend: f64,
    wording: f64,
}

impl StoredPart {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(mut self, encoder: ColumnEncoder) -> Result<ModelComponent> {
        self.tfidf.prepare()?;
        self.linear.prepare(self.tfidf.width())?;
        let trees = Trees::from_bytes(&self.trees)?;
        // Models of before the prior was a column have none in either.
        let prior = trees.width() > self.tree_places.len();
        let fits = self.scaler.is_sound(&encoder)
            && self.linear.dense_weights().len() == self.scaler.places().len() + usize::from(prior)
            && trees.width() == self.tree_places.len() + usize::from(prior)
            && self.tree_places.iter().all(|place| encoder.has(*place))
            && (0.0..=1.0).contains(&self.blend)
            && self.wording.abs() <= 1e9;
        if !fits {
            return Err(Error::corrupt("success model: its parts do not fit together"));
        }
        let Self { regime, scaler, tfidf, linear, tree_places, blend, wording, .. } = self;
        Ok(ModelComponent {
            regime,
            scaler,
            tfidf,
            linear,
            trees,
            tree_places,
            encoder,
            blend,
            prior,
            wording,
        })
    }
}

/// The linear form of one row.
#[derive(Default)]
struct Buffers {
    dense: Vec<f32>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl Buffers {
    /// The row that has `value` at a place, with the past's log-odds where they are a column.
    fn fill(
        &mut self,
        row: &FeatureRow,
        value: impl Fn(usize) -> f32,
        prior: Option<f32>,
        scaler: &Scaler,
        tfidf: &Tfidf,
    ) -> LinearRow<'_> {
        scaler.transform(value, &mut self.dense);
        self.dense.extend(prior);
        tfidf.transform(&row.text, &mut self.indices, &mut self.values);
        LinearRow { dense: &self.dense, indices: &self.indices, values: &self.values }
    }
}

/// The share of the past's log-odds that is the offset, where they are a column and where they are not.
pub(super) fn offset_share(prior: bool) -> f64 {
    if prior { OFFSET_SHARE } else { 1.0 }
}

/// The features of the linear model and of the trees.
fn places(regime: Regime, rows: &[&FeatureRow]) -> (Vec<usize>, Vec<usize>) {
    use columns::{FOR_TREES, RATES, SEEN, SETTING};
    if regime == Regime::SeenTask {
        return (columns::places(&[SEEN]), columns::places(&[SEEN]));
    }
    let linear = columns::places(&[RATES, SHAPE, SETTING]);
    let distinct: std::collections::HashSet<_> = rows.iter().map(|r| r.text.fingerprint()).collect();
    if (distinct.len() as f64) < DISTINCT_SHARE * rows.len() as f64 {
        return (linear, columns::places(&[RATES, SETTING, FOR_TREES]));
    }
    (linear, columns::places(&[RATES, SHAPE, SETTING, FOR_TREES]))
}

fn fit_linear(
    rows: &[&FeatureRow],
    value: impl Fn(usize, usize) -> f32,
    prior: impl Fn(usize) -> Option<f32>,
    scaler: &Scaler,
    tfidf: &Tfidf,
    target: LinearTarget<'_>,
    params: &SuccessParams,
) -> Result<(Linear, f64)> {
    let mut buffers: Vec<Buffers> = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let mut buffer = Buffers::default();
        buffer.fill(row, |place| value(i, place), prior(i), scaler, tfidf);
        buffers.push(buffer);
    }
    let linear_rows: Vec<_> = buffers
        .iter()
        .map(|b| LinearRow { dense: &b.dense, indices: &b.indices, values: &b.values })
        .collect();
    let l2 = LinearParams { dense_l2: params.l2, sparse_l2: params.l2, max_steps: STEPS };
    let linear = Linear::fit(&l2, &linear_rows, target, tfidf.width())?;
    let wording = |row: &LinearRow<'_>| linear.margin(LinearRow { dense: &[], ..*row }) - linear.intercept();
    let mean = linear_rows.iter().map(wording).sum::<f64>() / rows.len() as f64;
    Ok((linear, mean))
}
