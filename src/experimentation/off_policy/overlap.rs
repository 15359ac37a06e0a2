//! Overlap of the log with the target policy (positivity).

use super::estimate::OffPolicyOptions;
use super::row::LoggedChoice;
use crate::ml::metrics::Moments;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Overlap of the logged choices with the target policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Overlap {
    /// Logged choices.
    pub(crate) rows: usize,
    /// Clusters that they fall into.
    pub(crate) clusters: usize,
    /// Effective sample size: (Σw)² / Σw² (Kish 1965).
    pub(crate) effective_rows: f64,
    /// The mean weight: 1 up to chance, if the propensities are right and nothing lacks support.
    pub(crate) mean_weight: f64,
    /// Standard error of the mean weight.
    pub(crate) mean_weight_error: f64,
    /// The largest importance weight.
    pub(crate) max_weight: f64,
    /// Share of the target policy's choices that could not have been logged.
    pub(crate) unsupported: f64,
}

/// The reason why there is no estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InsufficientOverlap {
    /// The policy chooses what was never tried.
    Unsupported {
        /// The share of its choices.
        share: f64,
    },
    /// The mean weight differs significantly from 1: the stored propensities are not those of the choices.
    PropensitiesDoNotFit {
        /// The mean weight.
        mean_weight: f64,
    },
    /// The effective sample size is too small.
    FewEffectiveRows {
        /// The effective sample size.
        effective: f64,
        /// The least that is needed.
        need: f64,
    },
    /// Too few clusters for an interval.
    FewClusters {
        /// Clusters there are.
        clusters: usize,
        /// Clusters that are needed.
        need: usize,
    },
}

/// A mean weight that far from 1, in standard errors, is significant: 6 in 100,000 by chance.
const SIGNIFICANT: f64 = 4.0;

/// Smaller differences than this do not matter, however significant.
const SLIGHT: f64 = 0.01;

impl Overlap {
    /// Computes the overlap of verified rows, at least one.
    pub(super) fn of(rows: &[LoggedChoice]) -> Self {
        let mut groups = BTreeMap::<u64, (f64, f64)>::new();
        let (mut sum, mut squares, mut largest, mut unsupported) = (0.0, 0.0, 0.0_f64, 0.0);
        let mut count = 0.0;
        for row in rows {
            let importance = row.importance();
            let group = groups.entry(row.cluster).or_default();
            group.0 += row.weight * importance;
            group.1 += row.weight;
            sum += row.weight * importance;
            squares += (row.weight * importance).powi(2);
            largest = largest.max(importance);
            count += row.weight;
            let lacking = row.target.iter().zip(&row.logged).filter(|(_, logged)| **logged == 0.0);
            unsupported += row.weight * lacking.map(|(target, _)| target).sum::<f64>();
        }
        let groups: Vec<_> = groups.into_values().collect();
        let Moments { mean, error } = Moments::of(&groups);
        Self {
            rows: rows.len(),
            clusters: groups.len(),
            effective_rows: if squares > 0.0 { sum * sum / squares } else { 0.0 },
            mean_weight: mean,
            mean_weight_error: error,
            max_weight: largest,
            unsupported: unsupported / count,
        }
    }

    /// Returns the reason why there can be no estimate, if any. `complete`: every row has all propensities.
    pub(in crate::experimentation) fn refusal(
        &self,
        options: &OffPolicyOptions,
        complete: bool,
    ) -> Option<InsufficientOverlap> {
        let off = self.mean_weight + self.unsupported - 1.0;
        let is_significant = off.abs() > SIGNIFICANT * self.mean_weight_error + SLIGHT;
        if self.unsupported > options.max_unsupported {
            Some(InsufficientOverlap::Unsupported { share: self.unsupported })
        } else if is_significant && off < 0.0 && !complete {
            Some(InsufficientOverlap::Unsupported { share: -off })
        } else if self.clusters < options.min_clusters {
            Some(InsufficientOverlap::FewClusters { clusters: self.clusters, need: options.min_clusters })
        } else if self.effective_rows < options.min_effective_rows {
            let (effective, need) = (self.effective_rows, options.min_effective_rows);
            Some(InsufficientOverlap::FewEffectiveRows { effective, need })
        } else if is_significant {
            Some(InsufficientOverlap::PropensitiesDoNotFit { mean_weight: self.mean_weight })
        } else {
            None
        }
    }
}

impl fmt::Display for InsufficientOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { share } => {
                write!(
                    f,
                    "{:.1} % of the choices of the policy were never tried: explore them first",
                    share * 100.0
                )
            }
            Self::PropensitiesDoNotFit { mean_weight } => write!(
                f,
                "the stored propensities are not those of the choices: the mean weight is {mean_weight:.2}, expected 1"
            ),
            Self::FewEffectiveRows { effective, need } => {
                write!(f, "the effective sample size is {effective:.0}, at least {need:.0} are needed")
            }
            Self::FewClusters { clusters, need } => {
                write!(f, "{clusters} clusters, at least {need} are needed for an interval")
            }
        }
    }
}
