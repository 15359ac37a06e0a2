//! The promotion gate: decides whether a new model goes live.

mod champion;
mod task_kind;
mod verdict;

pub(crate) use champion::{AgainstChampion, Champion};
pub(crate) use task_kind::TaskKind;
pub(crate) use verdict::{GateDecision, GateVerdict, decide};

use crate::error::{Error, Result};
use crate::ml::metrics::{AucComparison, PairedComparison};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use verdict::Check;

/// Requirements that a new model must meet to go live.
///
/// By default it must be better than the model in production, and than the baselines. The design's absolute floors
/// (`{"floors": {"accuracy": 0.75, "auc": 0.8}}`), which few real streams reach, are an option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Gate {
    /// Floors of scores by name (`accuracy`, `auc`, …) on the test set, which must be exceeded; none by default.
    pub floors: BTreeMap<String, f64>,
    /// Margin by which its loss must be lower than that of the model in production, as a share of the
    /// latter, -1 to 1. Below 0 it may be that much higher: then fresher models that are no worse go
    /// live too ([`Gate::refreshing`]).
    ///
    /// .002 by default: small beside what a new feature gains, enough that a model which differs by noise of
    /// its seed alone is not promoted. `cargo test --lib training::tests::gate -- --nocapture` measures what
    /// it costs.
    pub margin: f64,
    /// Confidence level of each one-sided test, 0.5 to 0.999: the probability of not promoting a model that
    /// is no better.
    pub confidence: f64,
    /// Rejects a model that is significantly worse than a baseline; a first model that is significantly
    /// better than none, or has a higher loss than one, is inconclusive.
    pub baselines: bool,
    /// Compares it with the model in production.
    pub champion: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self { floors: BTreeMap::new(), margin: 0.002, confidence: 0.95, baselines: true, champion: true }
    }
}

/// Loss of ROC AUC that is tolerated. Its test (`compare_auc`) finds differences that do not matter significant where
/// two models rank nearly alike; a larger value lets worse rankings pass, and `cargo test --lib
/// training::tests::gate` counts how often.
const AUC_MARGIN: f64 = 0.005;

impl Gate {
    /// Creates a gate with the design's floors besides: accuracy above 0.75 and ROC AUC above 0.80.
    #[cfg(test)]
    pub(crate) fn with_floors() -> Self {
        let floors = [("accuracy".to_owned(), 0.75), ("auc".to_owned(), 0.80)];
        Self { floors: floors.into(), ..Self::default() }
    }

    /// Creates a gate that promotes a fresher model when its loss is, with confidence, not higher by 2 %: for
    /// a world that changes, where an old model is a risk too. A model that is no better is then promoted
    /// often; one that is worse is not.
    ///
    /// The 2 % trade the freshness of models against steps back; `cargo run --release --example
    /// continuous_learning` shows both.
    pub fn refreshing() -> Self {
        Self { margin: -0.02, ..Self::default() }
    }

    /// Returns the gate for models that predict no probability: without floors of scores that only
    /// probabilities have.
    pub(crate) fn without_probability_floors(&self) -> Self {
        let mut gate = self.clone();
        gate.floors.retain(|name, _| !matches!(name.as_str(), "accuracy" | "auc"));
        gate
    }

    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some((name, floor)) = self.floors.iter().find(|(_, floor)| !floor.is_finite()) {
            return Err(Error::invalid(format!(
                "the gate's floor of {name} is {floor}, expected a finite number"
            )));
        }
        if !(-1.0..=1.0).contains(&self.margin) {
            return Err(Error::invalid(format!("the gate's margin is {}, expected -1 to 1", self.margin)));
        }
        if !(0.5..=0.999).contains(&self.confidence) {
            return Err(Error::invalid(format!(
                "the gate's confidence is {}, expected 0.5 to 0.999",
                self.confidence
            )));
        }
        Ok(())
    }

    /// Decides on a model by its scores and by its paired comparisons, each named, with the baselines
    /// and with the model in production. Where there is none it must be significantly better than a baseline
    /// instead, and have a higher loss than none.
    pub(crate) fn evaluate(
        &self,
        scores: &BTreeMap<String, f64>,
        baselines: &BTreeMap<String, PairedComparison>,
        champion: Champion<'_>,
    ) -> GateVerdict {
        let mut checks: Vec<Check> =
            self.floors.iter().map(|(name, floor)| floor_check(name, *floor, scores.get(name))).collect();
        if self.baselines {
            let first = !self.champion || matches!(champion, Champion::None);
            checks.extend(baselines.iter().map(|(name, c)| self.against_baseline(name, c, first)));
        }
        match champion {
            Champion::Compared(with) if self.champion => checks.extend(self.against_champion(with)),
            Champion::TooFewRows(rows) if self.champion => checks.push(Check::inconclusive(
                format!("inconclusive: only {rows} outcomes are new to the model in production"),
                None,
            )),
            _ => checks.extend(without_a_champion(baselines).filter(|_| self.baselines)),
        }
        if checks.is_empty() {
            checks.push(Check::pass(
                "nothing to compare with: no model in production, no baseline and no floor".to_owned(),
            ));
        }
        decide(checks)
    }

    /// Checks the comparison with the model in production: significantly worse is rejected, not
    /// significantly better is inconclusive.
    pub(crate) fn against_champion(&self, with: &AgainstChampion) -> Vec<Check> {
        let AgainstChampion { loss, champion_loss, auc } = with;
        let margin = self.margin * champion_loss.abs();
        let figures = self.figures(loss);
        let mut checks = vec![if loss.is_better_by(margin) && (margin >= 0.0 || loss.is_better()) {
            Check::pass(format!("significantly better than the model in production: {figures}"))
        } else if loss.is_better_by(margin) {
            let allowed = -margin;
            Check::pass(format!(
                "within the allowed margin of {allowed:.4} of the model in production: {figures}"
            ))
        } else if loss.is_worse() {
            Check::reject(format!("rejected: worse than the model in production: {figures}"))
        } else {
            let wanted = if margin > 0.0 { format!(" by the margin of {margin:.4}") } else { String::new() };
            let how = if margin < 0.0 { "may be worse" } else { "not significantly better" };
            let more = loss.rows_to_decide(margin);
            let more_text = more.map_or_else(
                || "its loss is not lower by enough".to_owned(),
                |more| format!("about {more} more outcomes may decide"),
            );
            Check::inconclusive(
                format!("inconclusive: {how} than the model in production{wanted}: {figures}; {more_text}"),
                more,
            )
        }];
        checks.extend(auc.as_ref().map(compare_ranking));
        checks
    }

    /// Checks the comparison with a baseline; a first model must not have the higher loss.
    fn against_baseline(&self, name: &str, c: &PairedComparison, first: bool) -> Check {
        let figures = self.figures(c);
        if c.is_worse() {
            Check::reject(format!("rejected: significantly worse than the baseline {name}: {figures}"))
        } else if c.is_better() {
            Check::pass(format!("significantly better than the baseline {name}: {figures}"))
        } else if first && c.difference > 0.0 {
            let text = format!("inconclusive: may be worse than the baseline {name}: {figures}");
            Check::inconclusive(text, None)
        } else {
            Check::pass(format!("no significant difference from the baseline {name}: {figures}"))
        }
    }

    fn figures(&self, c: &PairedComparison) -> String {
        format!(
            "loss {:+.4} ({:.0} % bounds {:+.4} to {:+.4}) over {} outcomes in {} clusters",
            c.difference,
            self.confidence * 100.0,
            c.lower,
            c.upper,
            c.rows,
            c.clusters
        )
    }
}

fn compare_ranking(auc: &AucComparison) -> Check {
    let figures = format!("ROC AUC {:.3} vs {:.3} (z {:+.1})", auc.first, auc.second, auc.z());
    if !auc.is_worse() {
        Check::pass(format!("does not rank significantly worse than the model in production: {figures}"))
    } else if auc.second - auc.first > AUC_MARGIN {
        Check::reject(format!("rejected: ranks worse than the model in production: {figures}"))
    } else {
        Check::pass(format!("ranks worse than the model in production by a negligible difference: {figures}"))
    }
}

fn floor_check(name: &str, floor: f64, value: Option<&f64>) -> Check {
    match value {
        Some(v) if *v > floor => Check::pass(format!("{name} {v:.3} is above its floor of {floor:.3}")),
        Some(v) => Check::reject(format!("rejected: {name} {v:.3} is not above its floor of {floor:.3}")),
        None => {
            Check::reject(format!("rejected: {name} is undefined on the test set, its floor is {floor:.3}"))
        }
    }
}

/// Checks a first model: it must be significantly better than some baseline, or it has shown nothing. To be better than
/// one that fails, as the past's does where few labels are the host's, is not enough: each comparison with a baseline says
/// whether its loss is higher.
fn without_a_champion(baselines: &BTreeMap<String, PairedComparison>) -> Option<Check> {
    if baselines.is_empty() || baselines.values().any(|c| c.is_better() || c.difference > 0.0) {
        return None;
    }
    let more = baselines.values().filter_map(|c| c.rows_to_decide(0.0)).min();
    let more_text = more.map_or_else(
        || "its loss is lower than that of none".to_owned(),
        |more| format!("about {more} more outcomes may decide"),
    );
    let text = format!("inconclusive: not significantly better than any baseline; {more_text}");
    Some(Check::inconclusive(text, more))
}

#[cfg(test)]
mod tests;
