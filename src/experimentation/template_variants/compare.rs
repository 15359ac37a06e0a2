//! Comparison of two templates on the tasks in which either could have been chosen.

use super::evaluation::EvolutionOptions;
use super::logged_templates::TemplateOutcome;
use crate::event::TemplateId;
use crate::experimentation::ab_tests::{beyond_rounding, radius};
use crate::experimentation::unbounded;
use crate::ml::metrics::Moments;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A template's mean reward minus another's, with an anytime-valid interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TemplateContrast {
    pub(super) template: TemplateId,
    pub(super) against: TemplateId,
    /// `None` for all contexts together.
    pub(super) context: Option<String>,
    /// The template's mean minus the other's.
    pub(super) difference: f64,
    #[serde(deserialize_with = "unbounded::below")]
    pub(super) lower: f64,
    #[serde(deserialize_with = "unbounded::above")]
    pub(super) upper: f64,
    /// Error probability of each end over all analyses.
    pub(super) alpha: f64,
    /// Tasks in which either could have been chosen.
    pub(super) tasks: usize,
    /// Tasks that used the template.
    pub(super) uses: usize,
    /// Tasks that used the other.
    pub(super) against_uses: usize,
}

/// An outcome and its reward.
pub(super) type Rewarded<'a> = (&'a TemplateOutcome, f64);

/// Compares `template` with `against` on outcomes in the order of their starts; `None` where either was
/// used too seldom.
///
/// Every task adds the difference of both expected rewards by the tasks before it, corrected by the weighted residual of
/// the choice (augmented inverse propensity weighting: Robins, Rotnitzky and Zhao 1994): its mean is unbiased whatever
/// the propensities depend on. The interval is an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy
/// and Ramdas 2024).
pub(super) fn contrast(
    outcomes: &[Rewarded<'_>],
    [template, against]: [&TemplateId; 2],
    context: Option<&str>,
    alpha: f64,
    options: &EvolutionOptions,
) -> Option<TemplateContrast> {
    let mut expected = HashMap::<&str, [Mean; 2]>::new();
    let (mut rows, mut groups) = (Vec::new(), BTreeMap::<u64, (f64, f64)>::new());
    let mut uses = [0, 0];
    for (outcome, reward) in outcomes.iter().filter(|(o, _)| context.is_none_or(|name| o.context == name)) {
        let (Some(own), Some(other)) = (outcome.weights.get(template), outcome.weights.get(against)) else {
            continue;
        };
        let means = expected.entry(&outcome.context).or_default();
        let [a, b] = Mean::both(means);
        let part = a - b + own * (reward - a) - other * (reward - b);
        for ((mean, weight), used) in means.iter_mut().zip([*own, *other]).zip(&mut uses) {
            if weight > 0.0 {
                mean.add(*reward);
                *used += 1;
            }
        }
        rows.push((part, 1.0));
        let group = groups.entry(outcome.cluster).or_default();
        *group = (group.0 + part, group.1 + 1.0);
    }
    if uses.iter().any(|used| *used < options.min_uses) {
        return None;
    }
    let groups: Vec<_> = groups.into_values().collect();
    let (by_task, by_cluster) = (Moments::of(&rows), Moments::of(&groups));
    let scale = rows.iter().map(|(part, _)| part.abs()).fold(0.0, f64::max);
    let variance = beyond_rounding(by_task.error.max(by_cluster.error).powi(2), scale);
    // The radius is for both ends at once.
    let radius = radius(variance, options.effect, 2.0 * alpha);
    Some(TemplateContrast {
        template: template.clone(),
        against: against.clone(),
        context: context.map(str::to_owned),
        difference: by_task.mean,
        lower: by_task.mean - radius,
        upper: by_task.mean + radius,
        alpha,
        tasks: rows.len(),
        uses: uses[0],
        against_uses: uses[1],
    })
}

/// A running mean.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

/// Strength of the prior in outcomes: small enough to follow some dozens, large enough for the first few.
const PRIOR: f64 = 5.0;

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// Returns the mean of each, shrunk toward that of both together.
    fn both(means: &[Self; 2]) -> [f64; 2] {
        let (sum, count) = means.iter().fold((0.0, 0.0), |(s, n), mean| (s + mean.sum, n + mean.count));
        let common = if count > 0.0 { sum / count } else { 0.0 };
        means.map(|mean| (mean.sum + PRIOR * common) / (mean.count + PRIOR))
    }
}

impl fmt::Display for TemplateContrast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { against, difference, lower, upper, .. } = self;
        write!(f, "{difference:+.3} ({lower:+.3} to {upper:+.3}) against {against}")?;
        if let Some(context) = &self.context {
            write!(f, " in {context}")?;
        }
        write!(f, ", {} uses against {}", self.uses, self.against_uses)
    }
}
