//! Does the log hold enough of what the target policy would do?

use super::estimate::OffPolicyOptions;
use super::row::LoggedChoice;
use crate::ml::metrics::Moments;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How much of what the target policy would do the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overlap {
    /// Logged choices.
    pub rows: usize,
    /// Clusters that they fall into.
    pub clusters: usize,
    /// How many choices of the target policy's own they are worth: (Σw)² / Σw² (Kish 1965).
    pub effective_rows: f64,
    /// The mean weight: 1 but for chance, if the odds are right and nothing lacks.
    pub mean_weight: f64,
    /// Standard error of the mean weight.
    pub mean_weight_error: f64,
    /// The largest weight: how much likelier the target policy was to choose so.
    pub max_weight: f64,
    /// Share of the target policy's choices that could not have been logged.
    pub unsupported: f64,
}

/// Why no value can be given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InsufficientOverlap {
    /// So large a share of what the policy would choose was never tried.
    Unsupported {
        /// The share of its choices.
        share: f64,
    },
    /// The mean weight is not 1 beyond chance: the stored odds are not those of the choices.
    PropensitiesDoNotFit {
        /// The mean weight.
        mean_weight: f64,
    },
    /// The policy would hardly ever have chosen as was chosen.
    FewEffectiveRows {
        /// What the rows are worth.
        effective: f64,
        /// What is needed.
        need: f64,
    },
    /// Too few clusters to tell chance from more.
    FewClusters {
        /// Clusters there are.
        clusters: usize,
        /// Clusters that are needed.
        need: usize,
    },
}

/// A mean weight that far from 1, in standard errors, is no chance.
const BEYOND_CHANCE: f64 = 4.0;

/// Nor is less than this of interest.
const SLIGHT: f64 = 0.01;

impl Overlap {
    /// Looks at verified rows, at least one.
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

    /// Why nothing can be said, where so. `complete` says that every row has the odds of all candidates.
    pub(in crate::experimentation) fn refusal(
        &self,
        options: &OffPolicyOptions,
        complete: bool,
    ) -> Option<InsufficientOverlap> {
        let off = self.mean_weight + self.unsupported - 1.0;
        let no_chance = off.abs() > BEYOND_CHANCE * self.mean_weight_error + SLIGHT;
        if self.unsupported > options.max_unsupported {
            Some(InsufficientOverlap::Unsupported { share: self.unsupported })
        } else if no_chance && off < 0.0 && !complete {
            Some(InsufficientOverlap::Unsupported { share: -off })
        } else if self.clusters < options.min_clusters {
            Some(InsufficientOverlap::FewClusters { clusters: self.clusters, need: options.min_clusters })
        } else if self.effective_rows < options.min_effective_rows {
            let (effective, need) = (self.effective_rows, options.min_effective_rows);
            Some(InsufficientOverlap::FewEffectiveRows { effective, need })
        } else if no_chance {
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
                write!(f, "{:.1} % of what it would choose was never tried: explore it first", share * 100.0)
            }
            Self::PropensitiesDoNotFit { mean_weight } => write!(
                f,
                "the stored odds are not those of the choices: the mean weight is {mean_weight:.2}, not 1"
            ),
            Self::FewEffectiveRows { effective, need } => {
                write!(f, "the log is worth {effective:.0} of its own choices, {need:.0} are needed")
            }
            Self::FewClusters { clusters, need } => {
                write!(f, "{clusters} clusters, {need} are needed to tell chance from more")
            }
        }
    }
}
