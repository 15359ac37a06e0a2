//! Growing trees by the `hessboost` crate: requests in its own terms.

use super::params::{BoostParams, ForestParams};
use super::request::{FitRequest, Objective, Sample};
use crate::error::Result;
use crate::execution;
use hessboost::config::{GrowPolicy, LeafEstimation, TrainingParams, TrainingParamsBuilder, TreeMethod};
use hessboost::data::{DMatrix, FeatureType};
use hessboost::error::HessboostError;
use hessboost::model::BoostedModel;
use hessboost::objective::{LambdaRank, Objective as Loss, Quantiles, RegLoss};
use hessboost::training::{RoundEval, Trainer};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

type Refused<T> = std::result::Result<T, HessboostError>;

/// Boosts; the request must have been verified.
pub(super) fn boost(params: &BoostParams, request: &FitRequest<'_>) -> Result<BoostedModel> {
    let grow = || {
        let builder = with_objective(boosting(params, &request.sample), request.objective)?;
        let builder = starting(builder, request.objective, &request.sample).build()?;
        let train = matrix(&request.sample, request.categorical, params.min_rows)?;
        let trainer = Trainer::new(&builder, &train, params.rounds).on_round(unless_cancelled());
        let Some(stopping) = &request.stopping else { return Ok(trainer.train()?.model) };
        let held_out = matrix(&stopping.held_out, request.categorical, 1)?;
        let patience = NonZeroUsize::new(stopping.patience).unwrap_or(NonZeroUsize::MIN);
        let trainer = trainer.eval(&held_out, "held out");
        let model = trainer.early_stopping_rounds(patience).train()?.model;
        match model.best_iteration() {
            // The trees after it would only be carried along.
            Some(best) => model.slice(..=best, 1),
            None => Ok(model),
        }
    };
    finish(grow())
}

/// Ends growing after the round in which the work was cancelled.
fn unless_cancelled() -> impl FnMut(RoundEval<'_>) -> ControlFlow<()> + Send + 'static {
    // The rounds go on in hessboost's own threads.
    let work = execution::current();
    move |_| if work.check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn finish(grown: Refused<BoostedModel>) -> Result<BoostedModel> {
    execution::check()?;
    grown.map_err(super::refused)
}

/// Grows a forest; the sample must have been verified.
pub(super) fn forest(
    params: &ForestParams,
    objective: Objective,
    sample: &Sample<'_>,
) -> Result<BoostedModel> {
    let grow = || {
        let builder = with_objective(TrainingParams::builder(), objective)?
            .tree_method(TreeMethod::Hist)
            .max_bin(params.max_bins)
            .num_parallel_tree(params.trees)
            .max_depth(params.max_depth)
            .min_child_groups(params.min_rows)
            .eta(1.0)
            .lambda(0.0)
            .min_child_weight(0.0)
            .subsample(params.subsample)
            .colsample_bynode(params.colsample)
            .seed(params.seed)
            .nthread(threads(params.threads, sample));
        let builder = starting(builder, objective, sample).build()?;
        hessboost::training::train(&builder, &matrix(sample, &[], params.min_rows)?, 1)
    };
    finish(grow())
}

/// Fewer rows than this are grown on one thread: handing work to others, for every node of every tree, takes more
/// processor time than it saves.
const FEWEST_ROWS_TO_SHARE: usize = 20_000;

fn threads(wanted: usize, sample: &Sample<'_>) -> usize {
    if sample.labels.len() < FEWEST_ROWS_TO_SHARE { 1 } else { execution::threads(wanted) }
}

fn boosting(params: &BoostParams, sample: &Sample<'_>) -> TrainingParamsBuilder {
    TrainingParams::builder()
        .tree_method(TreeMethod::Hist)
        .grow_policy(GrowPolicy::LossGuide)
        .max_bin(params.max_bins)
        .max_leaves(params.max_leaves)
        .max_depth(params.max_depth)
        .eta(params.learning_rate)
        .lambda(params.l2)
        .min_child_weight(params.min_child_weight)
        .min_child_groups(params.min_rows)
        .subsample(params.subsample)
        .colsample_bytree(params.colsample)
        .seed(params.seed)
        .nthread(threads(params.threads, sample))
}

fn with_objective(builder: TrainingParamsBuilder, objective: Objective) -> Refused<TrainingParamsBuilder> {
    Ok(match objective {
        Objective::Logistic => builder.objective(Loss::BinaryLogistic(RegLoss::default())),
        Objective::SquaredError => builder.objective(Loss::SquaredError(RegLoss::default())),
        // Hessboost's own absolute error starts far from the median where outliers are far.
        Objective::AbsoluteError => quantile(builder, 0.5)?,
        Objective::Quantile(level) => quantile(builder, level)?,
        Objective::LambdaRank { top } => builder.objective(Loss::RankNdcg(LambdaRank::new(top)?)),
    })
}

fn quantile(builder: TrainingParamsBuilder, level: f64) -> Refused<TrainingParamsBuilder> {
    Ok(builder.objective(Loss::Quantile(Quantiles::new([level])?)).leaf_estimation(LeafEstimation::Exact))
}

/// The start of labels that are all of one class, as a probability; nearer to 0 or 1 single precision is infinite log-odds.
const LEAST_START: f64 = 1e-6;

/// A margin of 0 before the first tree where rows bring their own, or where only order counts;
/// otherwise hessboost estimates it, within what can be written.
fn starting(
    builder: TrainingParamsBuilder,
    objective: Objective,
    sample: &Sample<'_>,
) -> TrainingParamsBuilder {
    match objective {
        Objective::LambdaRank { .. } => builder.base_score(0.0),
        Objective::Logistic if sample.offsets.is_none() => match mean(sample) {
            mean if mean < LEAST_START => builder.base_score(LEAST_START),
            mean if mean > 1.0 - LEAST_START => builder.base_score(1.0 - LEAST_START),
            _ => builder,
        },
        _ if sample.offsets.is_none() => builder,
        Objective::Logistic => builder.base_score(0.5),
        _ => builder.base_score(0.0),
    }
}

fn mean(sample: &Sample<'_>) -> f64 {
    let weight = |row: usize| sample.weights.map_or(1.0, |weights| weights[row]);
    let total = |value: &dyn Fn(usize) -> f64| (0..sample.labels.len()).map(value).sum::<f64>();
    total(&|row| weight(row) * sample.labels[row]) / total(&weight)
}

fn matrix(sample: &Sample<'_>, categorical: &[usize], min_rows: usize) -> Refused<DMatrix> {
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
    let data = sample.data;
    let mut matrix =
        DMatrix::from_dense(data.values, data.rows(), data.width)?.with_labels(&single(sample.labels))?;
    if let Some(weights) = sample.weights {
        matrix = matrix.with_weights(&single(weights))?;
    }
    if let Some(offsets) = sample.offsets {
        matrix = matrix.with_base_margin(&single(offsets))?;
    }
    if let Some(groups) = sample.groups {
        matrix = matrix.with_group_sizes(groups)?;
    }
    if !categorical.is_empty() {
        let mut types = vec![FeatureType::Numerical; data.width];
        categorical.iter().for_each(|feature| types[*feature] = FeatureType::Categorical);
        matrix = matrix.with_feature_types(&types)?;
    }
    if min_rows > 1 {
        // Every row its own group of evidence: hessboost then counts rows.
        matrix = matrix.with_split_groups(&(0..data.rows() as u64).collect::<Vec<_>>())?;
    }
    Ok(matrix)
}
