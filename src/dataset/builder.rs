//! Facts replayed into examples.

use super::response_model::MATURE;
use super::{
    About, Dataset, Example, Labels, Priors, ResponseModel, Target, delay_of, difficulty, label, sources,
};
use crate::event::{EventId, Fact, ProjectId, Record, TaskContext, UserId};
use crate::features::{FeatureEngineer, FeatureRow};
use crate::history::{History, HistoryView, category};
use crate::text::TaskText;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Replays facts, in the order in which they became known, into examples.
#[derive(Debug)]
pub struct DatasetBuilder {
    engineer: FeatureEngineer,
    history: History,
    examples: Vec<Example>,
    places: HashMap<EventId, usize>,
    names: HashSet<Arc<str>>,
}

impl DatasetBuilder {
    /// Creates an empty builder.
    pub fn new(engineer: FeatureEngineer) -> Self {
        Self {
            engineer,
            history: History::new(),
            examples: Vec::new(),
            places: HashMap::new(),
            names: HashSet::new(),
        }
    }

    /// Takes in the next fact; facts must come in the order in which they became known.
    pub fn apply(&mut self, record: &Record) {
        match record.fact() {
            Fact::Started(started) => {
                let text = self.engineer.read(&started.context);
                let view = self.history.view_of(&started.context, &text.grams, record.known_at());
                let mut example = self.example(record, &started.context, &view, &text);
                example.about = self.about(&started.context);
                self.places.insert(example.event_id.clone(), self.examples.len());
                self.examples.push(example);
                return self.history.apply_read(record, &text.grams);
            }
            Fact::Completed(completion) => {
                let place = self.places.get(record.event_id());
                if let Some(example) = place.and_then(|at| self.examples.get_mut(*at)) {
                    example.review = completion.review.as_ref().map(|r| (r.requested, r.propensity));
                    let mut row = example.features.as_ref().clone();
                    if self.engineer.add_completion(&mut row, completion) {
                        example.completed = Some(Arc::new(row));
                    }
                }
            }
            Fact::Feedback(feedback) => {
                let judge = feedback.reviewer_id.as_ref().and_then(|judge| self.name(Some(judge.as_str())));
                let place = self.places.get(record.event_id()).filter(|_| judge.is_some());
                if let Some(example) = place.and_then(|at| self.examples.get_mut(*at)) {
                    example.about.user = judge;
                }
            }
        }
        self.history.apply(record);
    }

    /// Returns the features of `task` at `now`, as a model fitted on these rows reads them.
    pub fn look(&self, task: &TaskContext, now: DateTime<Utc>) -> FeatureRow {
        self.engineer.row(task, &self.history.view(task, now))
    }

    /// Returns the baseline predictions for `task` at `now`.
    /// The example that a start would be now, without taking it in.
    pub(crate) fn look_at(&self, record: &Record) -> Option<Example> {
        match record.fact() {
            Fact::Started(started) => {
                let text = self.engineer.read(&started.context);
                let view = self.history.view_of(&started.context, &text.grams, record.known_at());
                Some(self.example(record, &started.context, &view, &text))
            }
            _ => None,
        }
    }

    /// Takes out the example of the fact just applied, where it was a start.
    pub(crate) fn take_last(&mut self) -> Option<Example> {
        self.places.clear();
        self.examples.pop()
    }

    /// The generations started before `now` whose label for `target` is known; where that is
    /// success, those still open too that are young enough to be answered, labelled by how such
    /// generations end. Of more than `most` the newest.
    ///
    /// Where people were asked about enough generations to tell who answers unasked, known outcomes are
    /// weighted by the inverse of the probability that they become known, and open ones are left out.
    pub fn rows(&self, target: Target, now: DateTime<Utc>, most: usize) -> Dataset {
        let delay = self.history.delay(now);
        let mut known = self.examples.clone();
        let results: Vec<_> = known.iter().map(|e| self.history.result(&e.event_id)).collect();
        known.iter_mut().zip(&results).for_each(|(e, result)| e.labels = Labels::of(result));
        if target == Target::Complexity {
            difficulty::observe(&mut known, &results);
        }
        let answers = ResponseModel::of(&known);
        let propensity = answers.at(now, MATURE);
        let open = delay_of(target, &delay, propensity.as_ref());
        let mut examples: Vec<_> =
            known.iter().rev().filter_map(|e| label(e, target, now, open)).take(most).collect();
        examples.reverse();
        sources::weigh(&mut examples);
        propensity.iter().for_each(|propensity| propensity.weigh(&mut examples));
        Dataset { examples, schema: self.engineer.model_schema(), target, delay, answers }
    }

    /// Returns a name that all examples share.
    fn name(&mut self, name: Option<&str>) -> Option<Arc<str>> {
        let name = name.map(str::trim).filter(|name| !name.is_empty())?;
        if let Some(known) = self.names.get(name) {
            return Some(Arc::clone(known));
        }
        let new: Arc<str> = name.into();
        self.names.insert(Arc::clone(&new));
        Some(new)
    }

    fn about(&mut self, task: &TaskContext) -> About {
        let mut name = |name| self.name(name);
        About {
            agent: name(task.agent_type.as_deref()),
            user: name(task.reviewer_id.as_ref().or(task.user_id.as_ref()).map(UserId::as_str)),
            language: name(task.language.as_deref()),
            task_type: name(task.task_type.as_deref()),
            template: None,
        }
    }

    fn example(
        &self,
        record: &Record,
        context: &TaskContext,
        view: &HistoryView,
        text: &TaskText,
    ) -> Example {
        let (features, priors) = (self.engineer.row_read(context, view, text), Priors::of(view));
        Example {
            event_id: record.event_id().clone(),
            project: number(context.project_id.as_ref().map(ProjectId::as_str)),
            task: number(Some(context.task_id.as_str())),
            started_at: record.known_at(),
            known_at: None,
            features: Arc::new(features),
            completed: None,
            label: 0.5,
            labels: Labels::default(),
            priors,
            about: About::default(),
            weight: 1.0,
            propensity: 1.0,
            share: 1.0,
            review: None,
            kind: category(context.task_type.as_deref()),
            attempt: f64::from(context.attempt),
            shown: None,
        }
    }
}

fn number(name: Option<&str>) -> u64 {
    category(name).unwrap_or(0)
}

#[cfg(test)]
impl DatasetBuilder {
    pub(crate) fn priors(&self, task: &TaskContext, now: DateTime<Utc>) -> Priors {
        Priors::of(&self.history.view(task, now))
    }
}
