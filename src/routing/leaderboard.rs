//! The LLM leaderboard.

use super::state::{MOST_COUNTED, sound};
use crate::error::Result;
use crate::event::TaskContext;
use crate::ml::wilson;
use crate::stats::distributions::normal_cdf;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The statistics of one LLM at one type of task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaderboardEntry {
    /// The type of task; empty for tasks without one.
    pub task_type: String,
    /// The LLM.
    pub llm: String,
    /// Win probability, 0 to 1: the posterior probability that its success rate is the highest at this type.
    #[serde(alias = "weight")]
    pub win_probability: f64,
    /// Its success rate; newer outcomes count more.
    pub rate: f64,
    /// The 90 % interval of the rate.
    pub interval: (f64, f64),
    /// Effective outcomes after decay.
    pub(crate) evidence: f64,
    /// All outcomes.
    pub outcomes: u64,
}

/// Counts of outcomes by type of task and LLM.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Records {
    groups: BTreeMap<(String, String), Record>,
    /// Outcomes by LLM.
    llms: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    n: f64,
    successes: f64,
    outcomes: u64,
}

/// Decay with each outcome of a group: the effective sample is the last 300 outcomes. Fewer follow changes sooner, more
/// give narrower intervals.
const DECAY: f64 = 1.0 - 1.0 / 300.0;
/// Groups at most: names are unbounded.
const MOST_GROUPS: usize = 10_000;

impl Records {
    pub(super) fn learn(&mut self, task: &TaskContext, success: bool) {
        let Some(llm) = task.model_used.as_ref() else { return };
        let key = (task.task_type.clone().unwrap_or_default(), llm.clone());
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
            return;
        }
        let record = self.groups.entry(key).or_default();
        record.n = record.n * DECAY + 1.0;
        record.successes = record.successes * DECAY + f64::from(u8::from(success));
        record.outcomes += 1;
        *self.llms.entry(llm.clone()).or_default() += 1;
    }

    /// Returns the outcomes of an LLM.
    pub(super) fn outcomes(&self, llm: &str) -> u64 {
        self.llms.get(llm).copied().unwrap_or(0)
    }

    /// Returns the entries by type of task, the highest win probability first.
    pub(super) fn leaderboard(&self) -> Vec<LeaderboardEntry> {
        let mut rows: Vec<LeaderboardEntry> = Vec::with_capacity(self.groups.len());
        let all: Vec<_> = self.groups.iter().collect();
        for of_type in all.chunk_by(|a, b| a.0.0 == b.0.0) {
            let posteriors: Vec<_> = of_type.iter().map(|(_, record)| record.normal()).collect();
            let mut of_type: Vec<_> = of_type
                .iter()
                .zip(highest(&posteriors))
                .map(|(((task_type, llm), record), p)| record.row(task_type, llm, p))
                .collect();
            of_type.sort_by(|a, b| {
                b.win_probability.total_cmp(&a.win_probability).then_with(|| a.llm.cmp(&b.llm))
            });
            rows.append(&mut of_type);
        }
        rows
    }
}

impl Verify for Records {
    fn verify(&self) -> Result<()> {
        sound("the size of the leaderboard", self.groups.len() <= MOST_GROUPS)?;
        sound("a record of the leaderboard", self.groups.values().all(Record::is_sound))?;
        sound("the outcomes of an LLM", self.llms.values().all(|outcomes| *outcomes <= MOST_COUNTED))
    }
}

impl Record {
    /// Returns true if it may have come from outcomes.
    fn is_sound(&self) -> bool {
        const ROUNDING: f64 = 1.0 + 1e-6;
        (1.0..=ROUNDING / (1.0 - DECAY)).contains(&self.n)
            && (0.0..=self.n * ROUNDING).contains(&self.successes)
            && self.outcomes <= MOST_COUNTED
    }

    /// Returns mean and standard deviation of the posterior of the rate, with a uniform prior.
    fn normal(&self) -> (f64, f64) {
        let (a, n) = (self.successes + 1.0, self.n + 2.0);
        let mean = a / n;
        (mean, (mean * (1.0 - mean) / (n + 1.0)).sqrt())
    }

    fn row(&self, task_type: &str, llm: &str, win_probability: f64) -> LeaderboardEntry {
        let rate = self.successes / self.n;
        LeaderboardEntry {
            task_type: task_type.to_owned(),
            llm: llm.to_owned(),
            win_probability,
            rate,
            interval: wilson(rate, self.n),
            evidence: self.n,
            outcomes: self.outcomes,
        }
    }
}

/// Returns the probability of each of some independent normals to be the highest, integrated over a grid.
fn highest(normals: &[(f64, f64)]) -> Vec<f64> {
    const STEPS: usize = 2000;
    let mut shares = vec![0.0; normals.len()];
    let mut below = vec![0.0; normals.len()];
    for step in 0..=STEPS {
        // Rates lie in 0 to 1, their normals a little beyond.
        let at = -0.5 + 2.0 * step as f64 / STEPS as f64;
        let mut all = 1.0;
        for (below, (mean, sd)) in below.iter_mut().zip(normals) {
            *below = normal_cdf((at - mean) / sd).max(1e-300);
            all *= *below;
        }
        for ((share, below), (mean, sd)) in shares.iter_mut().zip(&below).zip(normals) {
            let z = (at - mean) / sd;
            *share += (-0.5 * z * z).exp() / sd * (all / below);
        }
    }
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|share| if sum > 0.0 { share / sum } else { 1.0 / normals.len() as f64 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_two_is_the_sign_of_their_difference() {
        let shares = highest(&[(0.7, 0.03), (0.66, 0.04)]);
        let expected = normal_cdf(0.04 / 0.05);
        assert!((shares[0] - expected).abs() < 1e-4, "{shares:?} {expected}");
        assert!((highest(&[(0.5, 0.1); 4])[2] - 0.25).abs() < 1e-9);
    }
}
