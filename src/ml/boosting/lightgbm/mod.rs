//! Trees grown by LightGBM itself, which from then on are the same as any others: they are read from the
//! text that it writes by the reader that checks every bound, so that serving needs no C++.

mod ffi;

use super::external::lightgbm_text::with_whole_leaves;
use super::params::BoostParams;
use super::request::{FitRequest, Objective, Sample};
use crate::error::{Error, Result};
use crate::execution;
use ffi::{Booster, Field, Rows};
use hessboost::model::{BoostedModel, ModelFormat};
use std::fmt::Write as _;

/// Boosts; the request must have been verified.
pub(super) fn boost(params: &BoostParams, request: &FitRequest<'_>) -> Result<BoostedModel> {
    grow(params, request, |booster, rounds| read(&booster.to_text(rounds)?))
}

fn read(text: &str) -> Result<BoostedModel> {
    BoostedModel::decode(&*with_whole_leaves(text), ModelFormat::LightgbmText)
        .map_err(|e| Error::internal("LightGBM's trees cannot be read").with_source(e))
}

/// Grows trees, and takes the first so many of them.
fn grow<T>(
    params: &BoostParams,
    request: &FitRequest<'_>,
    take: impl FnOnce(&Booster<'_>, usize) -> Result<T>,
) -> Result<T> {
    let turn = ffi::alone();
    execution::check()?;
    let settings = settings(params, request);
    let train = rows(&turn, &request.sample, &settings, None)?;
    let stopping = request.stopping.as_ref();
    let held_out = stopping.map(|s| rows(&turn, &s.held_out, &settings, Some(&train))).transpose()?;
    let mut booster = Booster::new(&train, &settings)?;
    if let Some(held_out) = &held_out {
        booster.watch(held_out)?;
    }
    let (mut best, mut best_rounds) = (f64::INFINITY, 0);
    let mut grown = 0;
    while grown < params.rounds && booster.grow()? {
        execution::check()?;
        grown += 1;
        let Some(stopping) = stopping else { continue };
        let loss = loss(request.objective, booster.score()?);
        if loss < best {
            (best, best_rounds) = (loss, grown);
        } else if grown - best_rounds >= stopping.patience {
            break;
        }
    }
    // Where not even the first tree found a split, it holds the start alone.
    let rounds = if stopping.is_some() { best_rounds } else { grown };
    take(&booster, rounds.max(1))
}

/// A score as a loss: gains of a ranking are better the larger they are.
fn loss(objective: Objective, score: f64) -> f64 {
    if matches!(objective, Objective::LambdaRank { .. }) { -score } else { score }
}

/// The parameters in LightGBM's own terms.
///
/// One seed, columns binned one after the other and no sums that depend on the number of threads: the trees
/// are deterministic for any number of threads.
fn settings(params: &BoostParams, request: &FitRequest<'_>) -> String {
    let mut text = String::from(
        "verbosity=-1 deterministic=true force_col_wise=true feature_pre_filter=false bagging_freq=1",
    );
    let mut set = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}={value}");
    };
    set("learning_rate", &params.learning_rate);
    set("num_leaves", &params.max_leaves);
    set("max_depth", &params.max_depth);
    set("lambda_l2", &params.l2);
    set("min_sum_hessian_in_leaf", &params.min_child_weight);
    set("min_data_in_leaf", &params.min_rows);
    set("max_bin", &params.max_bins);
    set("bagging_fraction", &params.subsample);
    set("feature_fraction", &params.colsample);
    set("num_threads", &execution::threads(params.threads));
    // It reads a seed of 31 bits.
    set("seed", &(params.seed % (1 << 31)));
    let (objective, metric) = match request.objective {
        // The one that takes labels between 0 and 1 too.
        Objective::Logistic => ("cross_entropy", "cross_entropy"),
        Objective::SquaredError => ("regression", "l2"),
        Objective::AbsoluteError => ("regression_l1", "l1"),
        Objective::Quantile(level) => {
            set("alpha", &level);
            ("quantile", "quantile")
        }
        Objective::LambdaRank { top } => {
            set("lambdarank_truncation_level", &top);
            set("eval_at", &top);
            let gains: Vec<_> = (0..32_u32).map(|label| ((1_u64 << label) - 1).to_string()).collect();
            set("label_gain", &gains.join(","));
            ("lambdarank", "ndcg")
        }
    };
    set("objective", &objective);
    set("metric", if request.stopping.is_some() { &metric } else { &"none" });
    if !request.categorical.is_empty() {
        let columns: Vec<_> = request.categorical.iter().map(ToString::to_string).collect();
        set("categorical_feature", &columns.join(","));
    }
    text
}

fn rows<'a>(
    turn: &'a ffi::Alone,
    sample: &Sample<'_>,
    settings: &str,
    like: Option<&Rows<'a>>,
) -> Result<Rows<'a>> {
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
    let mut rows = Rows::new(turn, sample.data.values, sample.data.width, settings, like)?;
    rows.set(&Field::Labels(&single(sample.labels)))?;
    if let Some(weights) = sample.weights {
        rows.set(&Field::Weights(&single(weights)))?;
    }
    if let Some(offsets) = sample.offsets {
        rows.set(&Field::Offsets(offsets))?;
    }
    if let Some(groups) = sample.groups {
        let sizes = groups.iter().map(|n| i32::try_from(*n)).collect::<std::result::Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| Error::invalid("boosted trees: a group is too large"))?;
        rows.set(&Field::GroupSizes(&sizes))?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
