//! A shallow tree that says in rules what a model predicts.

#[cfg(feature = "linfa")]
mod conditions;
#[cfg(feature = "linfa")]
mod fidelity;
#[cfg(feature = "linfa")]
mod table;
#[cfg(feature = "linfa")]
mod tree;

use crate::dataset::Target;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A global surrogate of a model (Molnar, *Interpretable Machine Learning*, 8.6): the rules of a shallow tree that was
/// fitted to its predictions, with their fidelity on rows that the tree has not seen. Rules explain the model, not the
/// world; what the fidelity leaves open they do not explain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Surrogate {
    /// Share of the variance of the model's predictions that the rules explain, on held-out rows; of logarithms where the
    /// predictions are seconds or tokens.
    pub r2: f64,
    /// Share of the pairs of held-out rows which the rules order as the model does, ties counting one half: .5 is chance.
    pub concordance: f64,
    /// The rules, the highest prediction first.
    pub(crate) rules: Vec<Rule>,
    /// Held-out rows.
    pub(crate) rows: usize,
    pub(crate) target: Target,
}

/// A leaf of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Sentences that are all true of its rows.
    pub(crate) conditions: Vec<String>,
    /// The model's mean prediction of them.
    pub(crate) prediction: f64,
    /// Their share of all rows.
    pub(crate) share: f64,
}

impl Surrogate {
    /// Returns a prediction as the rules show it.
    pub(crate) fn shown(&self, prediction: f64) -> String {
        match self.target {
            Target::Success => format!("{:.0} %", 100.0 * prediction),
            Target::Time => format!("{prediction:.0} s"),
            Target::Complexity | Target::Quality => format!("{prediction:.1} of 10"),
            _ => format!("{prediction:.0}"),
        }
    }

    /// Returns how well the rules say what the model predicts.
    pub(crate) fn fidelity(&self) -> String {
        format!(
            "R² {:.2} on {} rows that the rules were not made from; {:.0} % of pairs ordered as the model orders them",
            self.r2,
            self.rows,
            100.0 * self.concordance
        )
    }
}

impl Rule {
    /// Returns what is true of its rows, in one sentence.
    pub(crate) fn when(&self) -> String {
        if self.conditions.is_empty() { "always".to_owned() } else { self.conditions.join(", and ") }
    }
}

impl fmt::Display for Surrogate {
    /// One rule a line, the fidelity first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fidelity())?;
        self.rules.iter().try_for_each(|rule| {
            let (shown, share) = (self.shown(rule.prediction), 100.0 * rule.share);
            write!(f, "\n{shown} ({share:.0} % of tasks): {}", rule.when())
        })
    }
}
