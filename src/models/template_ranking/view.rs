//! What the past shows of the templates, for one task at one moment.

use super::catalogue::{Prepared, TemplateCatalogue};
use super::explore::NEW;
use crate::event::{TaskContext, TemplateId};
use crate::history::{GroupKey, GroupStatistics, History, HistoryView, SharedHistory, TemplateStatistics};
use chrono::{DateTime, Utc};
use std::collections::{BTreeSet, HashMap};

/// A snapshot of the template statistics for one task at one moment: all inputs of a ranking besides
/// the task and the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TemplateView {
    task: HistoryView,
    past: HashMap<TemplateId, Past>,
}

/// The historical statistics of one template.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Past {
    pub(super) seen: TemplateStatistics,
    /// How many generations of the types that it is made for began since it was created; counted
    /// for new templates only.
    pub(super) eligible: f64,
}

impl TemplateView {
    /// What `history` shows at `now`, which must not lie before a fact taken in, of every template
    /// of `catalogue`, had `task` used it.
    pub(crate) fn of(
        history: &History,
        task: &TaskContext,
        catalogue: &TemplateCatalogue,
        now: DateTime<Utc>,
    ) -> Self {
        let task = task.as_stored();
        Self::with_groups(history, &task, catalogue, history.groups_of(&task, now))
    }

    /// Creates the view of the templates of `catalogue` from `history`, given the task's group statistics.
    pub(crate) fn with_groups(
        history: &History,
        task: &TaskContext,
        catalogue: &TemplateCatalogue,
        groups: HistoryView,
    ) -> Self {
        let ids = catalogue.all().iter().map(|template| &template.profile.template_id);
        let seen = history.templates(task, ids, groups.now());
        let past = catalogue.all().iter().zip(seen).map(|(template, seen)| {
            let eligible = if seen.all.all.n < NEW { eligible(history, template) } else { 0.0 };
            (template.profile.template_id.clone(), Past { seen, eligible })
        });
        Self { past: past.collect(), task: groups }
    }

    /// Creates the view from a shared history that may be updated concurrently.
    pub(crate) fn of_shared(
        history: &SharedHistory,
        task: &TaskContext,
        catalogue: &TemplateCatalogue,
        now: DateTime<Utc>,
    ) -> Self {
        history.with(|history| Self::of(history, task, catalogue, now))
    }

    /// The moment for which it holds.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.task.now()
    }

    /// Creates the view of one template and its relatives, without the counts that only exploration needs.
    pub(super) fn of_one(
        history: &History,
        task: &TaskContext,
        template: &Prepared,
        now: DateTime<Utc>,
    ) -> Self {
        let ids: Vec<_> = std::iter::once(&template.profile.template_id)
            .chain(template.relatives.iter().map(|(id, _)| id))
            .collect();
        let seen = history.templates(task, ids.iter().copied(), now);
        let past = ids.into_iter().zip(seen).map(|(id, seen)| (id.clone(), Past { seen, eligible: 0.0 }));
        Self { past: past.collect(), task: history.groups_of(task, now) }
    }

    pub(super) fn group(&self, scope: GroupKey) -> &GroupStatistics {
        self.task.get(scope)
    }

    pub(super) fn knows(&self, scope: GroupKey) -> bool {
        self.task.knows(scope)
    }

    /// Nothing, where the template was not asked about.
    pub(super) fn past(&self, template: &TemplateId) -> Past {
        self.past.get(template).copied().unwrap_or_default()
    }
}

/// Generations of the template's types since it was created.
fn eligible(history: &History, template: &Prepared) -> f64 {
    let (profile, mut counted) = (&template.profile, BTreeSet::new());
    if profile.task_types.is_empty() {
        return history.begun_since(None, profile.created_at);
    }
    let distinct =
        profile.task_types.iter().filter(|name| counted.insert(crate::history::category(Some(name))));
    distinct.map(|name| history.begun_since(Some(name), profile.created_at)).sum()
}
