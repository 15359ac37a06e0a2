//! New tasks and those seen before, each compared with its own best baseline.

use super::Gate;
use crate::ml::metrics::PairedComparison;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scores on the generations of one kind of task: `new`, or `seen` before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskKind {
    pub(crate) rows: usize,
    /// Mean loss of the model.
    pub(crate) loss: f64,
    /// Mean loss of the best baseline, with its name.
    pub(crate) best_baseline: (String, f64),
    /// Paired comparison of the model's loss with it.
    pub(crate) against_best: Option<PairedComparison>,
}

impl Gate {
    /// Describes how the model compares with the best baseline on each kind of task, where there are both.
    pub(crate) fn of_tasks(&self, kinds: &BTreeMap<String, TaskKind>) -> Vec<String> {
        let sentence = |(kind, found): (&String, &TaskKind)| {
            let c = found.against_best.as_ref()?;
            let how = match () {
                () if c.is_worse() => "significantly worse than",
                () if c.is_better() => "significantly better than",
                () => "not significantly different from",
            };
            let tasks = if kind == "seen" { "tasks seen before" } else { "new tasks" };
            let (best, figures) = (&found.best_baseline.0, self.figures(c));
            Some(format!("on {tasks}: {how} their best baseline, {best}: {figures}"))
        };
        kinds.iter().filter(|_| kinds.len() > 1).filter_map(sentence).collect()
    }
}
