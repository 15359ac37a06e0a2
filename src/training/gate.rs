//! The promotion gate: decides whether a new model goes live.

use crate::error::{Error, Result};
use crate::ml::metrics::{AucComparison, PairedComparison, compare_anytime_valid, compare_paired};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Requirements that a new model must meet to go live.
///
/// By default it must be better than the model in production, and than the baselines; [`Gate::with_floors`]
/// adds the design's absolute floors, which few real streams reach.
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
    /// its seed alone is not promoted. `cargo test --test gate -- --nocapture` measures what it costs.
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

/// Decision of the gate on an evaluated model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateDecision {
    /// It is significantly better: it may go live.
    Promote,
    /// It may be better, but there are too few outcomes to decide.
    #[serde(alias = "hold")]
    Inconclusive,
    /// It is worse, or not good enough.
    #[serde(alias = "refuse")]
    Reject,
}

/// Verdict of the gate on a model, with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateVerdict {
    /// The decision.
    pub decision: GateDecision,
    /// Each check with its figures.
    pub reasons: Vec<String>,
    /// Estimate of how many more outcomes it takes to decide, where it is inconclusive and seems better.
    pub more_outcomes: Option<usize>,
}

/// Paired comparison of a new model with the model in production on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgainstChampion {
    /// The new model's loss minus that of the model in production.
    pub loss: PairedComparison,
    /// Mean loss of the model in production on these rows.
    pub(crate) champion_loss: f64,
    /// Their ROC AUC, where outcomes are binary.
    pub auc: Option<AucComparison>,
}

/// The model in production, as far as a new model can be compared with it.
#[derive(Debug, Clone, Copy)]
pub enum Champion<'a> {
    /// No model is in production, or none that can be compared.
    None,
    /// A model is in production, but only so many rows are new to it.
    TooFewRows(usize),
    /// The comparison of the two.
    Compared(&'a AgainstChampion),
}

impl Default for Gate {
    fn default() -> Self {
        Self { floors: BTreeMap::new(), margin: 0.002, confidence: 0.95, baselines: true, champion: true }
    }
}

impl AgainstChampion {
    /// Compares the row losses of a new model with those of the model in production by a fixed-horizon test.
    ///
    /// # Errors
    /// Those of [`compare_paired`].
    pub fn once(own: &[f64], champion: &[f64], clusters: &[u64], confidence: f64, seed: u64) -> Result<Self> {
        let loss = compare_paired(own, champion, clusters, confidence, seed)?;
        Ok(Self { loss, champion_loss: mean(champion), auc: None })
    }

    /// Compares them by an anytime-valid test, which may be repeated with every new outcome; `None` for too
    /// few rows.
    ///
    /// # Errors
    /// Those of [`compare_anytime_valid`].
    pub fn anytime(own: &[f64], champion: &[f64], clusters: &[u64], confidence: f64) -> Result<Option<Self>> {
        let loss = compare_anytime_valid(own, champion, clusters, confidence)?;
        Ok(loss.map(|loss| Self { loss, champion_loss: mean(champion), auc: None }))
    }

    /// Sets the comparison of their ROC AUC.
    #[must_use]
    pub fn with_auc(self, auc: Option<AucComparison>) -> Self {
        Self { auc, ..self }
    }
}

/// Loss of ROC AUC that is tolerated. Its test (`compare_auc`) finds differences that do not matter significant where
/// two models rank nearly alike; a larger value lets worse rankings pass, and `cargo test --test gate` counts
/// how often.
const AUC_MARGIN: f64 = 0.005;

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

impl GateVerdict {
    /// Returns whether the model may go live.
    pub fn promotes(&self) -> bool {
        self.decision == GateDecision::Promote
    }
}

impl Gate {
    /// Creates the default gate: no floors; a model must be better than the model in production and than the
    /// baselines.
    pub fn relative() -> Self {
        Self::default()
    }

    /// Creates a gate with the design's floors besides: accuracy above 0.75 and ROC AUC above 0.80.
    pub fn with_floors() -> Self {
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
    pub fn verify(&self) -> Result<()> {
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
    pub fn evaluate(
        &self,
        scores: &BTreeMap<String, f64>,
        baselines: &BTreeMap<String, PairedComparison>,
        champion: Champion<'_>,
    ) -> GateVerdict {
        let mut checks: Vec<Check> =
            self.floors.iter().map(|(name, floor)| floor_check(name, *floor, scores.get(name))).collect();
        if self.baselines {
            checks.extend(baselines.iter().map(|(name, c)| self.against_baseline(name, c)));
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

    fn against_baseline(&self, name: &str, c: &PairedComparison) -> Check {
        let figures = self.figures(c);
        if c.is_worse() {
            Check::reject(format!("rejected: significantly worse than the baseline {name}: {figures}"))
        } else if c.is_better() {
            Check::pass(format!("significantly better than the baseline {name}: {figures}"))
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

impl fmt::Display for GateDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Inconclusive => "inconclusive",
            Self::Reject => "reject",
        })
    }
}

/// One check of a gate.
#[derive(Debug)]
pub(crate) struct Check {
    decision: GateDecision,
    reason: String,
    more: Option<usize>,
}

impl Check {
    pub(crate) fn pass(reason: String) -> Self {
        Self { decision: GateDecision::Promote, reason, more: None }
    }

    pub(crate) fn inconclusive(reason: String, more: Option<usize>) -> Self {
        Self { decision: GateDecision::Inconclusive, reason, more }
    }

    pub(crate) fn reject(reason: String) -> Self {
        Self { decision: GateDecision::Reject, reason, more: None }
    }
}

/// Combines checks: one that rejects decides, then one that is inconclusive.
pub(crate) fn decide(checks: Vec<Check>) -> GateVerdict {
    let any = |decision| checks.iter().any(|check| check.decision == decision);
    let decision = if any(GateDecision::Reject) {
        GateDecision::Reject
    } else if any(GateDecision::Inconclusive) {
        GateDecision::Inconclusive
    } else {
        GateDecision::Promote
    };
    let more_outcomes =
        checks.iter().filter_map(|c| c.more).max().filter(|_| decision == GateDecision::Inconclusive);
    GateVerdict { decision, reasons: checks.into_iter().map(|c| c.reason).collect(), more_outcomes }
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

/// Checks a first model: it must be significantly better than some baseline, or it has shown nothing; and to
/// be better than one that fails, as the past's does where few labels are the host's, is not enough.
fn without_a_champion(baselines: &BTreeMap<String, PairedComparison>) -> Option<Check> {
    let (name, best) = baselines.iter().max_by(|a, b| a.1.difference.total_cmp(&b.1.difference))?;
    if best.difference > 0.0 {
        let text = format!("inconclusive: its loss is higher than that of the baseline {name}");
        return Some(Check::inconclusive(text, None));
    }
    if baselines.values().any(PairedComparison::is_better) {
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
mod tests {
    use super::*;
    use crate::ml::metrics::compare_auc;

    fn scores(accuracy: f64, auc: f64) -> BTreeMap<String, f64> {
        [("accuracy".to_owned(), accuracy), ("auc".to_owned(), auc)].into()
    }

    /// Losses of about 0.5, the first higher by `shift`, with some noise.
    fn comparison(shift: f64) -> PairedComparison {
        let first: Vec<_> = (0..200).map(|i| 0.5 + shift + 0.01 * f64::from(i % 5 - 2)).collect();
        compare_paired(&first, &[0.5; 200], &(0..200).collect::<Vec<_>>(), 0.95, 1).unwrap()
    }

    fn against(shift: f64) -> AgainstChampion {
        AgainstChampion { loss: comparison(shift), champion_loss: 0.5, auc: None }
    }

    #[test]
    fn floors_must_be_exceeded() {
        let better = BTreeMap::from([("constant".to_owned(), comparison(-0.1))]);
        let evaluate = |a, b| Gate::with_floors().evaluate(&scores(a, b), &better, Champion::None);
        assert!(evaluate(0.76, 0.81).promotes());
        let rejected = evaluate(0.75, 0.81);
        assert_eq!(rejected.decision, GateDecision::Reject);
        assert!(rejected.reasons[0].contains("accuracy 0.750 is not above its floor of 0.750"));
        let undefined = Gate::with_floors().evaluate(&BTreeMap::new(), &better, Champion::None);
        assert_eq!(undefined.decision, GateDecision::Reject);
    }

    #[test]
    fn better_is_promoted_worse_rejected_and_the_rest_inconclusive() {
        let evaluate = |shift| {
            let champion = against(shift);
            Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion))
        };
        assert_eq!(evaluate(0.1).decision, GateDecision::Reject);
        assert_eq!(evaluate(-0.1).decision, GateDecision::Promote);
        let undecided = evaluate(0.0);
        assert_eq!((undecided.decision, undecided.more_outcomes), (GateDecision::Inconclusive, None));
        let nearly = evaluate(-0.0015);
        assert_eq!(nearly.decision, GateDecision::Inconclusive, "{nearly:?}");
        assert!(nearly.more_outcomes.is_some_and(|n| n > 0), "{nearly:?}");
        assert!(nearly.reasons[0].contains("more outcomes may decide"));
    }

    #[test]
    fn a_refreshing_gate_lets_equals_pass_and_no_worse_ones() {
        let evaluate = |shift| {
            let champion = against(shift);
            Gate::refreshing().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion))
        };
        assert!(evaluate(0.0).promotes() && !evaluate(0.03).promotes());
    }

    #[test]
    fn worse_than_a_baseline_or_a_worse_ranking_is_rejected() {
        let champion = against(-0.1);
        let lost = BTreeMap::from([("constant".to_owned(), comparison(0.1))]);
        let verdict = Gate::default().evaluate(&BTreeMap::new(), &lost, Champion::Compared(&champion));
        assert_eq!(verdict.decision, GateDecision::Reject);
        let y: Vec<_> = (0..200).map(|i| i % 2 == 0).collect();
        let good: Vec<_> = (0..200).map(|i| f64::from(u8::from(i % 2 == 0 || i % 5 == 0))).collect();
        let bad: Vec<_> = (0..200).map(|i| f64::from(i % 7)).collect();
        let auc = compare_auc(&bad, &good, &y).unwrap();
        let champion = AgainstChampion { auc, ..against(-0.1) };
        let verdict =
            Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion));
        assert_eq!(verdict.decision, GateDecision::Reject, "{verdict:?}");
    }

    #[test]
    fn a_first_model_must_be_better_than_a_baseline() {
        let evaluate = |shift| {
            let baselines = BTreeMap::from([("constant".to_owned(), comparison(shift))]);
            Gate::default().evaluate(&BTreeMap::new(), &baselines, Champion::None).decision
        };
        assert_eq!(
            [evaluate(-0.1), evaluate(0.0), evaluate(0.1)],
            [GateDecision::Promote, GateDecision::Inconclusive, GateDecision::Reject]
        );
        let beside_one_that_fails = |shift| {
            let constant = ("constant".to_owned(), comparison(shift));
            let baselines = [constant, ("past".to_owned(), comparison(-0.3))].into();
            Gate::default().evaluate(&BTreeMap::new(), &baselines, Champion::None)
        };
        assert!(beside_one_that_fails(-0.0001).promotes());
        let undecided = beside_one_that_fails(0.0004);
        assert_eq!(undecided.decision, GateDecision::Inconclusive);
        assert!(
            undecided.reasons[2].contains("its loss is higher than that of the baseline constant"),
            "{undecided:?}"
        );
        let few = Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::TooFewRows(7));
        assert_eq!(few.decision, GateDecision::Inconclusive);
    }

    #[test]
    fn the_reasons_of_a_verdict_do_not_contradict_each_other() {
        for shift in [-0.1, -0.0015, 0.0, 0.002, 0.1] {
            for gate in [Gate::default(), Gate::refreshing()] {
                let (champion, baselines) = (against(shift), [("past".to_owned(), comparison(shift))].into());
                for champion in [Champion::Compared(&champion), Champion::None] {
                    let GateVerdict { decision, reasons, .. } =
                        gate.evaluate(&BTreeMap::new(), &baselines, champion);
                    let any = |word: &str| reasons.iter().any(|reason| reason.starts_with(word));
                    assert_eq!(any("rejected"), decision == GateDecision::Reject, "{reasons:?}");
                    assert!(decision != GateDecision::Inconclusive || any("inconclusive"), "{reasons:?}");
                    let better = reasons.iter().any(|r| r.starts_with("significantly better"));
                    assert!(!(better && shift >= 0.0), "{reasons:?}");
                }
            }
        }
    }

    #[test]
    fn verdicts_of_earlier_releases_are_read() {
        let decision = |text: &str| serde_json::from_str::<GateDecision>(text).unwrap();
        assert_eq!(decision(r#""hold""#), GateDecision::Inconclusive);
        assert_eq!(decision(r#""refuse""#), GateDecision::Reject);
        assert_eq!(decision(r#""inconclusive""#), GateDecision::Inconclusive);
    }

    #[test]
    fn options_out_of_range_are_named() {
        let wrong = |gate: Gate| gate.verify().unwrap_err().to_string();
        let nan = f64::NAN;
        assert!(wrong(Gate { floors: [("auc".to_owned(), nan)].into(), ..Gate::default() }).contains("auc"));
        assert!(wrong(Gate { margin: nan, ..Gate::default() }).contains("margin is NaN"));
        assert!(wrong(Gate { confidence: 1.0, ..Gate::default() }).contains("confidence is 1"));
    }
}
