//! Similar past tasks with their outcomes.

use super::generation::hour;
use super::{Count, GroupStatistics, History, group_key};
use crate::event::{TaskContext, TaskId};
use crate::similarity::{SearchBudget, SimilarTask};
use crate::text::TextGrams;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A similar past task with its outcomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NearestTask {
    /// The task.
    pub task_id: TaskId,
    /// Similarity, 0 to 1.
    pub similarity: f64,
    /// The outcomes of its generations.
    pub outcomes: Count,
    /// Their mean quality, 0 to 10.
    pub quality: Option<f64>,
    /// The mean of ln(1 + seconds) over them, as seconds.
    pub seconds: Option<f64>,
    /// Their US dollars, the geometric mean.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Their tokens, the geometric mean.
    #[serde(default)]
    pub tokens: Option<f64>,
}

/// Tasks that features are made of.
pub(super) const MOST: usize = 10;

/// Less similar tasks are left out.
const LEAST_SIMILARITY: f64 = 0.15;

impl History {
    /// Returns the `most` past tasks with the most similar descriptions, the nearest first, with what is
    /// known of them at `now`; not the task itself, nor what is hardly like it.
    pub(crate) fn nearest(&self, task: &TaskContext, most: usize, now: DateTime<Utc>) -> Vec<NearestTask> {
        self.nearest_to(&TextGrams::of(&task.task_description), SearchBudget::THOROUGH, task, most, now)
    }

    /// Finds similar tasks by the description's grams, with this search budget.
    pub(super) fn nearest_to(
        &self,
        text: &TextGrams,
        effort: SearchBudget,
        task: &TaskContext,
        most: usize,
        now: DateTime<Utc>,
    ) -> Vec<NearestTask> {
        let alike = self.similar.nearest_with(effort, text, most, Some(&task.task_id));
        self.with_outcomes(alike.into_iter().filter(|task| task.similarity >= LEAST_SIMILARITY), now)
    }

    /// Returns similar tasks with their outcomes as known at `now`.
    pub(crate) fn with_outcomes(
        &self,
        alike: impl Iterator<Item = SimilarTask>,
        now: DateTime<Utc>,
    ) -> Vec<NearestTask> {
        let hour = hour(now.timestamp_micros());
        let named = |SimilarTask { task_id, similarity }| {
            let series = self.groups.get(&group_key::task_key(&task_id));
            let seen = series.map_or_else(GroupStatistics::default, |series| series.outcomes(hour));
            NearestTask {
                task_id,
                similarity,
                outcomes: seen.all,
                quality: seen.quality.value(),
                seconds: seen.log_seconds.value().map(f64::exp_m1),
                cost_usd: seen.log_cost.value().map(f64::exp),
                tokens: seen.log_tokens.value().map(f64::exp),
            }
        };
        alike.map(named).collect()
    }
}
