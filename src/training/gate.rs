//! Whether a new model may go live.

use crate::error::{Error, Result};
use crate::ml::metrics::{AucComparison, PairedComparison, compare_anytime_valid, compare_paired};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Quality gate for new models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gate {
    /// Least value of a score by name (`accuracy`, `auc`, …) on the held-out rows; it must be above.
    pub floors: BTreeMap<String, f64>,
    /// By how much its loss must be lower than that of the model in production, as a share of the
    /// latter, -1 to 1. Below 0 it may be that much higher: then fresher models that are no worse go
    /// live too ([`Gate::refreshing`]).
    pub margin: f64,
    /// How sure it must be, 0.5 to 0.999: the probability of not promoting a model that is no better.
    pub confidence: f64,
    /// Refuse a model that is worse than a baseline by more than chance, and hold a first one that is better
    /// than none beyond chance, or seems worse than one.
    pub baselines: bool,
    /// Compare it with the model in production.
    pub champion: bool,
}

/// What becomes of a model that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The improvement is statistically significant: the model may be promoted.
    Promote,
    /// It may be better, but there are too few outcomes to tell.
    Hold,
    /// It is worse, or not good enough.
    Refuse,
}

/// Decision of the gate on a model, with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateVerdict {
    /// What becomes of it.
    pub decision: Decision,
    /// Each check with its figures.
    pub reasons: Vec<String>,
    /// About how many more outcomes it would take to decide, where it is held and seems better.
    pub more_outcomes: Option<usize>,
}

/// The model in production beside the new one, on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgainstChampion {
    /// The new one's loss against that of the model in production.
    pub loss: PairedComparison,
    /// The mean loss of the model in production on these rows.
    pub champion_loss: f64,
    /// Their areas under the ROC curve, where outcomes are yes or no.
    pub auc: Option<AucComparison>,
}

/// The model in production, as far as it can be compared with.
#[derive(Debug, Clone, Copy)]
pub enum Champion<'a> {
    /// None is in production, or none that can be compared.
    None,
    /// One is, but too few rows are new to it.
    TooFewRows(usize),
    /// This is how the two compare.
    Compared(&'a AgainstChampion),
}

/// The design's floors: accuracy above 0.75, area under the ROC curve above 0.80.
impl Default for Gate {
    fn default() -> Self {
        let floors = [("accuracy".to_owned(), 0.75), ("auc".to_owned(), 0.80)];
        Self { floors: floors.into(), margin: 0.002, confidence: 0.95, baselines: true, champion: true }
    }
}

impl AgainstChampion {
    /// Compares the row losses of a new model with those of the one in production, once.
    ///
    /// # Errors
    /// Those of [`compare_paired`].
    pub fn once(own: &[f64], champion: &[f64], clusters: &[u64], confidence: f64, seed: u64) -> Result<Self> {
        let loss = compare_paired(own, champion, clusters, confidence, seed)?;
        Ok(Self { loss, champion_loss: mean(champion), auc: None })
    }

    /// Compares by an anytime-valid test, which allows interim analyses; `None` for too few rows.
    ///
    /// # Errors
    /// Those of [`compare_anytime_valid`].
    pub fn anytime(own: &[f64], champion: &[f64], clusters: &[u64], confidence: f64) -> Result<Option<Self>> {
        let loss = compare_anytime_valid(own, champion, clusters, confidence)?;
        Ok(loss.map(|loss| Self { loss, champion_loss: mean(champion), auc: None }))
    }

    /// Sets the comparison of the ROC AUCs.
    #[must_use]
    pub fn with_auc(self, auc: Option<AucComparison>) -> Self {
        Self { auc, ..self }
    }
}

/// Models that order nearly alike are told apart by differences too small to matter.
const AREA_MARGIN: f64 = 0.005;

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

impl GateVerdict {
    /// Returns true if the model may be promoted.
    pub fn promotes(&self) -> bool {
        self.decision == Decision::Promote
    }
}

impl Gate {
    /// A gate without floors: a model need only be better than what there is.
    pub fn relative() -> Self {
        Self { floors: BTreeMap::new(), ..Self::default() }
    }

    /// Returns a gate without floors that promotes a fresher model if it is non-inferior at a margin of 2 % of
    /// the loss, for non-stationary data, where keeping an old model is a risk too. A model that is no better
    /// is then promoted often; one that is worse is not.
    pub fn refreshing() -> Self {
        Self { margin: -0.02, ..Self::relative() }
    }

    /// The gate for models that predict no probability: floors of scores that only a probability has
    /// do not bind them.
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
            return Err(Error::invalid(format!("the gate's floor of {name} is {floor}, expected a number")));
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

    /// Judges a model by its scores and by its paired comparisons, each named, with the baselines
    /// and with the champion. Where there is no champion it must be better than a baseline instead, and
    /// seem worse than none.
    pub fn judge(
        &self,
        scores: &BTreeMap<String, f64>,
        baselines: &BTreeMap<String, PairedComparison>,
        champion: Champion<'_>,
    ) -> GateVerdict {
        let mut checks: Vec<Check> =
            self.floors.iter().map(|(name, floor)| floor_check(name, *floor, scores.get(name))).collect();
        if self.baselines {
            checks.extend(baselines.iter().map(|(name, c)| against_baseline(name, c)));
        }
        match champion {
            Champion::Compared(with) if self.champion => checks.extend(self.against_champion(with)),
            Champion::TooFewRows(rows) if self.champion => checks.push(Check::hold(
                format!("held: only {rows} outcomes are new to the model in production"),
                None,
            )),
            _ => checks.extend(without_a_champion(baselines).filter(|_| self.baselines)),
        }
        if checks.is_empty() {
            checks.push(Check::pass("passed: there was no incumbent or baseline to compare with".to_owned()));
        }
        decide(checks)
    }

    /// The comparison with the champion: worse is refused, not better held.
    pub(crate) fn against_champion(&self, with: &AgainstChampion) -> Vec<Check> {
        let AgainstChampion { loss, champion_loss, auc } = with;
        let margin = self.margin * champion_loss.abs();
        let figures = figures(loss);
        let wanted = if self.margin == 0.0 { String::new() } else { format!(", margin {margin:.4}") };
        let mut checks = vec![if loss.is_better_by(margin) {
            let how = if margin < 0.0 && !loss.is_better() { "not worse" } else { "better" };
            Check::pass(format!("{how} than the model in production: {figures}{wanted}"))
        } else if loss.is_worse() {
            Check::refuse(format!("refused: worse than the model in production: {figures}"))
        } else {
            let more = loss.rows_to_decide(margin);
            let more_text = more.map_or_else(
                || "it does not seem better".to_owned(),
                |more| format!("about {more} more outcomes may tell"),
            );
            Check::hold(
                format!(
                    "held: not significantly better than the model in production: {figures}{wanted}; {more_text}"
                ),
                more,
            )
        }];
        if let Some(auc) = auc {
            let figures = format!("area {:.3} against {:.3} (z {:+.1})", auc.first, auc.second, auc.z());
            checks.push(if auc.is_worse() && auc.second - auc.first > AREA_MARGIN {
                Check::refuse(format!("refused: orders worse than the model in production: {figures}"))
            } else {
                Check::pass(format!("orders no worse than the model in production: {figures}"))
            });
        }
        checks
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        })
    }
}

/// One check of a gate.
#[derive(Debug)]
pub(crate) struct Check {
    decision: Decision,
    reason: String,
    more: Option<usize>,
}

impl Check {
    pub(crate) fn pass(reason: String) -> Self {
        Self { decision: Decision::Promote, reason, more: None }
    }

    pub(crate) fn hold(reason: String, more: Option<usize>) -> Self {
        Self { decision: Decision::Hold, reason, more }
    }

    pub(crate) fn refuse(reason: String) -> Self {
        Self { decision: Decision::Refuse, reason, more: None }
    }
}

/// One check that refuses is enough, then one that holds.
pub(crate) fn decide(checks: Vec<Check>) -> GateVerdict {
    let any = |decision| checks.iter().any(|check| check.decision == decision);
    let decision = if any(Decision::Refuse) {
        Decision::Refuse
    } else if any(Decision::Hold) {
        Decision::Hold
    } else {
        Decision::Promote
    };
    let more_outcomes = checks.iter().filter_map(|c| c.more).max().filter(|_| decision == Decision::Hold);
    GateVerdict { decision, reasons: checks.into_iter().map(|c| c.reason).collect(), more_outcomes }
}

fn floor_check(name: &str, floor: f64, value: Option<&f64>) -> Check {
    match value {
        Some(v) if *v > floor => Check::pass(format!("{name} {v:.3} is above the floor {floor:.3}")),
        Some(v) => Check::refuse(format!("refused: {name} {v:.3} is not above the floor {floor:.3}")),
        None => {
            Check::refuse(format!("refused: {name} is not defined on these rows, its floor is {floor:.3}"))
        }
    }
}

fn against_baseline(name: &str, c: &PairedComparison) -> Check {
    let figures = figures(c);
    if c.is_worse() {
        Check::refuse(format!("refused: worse than the baseline {name}: {figures}"))
    } else if c.is_better() {
        Check::pass(format!("better than the baseline {name}: {figures}"))
    } else {
        Check::pass(format!("not worse than the baseline {name}: {figures}"))
    }
}

/// Without a champion a model must be better than some baseline, or it has shown nothing; and to be better
/// than one that fails, as the past's does where few labels are the host's, is not enough.
fn without_a_champion(baselines: &BTreeMap<String, PairedComparison>) -> Option<Check> {
    let (name, best) = baselines.iter().max_by(|a, b| a.1.difference.total_cmp(&b.1.difference))?;
    if best.difference > 0.0 {
        return Some(Check::hold(format!("held: seems worse than the baseline {name}"), None));
    }
    if baselines.values().any(PairedComparison::is_better) {
        return None;
    }
    let more = baselines.values().filter_map(|c| c.rows_to_decide(0.0)).min();
    let more_text = more.map_or_else(
        || "it does not seem better than any".to_owned(),
        |more| format!("about {more} more outcomes may tell"),
    );
    Some(Check::hold(format!("held: not significantly better than any baseline: {more_text}"), more))
}

fn figures(c: &PairedComparison) -> String {
    format!(
        "loss {:+.4} ({:+.4} to {:+.4}) on {} outcomes in {} clusters",
        c.difference, c.lower, c.upper, c.rows, c.clusters
    )
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
        let judge = |a, b| Gate::default().judge(&scores(a, b), &better, Champion::None);
        assert!(judge(0.76, 0.81).promotes());
        let refused = judge(0.75, 0.81);
        assert_eq!(refused.decision, Decision::Refuse);
        assert!(refused.reasons[0].contains("accuracy 0.750 is not above the floor 0.750"));
        let undefined = Gate::default().judge(&BTreeMap::new(), &better, Champion::None);
        assert_eq!(undefined.decision, Decision::Refuse);
    }

    #[test]
    fn better_is_promoted_worse_refused_and_the_rest_held() {
        let judge = |shift| {
            let champion = against(shift);
            Gate::relative().judge(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion))
        };
        assert_eq!(judge(0.1).decision, Decision::Refuse);
        assert_eq!(judge(-0.1).decision, Decision::Promote);
        let held = judge(0.0);
        assert_eq!((held.decision, held.more_outcomes), (Decision::Hold, None));
        let nearly = judge(-0.0015);
        assert_eq!(nearly.decision, Decision::Hold, "{nearly:?}");
        assert!(nearly.more_outcomes.is_some_and(|n| n > 0), "{nearly:?}");
        assert!(nearly.reasons[0].contains("more outcomes may tell"));
    }

    #[test]
    fn a_refreshing_gate_lets_equals_pass_and_no_worse_ones() {
        let judge = |shift| {
            let champion = against(shift);
            Gate::refreshing().judge(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion))
        };
        assert!(judge(0.0).promotes() && !judge(0.03).promotes());
    }

    #[test]
    fn losing_to_a_baseline_or_the_order_is_refused() {
        let champion = against(-0.1);
        let lost = BTreeMap::from([("constant".to_owned(), comparison(0.1))]);
        let verdict = Gate::relative().judge(&BTreeMap::new(), &lost, Champion::Compared(&champion));
        assert_eq!(verdict.decision, Decision::Refuse);
        let y: Vec<_> = (0..200).map(|i| i % 2 == 0).collect();
        let good: Vec<_> = (0..200).map(|i| f64::from(u8::from(i % 2 == 0 || i % 5 == 0))).collect();
        let bad: Vec<_> = (0..200).map(|i| f64::from(i % 7)).collect();
        let auc = compare_auc(&bad, &good, &y).unwrap();
        let champion = AgainstChampion { auc, ..against(-0.1) };
        let verdict =
            Gate::relative().judge(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion));
        assert_eq!(verdict.decision, Decision::Refuse, "{verdict:?}");
    }

    #[test]
    fn without_a_champion_something_must_be_shown() {
        let judge = |shift| {
            let baselines = BTreeMap::from([("constant".to_owned(), comparison(shift))]);
            Gate::relative().judge(&BTreeMap::new(), &baselines, Champion::None).decision
        };
        assert_eq!(
            [judge(-0.1), judge(0.0), judge(0.1)],
            [Decision::Promote, Decision::Hold, Decision::Refuse]
        );
        let beside_one_that_fails = |shift| {
            let constant = ("constant".to_owned(), comparison(shift));
            let baselines = [constant, ("past".to_owned(), comparison(-0.3))].into();
            Gate::relative().judge(&BTreeMap::new(), &baselines, Champion::None)
        };
        assert!(beside_one_that_fails(-0.0001).promotes());
        let held = beside_one_that_fails(0.0004);
        assert_eq!(held.decision, Decision::Hold);
        assert!(held.reasons[2].contains("seems worse than the baseline constant"), "{held:?}");
        let few = Gate::relative().judge(&BTreeMap::new(), &BTreeMap::new(), Champion::TooFewRows(7));
        assert_eq!(few.decision, Decision::Hold);
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
