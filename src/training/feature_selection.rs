//! Feature selection by permutation importance and null importance.

use super::losses::{UnitLosses, clusters, points};
use super::search::Tunable;
use crate::dataset::{Dataset, Example};
use crate::error::{Result, in_range};
use crate::execution;
use crate::features::index_of;
use crate::ml::metrics::{PairedComparison, compare_paired};
use crate::models::Predictor;
use crate::models::WORDING;
use crate::models::permutation_importance;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Options of feature selection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SelectionOptions {
    /// Fraction of the newest outcomes used to validate the reduced feature set, in (0, 1).
    pub validation_fraction: f64,
    /// Maximum number of rows on which importance is measured.
    pub rows: usize,
    /// Permutations of each feature, from 2.
    pub repeats: usize,
    /// Fits to shuffled labels, which give the null distribution of importance, from 1.
    pub nulls: usize,
    /// Non-inferiority margin: relative increase of the loss that is tolerated, 0 to 1.
    pub tolerance: f64,
    /// Confidence of the non-inferiority test, 0.5 to 0.999.
    pub confidence: f64,
    /// Random seed.
    pub seed: u64,
}

/// Importance of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeatureVerdict {
    /// The feature, or `task_description` for the text.
    pub(crate) feature: String,
    /// Increase of the loss when its values are permuted (permutation importance).
    pub(crate) increase: f64,
    /// Mean absolute SHAP value, in the model's unit.
    pub(crate) shap: f64,
    /// Largest mean absolute SHAP value over the models fitted to shuffled labels.
    pub(crate) null_shap: f64,
    /// True if its importance exceeds the null importance.
    pub(crate) gains: bool,
}

/// Result of a feature selection. It is data (serde); its `Display` form is the reason, and a line for each of the five
/// most important features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Selection {
    /// Every feature that varies, the most important first.
    pub(crate) features: Vec<FeatureVerdict>,
    /// 95 % quantile of the permutation importance in models fitted to shuffled labels.
    pub(crate) null_increase: f64,
    /// Paired comparison, on newer outcomes, of the loss without the features that show no gain with the loss
    /// of all features; `None` if every feature shows a gain.
    pub(crate) without_them: Option<PairedComparison>,
    /// Features that the trainer now leaves out.
    pub dropped: BTreeSet<String>,
    /// Reason for the decision.
    pub reason: String,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        for FeatureVerdict { feature, increase, .. } in self.features.iter().take(5) {
            let chance = self.null_increase;
            write!(f, "\n  {feature:<32} loss {increase:+.4} without it (by chance at most {chance:+.4})")?;
        }
        Ok(())
    }
}

impl Default for SelectionOptions {
    fn default() -> Self {
        Self {
            validation_fraction: 0.25,
            rows: 1_000,
            repeats: 3,
            nulls: 2,
            tolerance: 0.005,
            confidence: 0.9,
            seed: 42,
        }
    }
}

impl SelectionOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("validation_fraction", self.validation_fraction, 0.01, 0.99)?;
        in_range("rows", self.rows as f64, 2.0, 1e9)?;
        in_range("repeats", self.repeats as f64, 2.0, 1e3)?;
        in_range("nulls", self.nulls as f64, 1.0, 1e3)?;
        in_range("tolerance", self.tolerance, 0.0, 1.0)?;
        in_range("confidence", self.confidence, 0.5, 0.999)
    }
}

/// Drops features that show no gain: those whose permutation importance on newer outcomes is not positive, or
/// whose permutation importance and SHAP values do not exceed those of models fitted to shuffled labels (null
/// importance; Altmann et al. 2010). They are dropped only if the reduced feature set is non-inferior on still
/// newer outcomes. Store the [`Selection`] with the model: `training.with_note("selection", …)`.
///
/// Run it within an [`ExecutionContext`](crate::execution::ExecutionContext) to bound or cancel it.
///
/// # Errors
/// `NotEnoughData`; `InvalidInput` for options out of range; `Cancelled`.
pub fn select_features<T: Tunable>(
    trainer: T,
    data: &Dataset,
    options: &SelectionOptions,
) -> Result<(T, Selection)> {
    options.validate()?;
    let (searched, validation) = data.split_by_time(options.validation_fraction)?;
    let (earlier, later) = searched.split_by_time(options.validation_fraction)?;
    let rows = &later[later.len().saturating_sub(options.rows)..];
    let seen = Importances::of(&trainer, &earlier, rows, options)?;
    let seeds: Vec<u64> = (0..options.nulls as u64).map(|n| options.seed.wrapping_add(n + 1)).collect();
    // The rows scored are of shuffled labels too: on true ones, a model of noise gains by whatever moves
    // its mean towards theirs, and that would pass for what chance can do.
    let scored_rows = searched.with_examples(rows.to_vec());
    let nulls = execution::map(&seeds, |seed| {
        let nothing = shuffled(&scored_rows, *seed);
        Importances::of(&trainer, &shuffled(&earlier, *seed), &nothing.examples, options)
    })?;
    let (features, null_increase) = verdicts(&seen, &nulls);
    // Of the host's own columns each model chooses itself.
    let known = |name: &str| name == WORDING || index_of(name).is_some();
    let idle = features.iter().filter(|f| !f.gains && known(&f.feature)).map(|f| f.feature.clone());
    let idle: BTreeSet<_> = idle.collect();
    if idle.is_empty() || idle.len() == features.len() {
        let reason =
            if idle.is_empty() { "every feature shows some gain" } else { "no feature shows any gain" };
        let (without_them, dropped) = (None, BTreeSet::new());
        let reason = reason.to_owned();
        return Ok((trainer, Selection { features, null_increase, without_them, dropped, reason }));
    }
    let fewer = trainer.without(&idle)?;
    let score = |t: &&T| {
        let losses = UnitLosses::of(*t, &points(&t.fit(&searched)?, &validation)?, &validation)?;
        Ok(losses.losses)
    };
    let scored: Vec<Vec<f64>> = execution::map(&[&trainer, &fewer], score)?;
    let compared =
        compare_paired(&scored[1], &scored[0], &clusters(&validation), options.confidence, options.seed)?;
    let allowed = options.tolerance * scored[0].iter().sum::<f64>().abs() / scored[0].len() as f64;
    let holds = compared.is_better_by(-allowed);
    let reason = format!(
        "{} features show no gain; without them the loss changes by {:+.4} ({:+.4} to {:+.4}) on {} newer outcomes: {}",
        idle.len(),
        compared.difference,
        compared.lower,
        compared.upper,
        compared.rows,
        if holds { "dropped" } else { "kept, since that may be too much" }
    );
    let dropped = if holds { idle } else { BTreeSet::new() };
    let selection = Selection { features, null_increase, without_them: Some(compared), dropped, reason };
    Ok((if holds { fewer } else { trainer }, selection))
}

/// What features mean to one fitted model.
struct Importances {
    increases: Vec<(String, f64)>,
    shap: BTreeMap<String, f64>,
}

impl Importances {
    fn of<T: Tunable>(
        trainer: &T,
        earlier: &Dataset,
        rows: &[Example],
        options: &SelectionOptions,
    ) -> Result<Self> {
        let model = trainer.fit(earlier)?;
        let loss = |point: f64, label: f64| trainer.loss(point, label);
        let found = permutation_importance(&model, loss, rows, options.repeats, options.seed)?;
        let mut shap = BTreeMap::<String, f64>::new();
        for example in rows {
            execution::check()?;
            for reason in model.reasons(&example.features) {
                *shap.entry(reason.feature).or_default() += reason.contribution.abs() / rows.len() as f64;
            }
        }
        Ok(Self { increases: found.into_iter().map(|f| (f.feature, f.increase)).collect(), shap })
    }
}

fn verdicts(seen: &Importances, nulls: &[Importances]) -> (Vec<FeatureVerdict>, f64) {
    let mut by_chance: Vec<f64> =
        nulls.iter().flat_map(|null| null.increases.iter().map(|(_, v)| v.abs())).collect();
    by_chance.sort_by(f64::total_cmp);
    let null_increase = by_chance.get(by_chance.len() * 19 / 20).copied().unwrap_or(0.0);
    let of = |shap: &BTreeMap<String, f64>, name: &str| shap.get(name).copied().unwrap_or(0.0);
    let verdict = |(feature, increase): &(String, f64)| {
        let shap = of(&seen.shap, feature);
        let null_shap = nulls.iter().map(|null| of(&null.shap, feature)).fold(0.0, f64::max);
        let gains = *increase > 0.0 && (*increase > null_increase || shap > null_shap);
        FeatureVerdict { feature: feature.clone(), increase: *increase, shap, null_shap, gains }
    };
    (seen.increases.iter().map(verdict).collect(), null_increase)
}

/// Returns the rows with permuted labels.
fn shuffled(data: &Dataset, seed: u64) -> Dataset {
    let mut labels: Vec<_> = data.examples.iter().map(|e| (e.label, e.known_at, e.labels)).collect();
    labels.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
    let mut shuffled = data.clone();
    for (example, (label, known_at, all)) in shuffled.examples.iter_mut().zip(labels) {
        (example.label, example.known_at, example.labels) = (label, known_at, all);
    }
    shuffled
}
