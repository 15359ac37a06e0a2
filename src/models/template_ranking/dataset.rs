//! The training set of the ranking: each generation that used a template, with its outcome.
//!
//! What competes is looked at as things were at the beginning of its week, not at each one's own
//! start. Else the later of two rows would have the outcome of the earlier among its rates, and an
//! order learned from them would shun what has just succeeded: measured on outcomes drawn at random,
//! such rates ordered held-out rows worse than chance (NDCG@3 .64 against .73).

use super::catalogue::{Prepared, TemplateCatalogue};
use super::features::{Reading, row, template_schema};
use super::profile::TemplateProfile;
use super::view::TemplateView;
use crate::dataset::{About, Dataset, Example, Labels, Priors, ResponseModel, RowBuilder, Shown, Target};
use crate::event::{
    Completion, EventId, Fact, Feedback, Fold, Known, Outcome, Record, Started, TemplateId, UserAction,
};
use crate::features::FeatureRow;
use crate::history::{History, category};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;

/// Replays facts, in the order in which they became known, into rows.
#[derive(Debug)]
pub(crate) struct TemplateDatasetBuilder {
    catalogue: TemplateCatalogue,
    /// As it was at the beginning of the week.
    history: History,
    week: i64,
    /// What has become known since.
    recent: Vec<Record>,
    starts: Vec<Start>,
    /// The known facts on the outcome of each generation.
    facts: HashMap<EventId, Facts>,
}

/// How good an outcome was: 3 approved as it was, 2 or 1 taken after changes, 0 rejected.
///
/// Quality (0 to 10) moves it: what was approved with less than 5 counts 2, what was modified counts
/// 2 from 7 on and otherwise, or where nobody scored it, 1.
pub(crate) fn template_relevance(outcome: &Outcome) -> Option<u8> {
    let success = outcome.success?;
    let quality = outcome.final_quality_score;
    let taken = success || outcome.approved.unwrap_or(outcome.user_action == Some(UserAction::Modify));
    Some(match (success, taken) {
        (true, _) if quality.is_none_or(|q| q >= 5.0) => 3,
        (true, _) => 2,
        (false, true) if quality.is_some_and(|q| q >= 7.0) => 2,
        (false, true) => 1,
        (false, false) => 0,
    })
}

/// A start, its features made.
#[derive(Debug)]
struct Start {
    event_id: EventId,
    template_id: TemplateId,
    group: u64,
    known_at: DateTime<Utc>,
    features: Arc<FeatureRow>,
    propensity: Option<f64>,
}

/// The facts of a generation: the moment of its start, its completion and the latest feedback.
type Facts = Fold<DateTime<Utc>, Known<Completion>, Known<Feedback>>;

impl TemplateDatasetBuilder {
    /// A builder that has seen nothing yet. Templates that are no longer in `catalogue` teach too,
    /// by what is known of them without a profile.
    pub(crate) fn new(catalogue: TemplateCatalogue) -> Self {
        Self {
            catalogue,
            history: History::new(),
            week: i64::MIN,
            recent: Vec::new(),
            starts: Vec::new(),
            facts: HashMap::new(),
        }
    }

    /// At the beginning of a week everything known by then is taken in.
    fn turn_to(&mut self, week: i64) {
        if week != self.week {
            self.week = week;
            self.recent.drain(..).for_each(|record| self.history.apply(&record));
        }
    }

    fn example(&self, start: &Start, now: DateTime<Utc>) -> Option<Example> {
        let outcome = Outcome::of(&self.facts.get(&start.event_id)?.as_known())?;
        (outcome.known_at <= now).then_some(())?;
        let (relevance, success) = (template_relevance(&outcome)?, outcome.success?);
        let labels = Labels {
            success: Some((outcome.known_at, success)),
            relevance: Some((outcome.known_at, relevance)),
            ..Labels::default()
        };
        let about = About { template: Some(start.template_id.as_str().into()), ..About::default() };
        Some(Example {
            event_id: start.event_id.clone(),
            project: 0,
            task: start.group,
            started_at: start.known_at,
            known_at: Some(outcome.known_at),
            features: Arc::clone(&start.features),
            completed: None,
            label: f64::from(relevance),
            labels,
            priors: Priors { constant: 0.5, agent: 0.5, project: 0.5 },
            about,
            weight: 1.0,
            propensity: 1.0,
            share: 1.0,
            review: None,
            kind: None,
            attempt: 1.0,
            shown: Some(Shown { group: start.group, propensity: start.propensity }),
        })
    }

    fn start(&self, record: &Record, started: &Started) -> Option<Start> {
        let task = &started.context;
        let id = task.template_id.clone()?;
        let unlisted = || Arc::new(Prepared::new(TemplateProfile::new(id.clone())));
        let template = self.catalogue.prepared(&id).cloned().unwrap_or_else(unlisted);
        let view = TemplateView::of_one(&self.history, task, &template, monday(self.week));
        let reading = Reading::of(task);
        let decision = started.decision.as_ref().filter(|decision| decision.chosen == id.as_str());
        Some(Start {
            event_id: record.event_id().clone(),
            group: group(&reading, task.task_id.as_str(), self.week),
            known_at: record.known_at(),
            features: Arc::new(feature_row(row(&reading, &template, &view))),
            propensity: decision.map(|decision| decision.propensity),
            template_id: id,
        })
    }
}

impl RowBuilder for TemplateDatasetBuilder {
    fn apply(&mut self, record: &Record) {
        let known_at = record.known_at();
        self.turn_to(week(known_at));
        let facts = self.facts.entry(record.event_id().clone()).or_default();
        match record.fact() {
            Fact::Started(started) => {
                let first = facts.start.is_none();
                facts.add_start(known_at);
                let start = if first { self.start(record, started) } else { None };
                self.starts.extend(start);
            }
            Fact::Completed(completion) => {
                facts.add_completion(Known { known_at, value: judgement_of(completion) });
            }
            Fact::Feedback(feedback) => {
                facts.add_feedback(Known { known_at, value: Feedback::clone(feedback) });
            }
        }
        self.recent.extend(without_code(record));
    }

    /// Returns the generations with a template whose outcome was known at `now`, labelled by
    /// [`template_relevance`]. They compete in groups: tasks of the same type, language and framework (where no
    /// type is known, tries of the same task) that started in the same week.
    fn rows(&self, now: DateTime<Utc>, most: usize) -> Dataset {
        let mut examples: Vec<_> =
            self.starts.iter().rev().filter_map(|start| self.example(start, now)).take(most).collect();
        examples.reverse();
        Dataset {
            examples,
            schema: template_schema(),
            target: Target::Template,
            delay: self.history.delay(now),
            answers: ResponseModel::default(),
        }
    }
}

/// A template's features as a row; the description is compared in them, and not read once more.
pub(super) fn feature_row(values: Vec<f32>) -> FeatureRow {
    FeatureRow::of_values(values)
}

/// Only what tells how good it was.
fn judgement_of(completion: &Completion) -> Completion {
    Completion {
        success: completion.success,
        approved: completion.approved,
        final_quality_score: completion.final_quality_score,
        ..Completion::default()
    }
}

/// The history does not look at the code, which may be long.
fn without_code(record: &Record) -> Option<Record> {
    let Fact::Completed(completion) = record.fact() else { return Some(record.clone()) };
    let slim = Completion {
        generation_time_seconds: completion.generation_time_seconds,
        tokens_used: completion.tokens_used,
        ..judgement_of(completion)
    };
    Record::stored(record.event_id().clone(), record.known_at(), Fact::Completed(Box::new(slim))).ok()
}

const SECONDS_A_WEEK: i64 = 7 * 86_400;
/// Weeks are counted from Monday, 5 January 1970.
const FIRST_MONDAY: i64 = 4 * 86_400;

fn week(moment: DateTime<Utc>) -> i64 {
    (moment.timestamp() - FIRST_MONDAY).div_euclid(SECONDS_A_WEEK)
}

fn monday(week: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(week * SECONDS_A_WEEK + FIRST_MONDAY, 0).unwrap_or_default()
}

fn group(task: &Reading, id: &str, week: i64) -> u64 {
    let part = |hash: u64, value: u64| (hash.rotate_left(23) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let task = match task.kind {
        Some(kind) => [task.language, task.framework].into_iter().fold(kind, |h, v| part(h, v.unwrap_or(1))),
        None => category(Some(id)).unwrap_or_default(),
    };
    part(task, week as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::GenerationEvent;

    fn relevance_of(said: &str) -> Option<u8> {
        let json = format!(
            r#"{{"event_id":"e","task_id":"t","started_at":"2025-03-01T10:00:00Z",
                "completed_at":"2025-03-01T11:00:00Z",{said}}}"#
        );
        template_relevance(&GenerationEvent::from_json(&json).unwrap().outcome()?)
    }

    #[test]
    fn quality_moves_the_relevance() {
        let cases = [
            (r#""user_action":"approve""#, Some(3)),
            (r#""user_action":"approve","final_quality_score":4.9"#, Some(2)),
            (r#""user_action":"modify","final_quality_score":7"#, Some(2)),
            (r#""user_action":"modify","final_quality_score":6.9"#, Some(1)),
            (r#""user_action":"modify""#, Some(1)),
            (r#""user_action":"reject","final_quality_score":9"#, Some(0)),
            (r#""success":true"#, Some(3)),
            (r#""success":false"#, Some(0)),
            (r#""final_quality_score":9"#, None),
            (r#""task_description":"x""#, None),
        ];
        cases.iter().for_each(|(said, wanted)| assert_eq!(relevance_of(said), *wanted, "{said}"));
    }

    #[test]
    fn rows_are_known_when_their_outcome_is_and_carry_the_odds_of_their_template() {
        let json = r#"{"event_id":"e","task_id":"t","task_type":"backend","template_id":"a",
            "started_at":"2025-03-01T10:00:00Z","completed_at":"2025-03-01T11:00:00Z",
            "user_action":"approve","approved_at":"2025-03-01T12:00:00Z"}"#;
        let mut event = GenerationEvent::from_json(json).unwrap();
        let decide = |chosen: &str| {
            crate::event::Decision::new("p", vec!["a".into(), "b".into()], chosen, 0.25).unwrap()
        };
        for (chosen, propensity) in [("a", Some(0.25)), ("b", None)] {
            event.started.value.decision = Some(decide(chosen));
            let mut builder = TemplateDatasetBuilder::new(TemplateCatalogue::default());
            let records = event.clone().into_records().unwrap();
            records.iter().chain(&records).for_each(|record| builder.apply(record));
            let known = records.last().unwrap().known_at();
            assert!(builder.rows(known - chrono::TimeDelta::seconds(1), 9).examples.is_empty());
            let rows = builder.rows(known, 9).examples;
            assert_eq!((rows.len(), rows[0].label, rows[0].shown.unwrap().propensity), (1, 3.0, propensity));
        }
    }
}
