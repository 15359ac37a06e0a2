//! The off-policy report, for a person to read.

use super::direct;
use super::estimate::{Estimator, OffPolicyOptions, PolicyAnswer, PolicyEstimate, estimate_policy};
use super::logged_dataset::{LoggedDataset, LoggedGeneration, Skipped};
use super::reward::cross_fit_ridge;
use super::row::LoggedChoice;
use crate::error::Result;
use crate::event::TaskContext;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Off-policy estimates for a policy on the logged dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The policy.
    pub(crate) policy: String,
    /// Share of generations approved without modification.
    pub success: PolicyEstimate,
    /// Mean cost in US dollars, over the generations where it is known; by the direct method where overlap is missing.
    pub cost: Option<PolicyEstimate>,
    /// Mean seconds, over the generations where they are known; by the direct method where overlap is missing.
    pub seconds: Option<PolicyEstimate>,
    /// Mean utility by [`Objective`](crate::routing::Objective), where cost and seconds are known.
    pub utility: Option<PolicyEstimate>,
    /// Generations that could not be used.
    pub(crate) skipped: Skipped,
}

impl PolicyReport {
    pub(super) fn of(
        policy: &str,
        logged: &LoggedDataset,
        choices: &[(LoggedChoice, Vec<String>)],
        options: &OffPolicyOptions,
    ) -> Result<Self> {
        let columns: Vec<_> = logged.generations.iter().map(|g| columns(&g.context)).collect();
        let estimate = |reward: &dyn Fn(&LoggedGeneration) -> Option<f64>,
                        directly: bool|
         -> Result<Option<PolicyEstimate>> {
            let (mut rows, mut known, mut names) = (Vec::new(), Vec::new(), Vec::new());
            for (i, (choice, candidates)) in choices.iter().enumerate() {
                if let Some(reward) = reward(&logged.generations[i]) {
                    rows.push(LoggedChoice { reward, ..choice.clone() });
                    known.push(columns[i].clone());
                    names.push(candidates.clone());
                }
            }
            if rows.is_empty() {
                return Ok(None);
            }
            // Clusters that are too few for a model are too few for an estimate.
            let has_model = cross_fit_ridge(&mut rows, options.folds, &known, &names).is_ok();
            let estimator = if has_model { Estimator::DoublyRobust } else { Estimator::SelfNormalized };
            let found = estimate_policy(&rows, estimator, options)?;
            let refused = directly && found.value().is_none();
            Ok(Some(if refused { direct::estimate(&mut rows, &known, &names, found) } else { found }))
        };
        let success = |g: &LoggedGeneration| Some(f64::from(u8::from(g.success)));
        let utility = |g: &LoggedGeneration| {
            Some(options.objective.utility(f64::from(u8::from(g.success)), g.cost?, g.seconds?))
        };
        let Some(success) = estimate(&success, false)? else {
            return Err(crate::Error::internal("a generation without an outcome was kept"));
        };
        Ok(Self {
            policy: policy.to_owned(),
            success,
            // What a candidate costs depends on its price and tokens, hardly on why it was chosen.
            cost: estimate(&|g| g.cost, true)?,
            seconds: estimate(&|g| g.seconds, true)?,
            utility: estimate(&utility, false)?,
            skipped: logged.skipped.clone(),
        })
    }
}

/// `policy B: success +4.1 % ± 2.0, cost -31 % ± 6, …`: success and utility as differences, the others relative to the
/// logged mean.
impl fmt::Display for PolicyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {}: ", self.policy)?;
        match self.success.answer {
            PolicyAnswer::InsufficientOverlap(reason) => write!(f, "insufficient overlap: {reason}")?,
            PolicyAnswer::Estimated { gain, .. } => {
                write!(f, "success {:+.1} % ± {:.1}", gain.value * 100.0, gain.half_width() * 100.0)?;
            }
        }
        for (name, found) in [("cost", &self.cost), ("seconds", &self.seconds)] {
            if let Some(PolicyEstimate {
                answer: PolicyAnswer::Estimated { relative: Some(share), .. },
                estimator,
                ..
            }) = found
            {
                write!(f, ", {name} {:+.0} % ± {:.0}", share.value * 100.0, share.half_width() * 100.0)?;
                if *estimator == Estimator::DirectMethod {
                    f.write_str(" by the direct method")?;
                }
            }
        }
        if let Some(gain) = self.utility.as_ref().and_then(PolicyEstimate::gain) {
            write!(f, ", utility {:+.3} ± {:.3}", gain.value, gain.half_width())?;
        }
        let overlap = &self.success.overlap;
        let (rows, effective, clusters) = (overlap.rows, overlap.effective_rows, overlap.clusters);
        write!(f, " ({rows} generations in {clusters} clusters, effective sample size {effective:.0})")?;
        self.skipped.invalid_note().map_or(Ok(()), |note| write!(f, "; left out: {note}"))
    }
}

/// Returns the columns of the reward model: nothing that was chosen.
fn columns(task: &TaskContext) -> Vec<String> {
    let named = [
        ("type", task.task_type.as_deref()),
        ("language", task.language.as_deref()),
        ("framework", task.framework.as_deref()),
        ("project", task.project_id.as_ref().map(crate::event::ProjectId::as_str)),
    ];
    let known = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    known.chain([format!("attempt={}", task.attempt.min(3))]).collect()
}
