//! Rows to learn a ranking from: each generation that used a template, with what came of it.
//!
//! What competes is looked at as things were at the beginning of its week, not at each one's own
//! start. Else the later of two rows would have the outcome of the earlier among its rates, and an
//! order learned from them would shun what has just succeeded: measured on outcomes drawn at random,
//! such rates ordered held-out rows worse than chance (NDCG@3 .64 against .73).

use super::catalogue::{Prepared, TemplateCatalogue};
use super::features::{Reading, row, template_schema};
use super::profile::TemplateProfile;
use super::view::TemplateView;
use crate::event::{
    Completion, EventId, Fact, Feedback, Fold, Known, Outcome, Record, Started, TemplateId, UserAction,
};
use crate::history::{History, category};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One generation that used a template and was judged.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TemplateRow {
    /// The generation.
    pub event_id: EventId,
    /// Its template.
    pub template_id: TemplateId,
    /// What it competed in, as a number: tasks of the same type, language and framework (where no
    /// type is known, tries of the same task) that started in the same week.
    pub query: u64,
    /// When it became known that it had started.
    pub started_at: DateTime<Utc>,
    /// From when on its outcome was known.
    pub known_at: DateTime<Utc>,
    /// One value a feature of [`TEMPLATE_FEATURES`](super::TEMPLATE_FEATURES), as it was at the
    /// beginning of the week; missing is NaN.
    pub features: Arc<[f32]>,
    /// How good it was, 0 to 3; see [`template_relevance`].
    pub relevance: u8,
    /// Whether it was approved without modification.
    pub success: bool,
    /// The odds with which this template was shown, where the decision tells; above 0, at most 1.
    pub propensity: Option<f64>,
}

/// Rows in the order of their start.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateDataset {
    /// The rows.
    pub rows: Vec<TemplateRow>,
    /// Fingerprint of the features.
    pub schema: u64,
}

/// Replays facts, in the order in which they became known, into rows.
#[derive(Debug)]
pub struct TemplateDatasetBuilder {
    catalogue: TemplateCatalogue,
    /// As it was at the beginning of the week.
    history: History,
    week: i64,
    /// What has become known since.
    recent: Vec<Record>,
    starts: Vec<Start>,
    /// What is known of the outcome of each generation.
    facts: HashMap<EventId, Facts>,
}

/// How good an outcome was: 3 approved as it was, 2 or 1 taken after changes, 0 rejected.
///
/// Quality (0 to 10) moves it: what was approved with less than 5 counts 2, what was modified counts
/// 2 from 7 on and otherwise, or where nobody scored it, 1.
pub fn template_relevance(outcome: &Outcome) -> Option<u8> {
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
    query: u64,
    known_at: DateTime<Utc>,
    features: Arc<[f32]>,
    propensity: Option<f64>,
}

/// The facts of a generation: the moment of its start, its completion and the latest feedback.
type Facts = Fold<DateTime<Utc>, Known<Completion>, Known<Feedback>>;

impl TemplateDatasetBuilder {
    /// A builder that has seen nothing yet. Templates that are no longer in `catalogue` teach too,
    /// by what is known of them without a profile.
    pub fn new(catalogue: TemplateCatalogue) -> Self {
        Self {
            catalogue,
            history: History::new(),
            week: i64::MIN,
            recent: Vec::new(),
            starts: Vec::new(),
            facts: HashMap::new(),
        }
    }

    /// Takes in the next fact; facts must come in the order in which they became known.
    pub fn apply(&mut self, record: &Record) {
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

    /// The generations with a template whose outcome was known at `now`.
    pub fn rows(&self, now: DateTime<Utc>) -> TemplateDataset {
        let labelled = self.starts.iter().filter_map(|start| {
            let outcome = Outcome::of(&self.facts.get(&start.event_id)?.as_known())?;
            (outcome.known_at <= now).then_some(())?;
            Some(TemplateRow {
                event_id: start.event_id.clone(),
                template_id: start.template_id.clone(),
                query: start.query,
                started_at: start.known_at,
                known_at: outcome.known_at,
                features: Arc::clone(&start.features),
                relevance: template_relevance(&outcome)?,
                success: outcome.success?,
                propensity: start.propensity,
            })
        });
        TemplateDataset { rows: labelled.collect(), schema: template_schema() }
    }

    /// At the beginning of a week everything known by then is taken in.
    fn turn_to(&mut self, week: i64) {
        if week != self.week {
            self.week = week;
            self.recent.drain(..).for_each(|record| self.history.apply(&record));
        }
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
            query: query(&reading, task.task_id.as_str(), self.week),
            known_at: record.known_at(),
            features: row(&reading, &template, &view).into(),
            propensity: decision.map(|decision| decision.propensity),
            template_id: id,
        })
    }
}

impl TemplateDataset {
    /// SHA-256 over every row, in hexadecimal digits: equal for equal training sets, bit for bit.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.schema.to_le_bytes());
        for row in &self.rows {
            for name in [row.event_id.as_str(), row.template_id.as_str()] {
                hash.update(name);
                hash.update([0]);
            }
            hash.update(row.query.to_le_bytes());
            hash.update([row.relevance, u8::from(row.success)]);
            hash.update(row.propensity.unwrap_or(f64::NAN).to_bits().to_le_bytes());
            row.features.iter().for_each(|v| hash.update(v.to_bits().to_le_bytes()));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The places of the rows that competed, each group in the order of start.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for (at, row) in self.rows.iter().enumerate() {
            groups.entry(row.query).or_default().push(at);
        }
        groups.into_values().collect()
    }

    /// How many templates there are rows of.
    pub fn templates(&self) -> usize {
        self.rows.iter().map(|row| &row.template_id).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// The rows between two shares of all, in the order of their start, and what was known before
    /// the first of them started.
    pub(crate) fn split_by_time(&self, from: f64, to: f64) -> (Self, Self) {
        let place = |share: f64| ((self.rows.len() as f64 * share) as usize).min(self.rows.len());
        let later = self.rows.get(place(from)..place(to)).unwrap_or_default();
        let first = later.first().map(|row| row.started_at);
        let earlier = self.rows[..place(from)].iter().filter(|row| first.is_some_and(|at| row.known_at < at));
        let with = |rows| Self { rows, schema: self.schema };
        (with(earlier.cloned().collect()), with(later.to_vec()))
    }
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
    Record::new(record.event_id().clone(), record.known_at(), Fact::Completed(Box::new(slim))).ok()
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

fn query(task: &Reading, id: &str, week: i64) -> u64 {
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
            assert!(builder.rows(known - chrono::TimeDelta::seconds(1)).rows.is_empty());
            let rows = builder.rows(known).rows;
            assert_eq!((rows.len(), rows[0].relevance, rows[0].propensity), (1, 3, propensity));
        }
    }
}
