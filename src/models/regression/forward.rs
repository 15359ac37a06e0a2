//! How an ordinal regression is fitted, corrected and widened: chosen on forward folds, each predicted by a fit to
//! what was earlier.

use super::component::{LEAST_GAIN, LEVELS, ModelComponent, ROUNDING, TRUSTS};
use super::fitted::Calibration;
use super::ordinal_text::{HALF_LIVES, OrdinalRows, OrdinalText};
use super::params::RegressionParams;
use super::spec::{Regime, Spec};
use super::text_component::{OrdinalChoice, sparse};
use super::{Aim, View};
use crate::dataset::{Dataset, Example};
use crate::error::Result;
use crate::execution;
use crate::features::FeatureRow;
use crate::ml::Tfidf;
use crate::models::success::WORDING;

/// The choices that forward folds made.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) ordinal: OrdinalChoice,
    /// How far the distribution and the trees are trusted, 0 to 1.
    pub(super) trust: [f64; 2],
    /// `None` where too few rows test the intervals, or none are asked for.
    pub(super) calibration: Option<Calibration>,
}

/// Where each fold begins and ends, as shares of all rows: what is before its begin predicts it.
const FOLDS: [(f64, f64); 3] = [(0.55, 0.7), (0.7, 0.85), (0.85, 1.0)];

/// Fewer predicted rows than this show nothing.
const FEWEST_ROWS: usize = 30;

/// Shares of the past labels' distribution that are tried.
const PAST_SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Where nothing can be chosen.
const UNTESTED: OrdinalChoice = OrdinalChoice { half_life: f64::INFINITY, past_share: 0.5 };

/// The median of all past labels.
const PAST_ALONE: OrdinalChoice = OrdinalChoice { half_life: f64::INFINITY, past_share: 1.0 };

/// The probabilities that intervals may begin from, in hundredths.
const PROBABILITIES: std::ops::RangeInclusive<u8> = 30..=100;

/// A fit to `earlier` predicts `later`.
struct Fold<'a> {
    earlier: &'a [Example],
    later: &'a [Example],
}

/// Chooses half-life, mixture, correction and intervals by the absolute error and the coverage on forward folds.
///
/// # Errors
/// `Cancelled`; those of a fit.
pub(super) fn choose(
    spec: &Spec,
    regime: Regime,
    data: &Dataset,
    (view, aim): (View, Aim),
    params: &RegressionParams,
) -> Result<Chosen> {
    let rows = &data.examples;
    let at = |share: f64| (rows.len() as f64 * share) as usize;
    let folds = FOLDS.map(|(from, to)| Fold { earlier: &rows[..at(from)], later: &rows[at(from)..at(to)] });
    let labelled = |examples: &[Example]| examples.iter().filter(|e| view.of(e).is_some()).count();
    let tested: usize = folds.iter().map(|fold| labelled(fold.later)).sum();
    if tested < FEWEST_ROWS || folds.iter().any(|fold| labelled(fold.earlier) == 0) {
        let ordinal = if params.past_alone { PAST_ALONE } else { UNTESTED };
        return Ok(Chosen { ordinal, trust: [1.0, 0.0], calibration: None });
    }
    let ordinal = if params.past_alone { PAST_ALONE } else { choose_mixture(spec, &folds, view, params)? };
    let fit = |fold: &Fold<'_>| {
        let aims = (view, Aim::Points);
        ModelComponent::fit(spec, regime, fold.earlier, aims, Some(ordinal), params)
    };
    let parts = execution::map(&folds, fit)?;
    let rows = parts
        .iter()
        .zip(&folds)
        .flat_map(|(part, fold)| fold.later.iter().filter_map(move |e| Some((part, view.of(e)?, e.label))));
    let rows: Vec<_> = rows.collect();
    let trust = [1.0, if params.past_alone { 0.0 } else { trees_trust(spec, &rows) }];
    let calibration = (aim == Aim::Intervals).then(|| probabilities(spec, &rows, trust));
    Ok(Chosen { ordinal, trust, calibration })
}

/// The half-life and the share of the past whose median errs least; of equal ones the longest, and the most of the past.
fn choose_mixture(
    spec: &Spec,
    folds: &[Fold<'_>],
    view: View,
    params: &RegressionParams,
) -> Result<OrdinalChoice> {
    let errors = execution::map(folds, |fold| mixture_errors(spec, fold, view, params))?;
    let tried = HALF_LIVES.iter().flat_map(|half_life| PAST_SHARES.map(|share| (*half_life, share)));
    let scored = tried.enumerate().map(|(i, (half_life, past_share))| {
        let error: f64 = errors.iter().map(|fold| fold[i]).sum();
        (error, OrdinalChoice { half_life, past_share })
    });
    // The first of equal ones wins a minimum, the last of them a reduction.
    let best = scored.reduce(|best, next| if next.0 <= best.0 { next } else { best });
    Ok(best.map_or(UNTESTED, |(_, choice)| choice))
}

/// The summed absolute errors of a fold by half-life and share of the past.
fn mixture_errors(spec: &Spec, fold: &Fold<'_>, view: View, params: &RegressionParams) -> Result<Vec<f64>> {
    let earlier: Vec<_> = fold.earlier.iter().filter_map(|e| Some((view.of(e)?, e))).collect();
    let worded = !params.without.contains(WORDING);
    let texts = earlier.iter().filter(|_| worded).map(|(row, _)| &row.text);
    let tfidf = Tfidf::fit(texts, params.min_texts);
    let texts: Vec<_> = earlier.iter().map(|(row, _)| sparse(&tfidf, row)).collect();
    let labels: Vec<_> = earlier.iter().map(|(_, e)| spec.scale.to(e.label)).collect();
    let weights: Vec<_> = earlier.iter().map(|(_, e)| e.weight).collect();
    let known = OrdinalRows { texts: &texts, labels: &labels, weights: &weights, width: tfidf.width() };
    let asked = fold.later.iter().filter_map(|e| Some((sparse(&tfidf, view.of(e)?), e.label)));
    let asked: Vec<_> = asked.collect();
    let mut errors = Vec::with_capacity(HALF_LIVES.len() * PAST_SHARES.len());
    for half_life in HALF_LIVES {
        let mut fitted = OrdinalText::fit(known, half_life, 0.0, params.l2)?;
        for share in PAST_SHARES {
            fitted = fitted.with_past_share(share);
            let point = |text| spec.scale.from(fitted.distribution(text).median());
            errors.push(asked.iter().map(|(text, label)| (point(text) - label).abs()).sum());
        }
    }
    Ok(errors)
}

/// How far to trust the trees: what errs least, if by enough.
fn trees_trust(spec: &Spec, rows: &[(&ModelComponent, &FeatureRow, f64)]) -> f64 {
    let looks: Vec<_> =
        rows.iter().map(|(part, row, label)| (part, part.look(spec, row, &[]), *label)).collect();
    let error = |trust: f64| -> f64 {
        let errors = looks.iter().map(|(part, look, label)| {
            (spec.within(spec.scale.from(part.margin(look, [1.0, trust]))) - label).abs()
        });
        errors.sum()
    };
    let enough = (1.0 - LEAST_GAIN) * error(0.0);
    let scored = TRUSTS.map(|trust| (error(trust), trust)).into_iter().filter(|(error, _)| *error < enough);
    scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, trust)| trust)
}

/// For each level the least probability whose narrowest intervals held at least so many rows.
fn probabilities(spec: &Spec, rows: &[(&ModelComponent, &FeatureRow, f64)], trust: [f64; 2]) -> Calibration {
    let tried: Vec<f64> = PROBABILITIES.map(|hundredths| f64::from(hundredths) / 100.0).collect();
    let mut hits = vec![0_usize; tried.len()];
    for (part, row, label) in rows {
        let raw = spec.scale.to(*label);
        let look = part.look(spec, row, &tried);
        let point = part.margin(&look, trust);
        for (hits, (low, high)) in hits.iter_mut().zip(look.text_intervals(trust)) {
            *hits += usize::from((low.min(point) - ROUNDING..=high.max(point) + ROUNDING).contains(&raw));
        }
    }
    let least = |level: f64| {
        let enough = level * rows.len() as f64;
        tried.iter().zip(&hits).find(|(_, hits)| **hits as f64 >= enough).map_or(1.0, |(p, _)| *p)
    };
    let [narrow, wide] = LEVELS.map(least);
    Calibration::Probabilities([narrow, wide.max(narrow)])
}
