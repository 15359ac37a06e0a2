//! What the past shows of templates that a task might use.

use super::generation::hour;
use super::group_key;
use super::{GroupStatistics, History};
use crate::event::{TaskContext, TemplateId};
use chrono::{DateTime, Utc};

/// Statistics of one template for one task.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct TemplateStatistics {
    /// All its generations.
    pub(crate) all: GroupStatistics,
    /// Those of the task's type.
    pub(crate) of_type: GroupStatistics,
    /// Those of the task's type, in its language and framework.
    pub(crate) similar: GroupStatistics,
    /// Those that the task's user asked for.
    pub(crate) of_user: GroupStatistics,
}

impl History {
    /// Returns the statistics at `now` of each of `templates`, had `task` used it.
    pub(crate) fn templates<'a>(
        &self,
        task: &TaskContext,
        templates: impl Iterator<Item = &'a TemplateId>,
        now: DateTime<Utc>,
    ) -> Vec<TemplateStatistics> {
        let hour = hour(now.timestamp_micros());
        let delay = self.delays.at(hour);
        let evidence = |key: Option<group_key::Key>| {
            let series = key.and_then(|key| self.groups.get(&key));
            series.map_or_else(GroupStatistics::default, |series| series.evidence(hour, &delay))
        };
        let of = |template| {
            let [all, of_type, similar, of_user] = group_key::template_keys(task, template).map(evidence);
            TemplateStatistics { all, of_type, similar, of_user }
        };
        templates.map(of).collect()
    }

    /// How many generations for tasks of `task_type` (of any where it is `None`) began since
    /// `since` (ever where it is `None`); possibly a few too many, never too few.
    pub(crate) fn begun_since(&self, task_type: Option<&str>, since: Option<DateTime<Utc>>) -> f64 {
        let series = group_key::type_key(task_type).and_then(|key| self.groups.get(&key));
        let from = since.map_or(i32::MIN, |since| hour(since.timestamp_micros()));
        series.map_or(0.0, |series| series.begun_since(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::GenerationEvent;
    use crate::history::GroupKey;

    #[test]
    fn a_template_shows_the_same_from_outside_as_from_the_task_that_uses_it() {
        let json = r#"{"event_id":"e","task_id":"t","task_type":"backend","language":"rust","user_id":"u",
            "template_id":"a","started_at":"2025-03-01T10:00:00Z","completed_at":"2025-03-01T11:00:00Z",
            "user_action":"approve"}"#;
        let event = GenerationEvent::from_json(json).unwrap();
        let mut task = event.started.value.context.clone();
        let mut history = History::new();
        event.into_records().unwrap().iter().for_each(|record| history.apply(record));
        let now = "2025-03-02T10:00:00Z".parse().unwrap();
        let template = task.template_id.clone().unwrap();
        let view = history.view(&task, now);
        task.template_id = None;
        let seen = history.templates(&task, std::iter::once(&template), now)[0];
        assert_eq!(seen.all.all.n, 1.0);
        let scopes =
            [GroupKey::Template, GroupKey::TemplateType, GroupKey::TemplateSimilar, GroupKey::UserTemplate];
        let found = [seen.all, seen.of_type, seen.similar, seen.of_user];
        scopes.iter().zip(found).for_each(|(scope, seen)| assert_eq!(*view.get(*scope), seen));
        assert_eq!(history.begun_since(Some("Backend"), None), 1.0);
        assert_eq!(history.begun_since(None, Some("2025-03-02T00:00:00Z".parse().unwrap())), 0.0);
    }
}
