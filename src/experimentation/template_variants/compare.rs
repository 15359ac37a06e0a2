//! Two templates in the tasks in which either could have been chosen.

use super::evaluation::EvolutionOptions;
use super::logged_templates::TemplateOutcome;
use crate::event::TemplateId;
use crate::experimentation::ab_tests::radius;
use crate::ml::metrics::Moments;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A template's mean reward minus another's, with an interval that holds at all looks at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TemplateContrast {
    /// The template.
    pub template: TemplateId,
    /// What it is compared with.
    pub against: TemplateId,
    /// In which context; `None` for all of them together.
    pub context: Option<String>,
    /// The template's mean minus the other's.
    pub difference: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Each end errs at any look with this probability.
    pub alpha: f64,
    /// Tasks in which either could have been chosen.
    pub tasks: usize,
    /// Tasks that used the template.
    pub uses: usize,
    /// Tasks that used the other.
    pub against_uses: usize,
}

/// An outcome and what it is worth.
pub(super) type Rewarded<'a> = (&'a TemplateOutcome, f64);

/// Compares `template` with `against` on outcomes in the order of their starts; `None` where either was
/// used too seldom.
///
/// Every task adds the difference of what was expected of both by those before it, corrected by the
/// weighted residual of what was chosen (augmented inverse propensity weighting, Robins, Rotnitzky and
/// Zhao 1994): its mean is the difference whatever the odds hung on. The interval is an asymptotic
/// confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024).
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
    let (alone, together) = (Moments::of(&rows), Moments::of(&groups));
    let variance = alone.error.max(together.error).powi(2);
    // The bound is for both ends at once.
    let radius = radius(variance, options.effect, 2.0 * alpha);
    Some(TemplateContrast {
        template: template.clone(),
        against: against.clone(),
        context: context.map(str::to_owned),
        difference: alone.mean,
        lower: alone.mean - radius,
        upper: alone.mean + radius,
        alpha,
        tasks: rows.len(),
        uses: uses[0],
        against_uses: uses[1],
    })
}

/// The mean of what came before.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

/// Outcomes of both together that an arm's own mean starts from.
const PRIOR: f64 = 5.0;

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// The mean of each, drawn to that of both together by how few there are.
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
