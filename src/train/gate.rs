//! Whether a new model may go live.

use crate::error::{Error, Result};
use crate::evaluate::PairedComparison;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a new model must reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gate {
    /// Least value of a score by name (`accuracy`, `auc`, …) on the held-out rows; it must be above.
    pub floors: BTreeMap<String, f64>,
    /// Refuse a model whose loss is worse than this baseline's by more than chance; `None` skips.
    pub baselines: bool,
    /// Refuse a model whose loss is worse than that of the model in production on the same rows by
    /// more than chance.
    pub champion: bool,
}

/// What the gate says of a model, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateVerdict {
    /// Whether it may go live.
    pub promote: bool,
    /// Each check with its figures.
    pub reasons: Vec<String>,
}

/// The design's floors: accuracy above 0.75, area under the ROC curve above 0.80.
impl Default for Gate {
    fn default() -> Self {
        let floors = [("accuracy".to_owned(), 0.75), ("auc".to_owned(), 0.80)];
        Self { floors: floors.into(), baselines: true, champion: true }
    }
}

impl Gate {
    /// A gate without floors: a model need only not be worse than what there is.
    pub fn relative() -> Self {
        Self { floors: BTreeMap::new(), ..Self::default() }
    }

    /// The gate for models that predict no probability: floors of scores that only a probability has
    /// do not bind them.
    pub(crate) fn without_probability_floors(&self) -> Self {
        let mut gate = self.clone();
        gate.floors.retain(|name, _| !matches!(name.as_str(), "accuracy" | "auc"));
        gate
    }

    /// Checks that every floor is a number.
    ///
    /// # Errors
    /// `InvalidInput` naming the floor.
    pub fn verify(&self) -> Result<()> {
        match self.floors.iter().find(|(_, floor)| !floor.is_finite()) {
            Some((name, floor)) => {
                Err(Error::invalid(format!("the gate's floor of {name} is {floor}, expected a number")))
            }
            None => Ok(()),
        }
    }

    /// Judges a model by its scores and by its paired comparisons, each named, with the baselines
    /// and with the champion.
    pub fn judge(
        &self,
        scores: &BTreeMap<String, f64>,
        baselines: &BTreeMap<String, PairedComparison>,
        champion: Option<&PairedComparison>,
    ) -> GateVerdict {
        let floors = self.floors.iter().map(|(name, floor)| floor_check(name, *floor, scores.get(name)));
        let baselines = baselines
            .iter()
            .filter(|_| self.baselines)
            .map(|(name, c)| compared(&format!("baseline {name}"), c));
        let champion = champion.filter(|_| self.champion).map(|c| compared("model in production", c));
        let checks: Vec<_> = floors.chain(baselines).chain(champion).collect();
        GateVerdict {
            promote: checks.iter().all(|(passed, _)| *passed),
            reasons: checks.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

fn floor_check(name: &str, floor: f64, value: Option<&f64>) -> (bool, String) {
    match value {
        Some(v) if *v > floor => (true, format!("{name} {v:.3} is above the floor {floor:.3}")),
        Some(v) => (false, format!("refused: {name} {v:.3} is not above the floor {floor:.3}")),
        None => (false, format!("refused: {name} is not defined on these rows, its floor is {floor:.3}")),
    }
}

fn compared(with: &str, c: &PairedComparison) -> (bool, String) {
    let figures =
        format!("loss {:+.4} (90 % {:+.4} to {:+.4}) on {} rows", c.difference, c.lower, c.upper, c.rows);
    if c.is_worse() {
        (false, format!("refused: worse than the {with}: {figures}"))
    } else if c.is_better() {
        (true, format!("better than the {with}: {figures}"))
    } else {
        (true, format!("not worse than the {with}: {figures}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::compare_paired;

    fn scores(accuracy: f64, auc: f64) -> BTreeMap<String, f64> {
        [("accuracy".to_owned(), accuracy), ("auc".to_owned(), auc)].into()
    }

    fn comparison(shift: f64) -> PairedComparison {
        let first = vec![0.5 + shift; 50];
        compare_paired(&first, &[0.5; 50], &(0..50).collect::<Vec<_>>(), 1).unwrap()
    }

    #[test]
    fn floors_must_be_exceeded() {
        let judge = |a, b| Gate::default().judge(&scores(a, b), &BTreeMap::new(), None);
        assert!(judge(0.76, 0.81).promote);
        let refused = judge(0.75, 0.81);
        assert!(
            !refused.promote && refused.reasons[0].contains("accuracy 0.750 is not above the floor 0.750")
        );
        let undefined = Gate::default().judge(&BTreeMap::new(), &BTreeMap::new(), None);
        assert!(!undefined.promote);
        assert!(Gate { floors: [("auc".to_owned(), f64::NAN)].into(), ..Gate::default() }.verify().is_err());
    }

    #[test]
    fn a_worse_model_is_refused_and_an_equal_one_is_not() {
        let judge =
            |shift| Gate::relative().judge(&scores(0.5, 0.5), &BTreeMap::new(), Some(&comparison(shift)));
        assert!(!judge(0.1).promote);
        assert!(judge(0.0).promote && judge(-0.1).promote);
        let against = BTreeMap::from([("constant".to_owned(), comparison(0.1))]);
        assert!(!Gate::relative().judge(&scores(0.5, 0.5), &against, None).promote);
    }
}
