//! Inputs of the features, and the smoothed rates that many of them share.

use super::frameworks::Frameworks;
use crate::event::TaskContext;
use crate::history::{GroupKey, GroupStatistics, HistoryView, Mean, NearestTask, category, model_at_effort};
use crate::stats::{logit, sigmoid};
use crate::text::TextFacts;
use chrono::{Datelike, NaiveDateTime, Timelike};

/// Everything that a feature is computed from.
pub(super) struct Inputs<'a> {
    pub(super) task: &'a TaskContext,
    pub(super) view: &'a HistoryView,
    pub(super) text: &'a TextFacts,
    pub(super) frameworks: &'a Frameworks,
    /// The start in the host's zone.
    pub(super) local: NaiveDateTime,
    pub(super) rates: Rates,
}

impl Inputs<'_> {
    /// A code of its own for every category, the same everywhere, exact in 32 bits.
    pub(super) fn category(name: Option<&str>) -> f32 {
        category(name).map_or(f32::NAN, |hash| (hash >> 40) as f32)
    }

    /// A code of its own for every LLM at every effort.
    pub(super) fn model(task: &TaskContext) -> f32 {
        model_at_effort(task).map_or(f32::NAN, |hash| (hash >> 40) as f32)
    }

    pub(super) fn number(value: Option<f64>) -> f32 {
        value.map(|v| v as f32).filter(|v| v.is_finite()).unwrap_or(f32::NAN)
    }

    pub(super) fn flag(value: Option<bool>) -> f32 {
        value.map_or(f32::NAN, |v| f32::from(u8::from(v)))
    }

    /// A mean as the history keeps it, back on the scale from 0 to 10.
    pub(super) fn complexity(mean: f32) -> f32 {
        mean.exp_m1() / 10.0
    }

    pub(super) fn evidence(&self, scope: GroupKey, read: fn(&GroupStatistics) -> f64) -> f32 {
        if self.view.knows(scope) { read(self.view.get(scope)) as f32 } else { f32::NAN }
    }

    pub(super) fn mean(&self, scope: GroupKey, read: fn(&GroupStatistics) -> Mean) -> f32 {
        read(self.view.get(scope)).value().map_or(f32::NAN, |v| v as f32)
    }

    /// Returns the value that the history suggests for this task, agent and LLM: each mean shrunk toward
    /// its parents by how little evidence it has. Missing where nothing of the kind is known.
    pub(super) fn expected(&self, read: fn(&GroupStatistics) -> Mean) -> f32 {
        self.expected_with(read, true)
    }

    /// Returns the value that the history suggests without the task's own record.
    pub(super) fn expected_untried(&self, read: fn(&GroupStatistics) -> Mean) -> f32 {
        self.expected_with(read, false)
    }

    fn expected_with(&self, read: fn(&GroupStatistics) -> Mean, tried: bool) -> f32 {
        let Some(start) = read(self.view.get(GroupKey::Global)).value() else { return f32::NAN };
        let drawn = |scope, parent: f64| {
            let seen = read(self.view.get(scope));
            (seen.sum + MEAN_STRENGTH * parent) / (seen.n + MEAN_STRENGTH)
        };
        let similar = drawn(GroupKey::TypeLanguageFramework, drawn(GroupKey::TaskType, start));
        let here = drawn(GroupKey::Project, similar);
        let task = if tried { drawn(GroupKey::Task, here) } else { here };
        let (agent, model) = (drawn(GroupKey::Agent, start), drawn(GroupKey::Model, start));
        let both = drawn(GroupKey::AgentModel, agent + model - start);
        let joined = task + both - start;
        if !tried {
            return joined as f32;
        }
        let (by_agent, by_model) = (drawn(GroupKey::TaskAgent, joined), drawn(GroupKey::TaskModel, joined));
        (0.5 * (by_agent + by_model)) as f32
    }

    /// Returns the number of outcomes of similar tasks; of each task a few count.
    pub(super) fn nearest_outcomes(&self) -> f64 {
        self.view.nearest().iter().map(|task| task.outcomes.n.min(MOST_OF_ONE_TASK)).sum()
    }

    /// Returns a mean over similar tasks, weighted by similarity.
    pub(super) fn nearest_mean(&self, read: fn(&NearestTask) -> Option<f64>) -> f32 {
        let known = self.view.nearest().iter().filter_map(|task| Some((task.similarity, read(task)?)));
        let (weight, sum) = known.fold((0.0, 0.0), |(w, sum), (alike, v)| (w + alike, sum + alike * v));
        if weight > 0.0 { (sum / weight) as f32 } else { f32::NAN }
    }

    /// Returns the amount that the history suggests, with or without the task's own record. It depends on the LLM above all:
    /// what an agent took for the task with other LLMs counts through the task alone.
    pub(super) fn expected_amount(&self, read: fn(&GroupStatistics) -> Mean, tried: bool) -> f32 {
        let Some(start) = read(self.view.get(GroupKey::Global)).value() else { return f32::NAN };
        let drawn = |scope, parent: f64| {
            let seen = read(self.view.get(scope));
            (seen.sum + MEAN_STRENGTH * parent) / (seen.n + MEAN_STRENGTH)
        };
        let similar = drawn(GroupKey::TypeLanguageFramework, drawn(GroupKey::TaskType, start));
        let here = drawn(GroupKey::Project, similar);
        let task = if tried { drawn(GroupKey::Task, here) } else { here };
        let (agent, model) = (drawn(GroupKey::Agent, start), drawn(GroupKey::Model, start));
        let joined = task + drawn(GroupKey::AgentModel, agent + model - start) - start;
        if tried { drawn(GroupKey::TaskModel, joined) as f32 } else { joined as f32 }
    }

    /// Returns ln of how an amount of similar tasks compares with the average of all generations.
    pub(super) fn nearest_relative(
        &self,
        read: fn(&NearestTask) -> Option<f64>,
        all: fn(&GroupStatistics) -> Mean,
    ) -> f32 {
        let known = self.view.nearest().iter().filter_map(|task| Some((task.similarity, read(task)?.ln())));
        let (weight, sum) = known.fold((0.0, 0.0), |(w, sum), (alike, v)| (w + alike, sum + alike * v));
        match all(self.view.get(GroupKey::Global)).value() {
            Some(average) if weight > 0.0 => (sum / weight - average) as f32,
            _ => f32::NAN,
        }
    }

    /// Missing where the framework is not known.
    pub(super) fn framework_complexity(&self) -> f32 {
        let named = self.task.framework.as_deref();
        named.and_then(|name| self.frameworks.complexity(name)).unwrap_or(f32::NAN)
    }

    pub(super) fn rag_count(&self) -> f32 {
        let listed = Some(self.task.rag_examples_ids.len() as f32).filter(|n| *n > 0.0);
        let off = (self.task.rag_enabled == Some(false)).then_some(0.0);
        self.task.rag_examples_count.map(|n| n as f32).or(off).or(listed).unwrap_or(f32::NAN)
    }

    /// The examples' own outcomes where they are known, else what the host says.
    pub(super) fn rag_quality(&self) -> f32 {
        Self::number(self.view.rag_quality().value().or(self.task.rag_avg_quality))
    }

    pub(super) fn hour(&self) -> f32 {
        self.local.hour() as f32
    }

    pub(super) fn weekday(&self) -> f32 {
        self.local.weekday().num_days_from_monday() as f32
    }
}

/// Weight of a parent's mean, in values.
const MEAN_STRENGTH: f64 = 3.0;

/// Weight of a parent's rate, in outcomes.
const STRENGTH: f64 = 5.0;

/// Success rates, each shrunk toward that of its parents by how little evidence it has
/// (empirical Bayes), with open generations counted by how they are expected to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) global: f64,
    pub(super) task_type: f64,
    pub(super) similar: f64,
    pub(super) language: f64,
    pub(super) agent: f64,
    pub(super) agent_type: f64,
    pub(super) agent_language: f64,
    pub(super) model: f64,
    pub(super) agent_model: f64,
    pub(super) project: f64,
    pub(super) project_agent: f64,
    pub(super) project_type: f64,
    pub(super) user: f64,
    pub(super) user_project: f64,
    pub(super) task: f64,
    pub(super) task_agent: f64,
    pub(super) task_model: f64,
    pub(super) template: f64,
    pub(super) nearest: f64,
    /// NaN where the task names no reviewer: most hosts know none.
    pub(super) reviewer: f64,
}

impl Rates {
    pub(super) fn of(view: &HistoryView) -> Self {
        let start = view.get(GroupKey::Global).all.rate(0.5, STRENGTH);
        let drawn = |scope, parent| shrunk(view, scope, parent);
        // Two parents speak together as the sum of their log-odds over the grandparent's.
        let joined = |a: f64, b: f64, over: f64| sigmoid(logit(a) + logit(b) - logit(over));
        let g = drawn(GroupKey::Global, start);
        let (p, a, t) =
            (drawn(GroupKey::Project, g), drawn(GroupKey::Agent, g), drawn(GroupKey::TaskType, g));
        let (l, m, k) = (drawn(GroupKey::Language, g), drawn(GroupKey::Model, g), drawn(GroupKey::Task, g));
        let project_agent = drawn(GroupKey::ProjectAgent, joined(p, a, g));
        let similar = drawn(GroupKey::TypeLanguageFramework, drawn(GroupKey::TypeLanguage, t));
        Self {
            global: g,
            task_type: t,
            similar,
            language: l,
            agent: a,
            agent_type: drawn(GroupKey::AgentType, joined(a, t, g)),
            agent_language: drawn(GroupKey::AgentLanguage, joined(l, a, g)),
            model: m,
            agent_model: drawn(GroupKey::AgentModel, joined(a, m, g)),
            project: p,
            project_agent,
            project_type: drawn(GroupKey::ProjectType, joined(p, t, g)),
            user: drawn(GroupKey::User, a),
            user_project: drawn(GroupKey::UserProject, project_agent),
            task: k,
            task_agent: drawn(GroupKey::TaskAgent, joined(k, a, g)),
            task_model: drawn(GroupKey::TaskModel, joined(k, m, g)),
            template: drawn(GroupKey::Template, t),
            nearest: nearest(view, similar),
            reviewer: reviewer(view, p),
        }
    }
}

fn shrunk(view: &HistoryView, scope: GroupKey, parent: f64) -> f64 {
    let seen = view.get(scope);
    let successes = seen.month.successes + seen.open_successes;
    (successes + STRENGTH * parent) / (seen.month.n + seen.open + STRENGTH)
}

/// Returns the leniency of the reviewer that the task names: the share of what this person judged that was approved
/// unmodified. It changes slowly, so outcomes do not decay; what waits for the person's judgment does not count.
fn reviewer(view: &HistoryView, parent: f64) -> f64 {
    let known = view.knows(GroupKey::Reviewer);
    if known { view.get(GroupKey::Reviewer).all.rate(parent, STRENGTH) } else { f64::NAN }
}

/// Most outcomes of one task that count among those of similar tasks: they are correlated.
const MOST_OF_ONE_TASK: f64 = 3.0;

/// Weight of the parent's rate, in outcomes of tasks just like it.
const NEAREST_STRENGTH: f64 = 2.0;

/// Returns the success rate of similar tasks, weighted by similarity.
fn nearest(view: &HistoryView, parent: f64) -> f64 {
    let tried = view.nearest().iter().filter(|task| task.outcomes.n > 0.0);
    let (weight, sum) = tried.fold((0.0, 0.0), |(weight, sum), task| {
        let counts = task.similarity * task.outcomes.n.min(MOST_OF_ONE_TASK);
        (weight + counts, sum + counts * task.outcomes.successes / task.outcomes.n)
    });
    (sum + NEAREST_STRENGTH * parent) / (weight + NEAREST_STRENGTH)
}
