//! Facts as they reach a store: checked, made storable, and stamped with when they became known.

use super::assignment::Assignment;
use super::check::{self, Checked, Metadata};
use super::completion::Completion;
use super::context::TaskContext;
use super::decision::{Decision, ShownPrediction};
use super::feedback::Feedback;
use super::given;
use super::id::EventId;
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The version of the event schema written by this release.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// A fact with the moment from which it may be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Known<T> {
    /// When the host learned it.
    pub known_at: DateTime<Utc>,
    /// The value.
    pub value: T,
}

/// All that is recorded at the start of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Started {
    /// The version of the schema it was written with.
    #[serde(deserialize_with = "given::one_whole")]
    pub(crate) schema_version: u32,
    /// The task.
    pub context: TaskContext,
    /// How model, template and the like were chosen.
    pub decision: Option<Decision>,
    /// The experiments that it takes part in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<Assignment>,
    /// Predictions that were shown, to be evaluated later.
    pub predictions: Vec<ShownPrediction>,
    /// The host's own complexity, 0 to 10: a label to learn, never a feature.
    pub complexity_label: Option<f64>,
    /// The host's own pairs.
    pub metadata: Metadata,
}

impl From<TaskContext> for Started {
    fn from(context: TaskContext) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            context,
            decision: None,
            experiments: Vec::new(),
            predictions: Vec::new(),
            complexity_label: None,
            metadata: Metadata::new(),
        }
    }
}

impl Checked for Started {
    fn validate(&self) -> Result<()> {
        if self.schema_version == 0 || self.schema_version > SCHEMA_VERSION {
            return Err(Error::incompatible(format!(
                "schema_version is {}, this release reads 1 to {SCHEMA_VERSION}: upgrade devmatrix-ml",
                self.schema_version
            )));
        }
        self.context.validate()?;
        self.decision.as_ref().map_or(Ok(()), Decision::validate)?;
        self.experiments.iter().try_for_each(Assignment::validate)?;
        self.predictions.iter().try_for_each(ShownPrediction::validate)?;
        check::range("complexity_label", self.complexity_label, 0.0, 10.0)
    }

    fn admit(&self) -> Result<()> {
        self.decision.as_ref().map_or(Ok(()), Decision::admit)
    }

    fn clean(&mut self) -> Result<()> {
        self.context.clean()?;
        self.decision.iter_mut().for_each(Decision::clean);
        self.experiments.iter_mut().for_each(Assignment::clean);
        self.predictions.iter_mut().for_each(ShownPrediction::clean);
        check::clean_metadata(&mut self.metadata)
    }
}

/// One of the three facts of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// It started.
    Started(Box<Started>),
    /// It ended.
    Completed(Box<Completion>),
    /// Feedback was given.
    Feedback(Box<Feedback>),
}

/// A fact ready to be stored: checked, cleaned and stamped.
///
/// Only [`Record::new`] makes one, so that a NUL byte or a number out of range reaches no store,
/// and all stores keep the same. A record is identified by its [`key`](Record::key); storing the
/// same key twice stores it once.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    event_id: EventId,
    known_at: DateTime<Utc>,
    fact: Fact,
}

/// Identity of a record; its order is that in which facts known at one moment are read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// The generation.
    pub event_id: EventId,
    /// 0 started, 1 completed, 2 feedback.
    pub kind: u8,
    /// The feedback's id, empty for the others.
    pub part: String,
}

impl Record {
    /// Checks and cleans `fact`, known since `known_at` (kept to the microsecond).
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range; `Incompatible` for a newer schema.
    pub fn new(event_id: EventId, known_at: DateTime<Utc>, fact: Fact) -> Result<Self> {
        Self::made(event_id, known_at, fact, true)
    }

    /// Creates the record of a fact that was stored before, which an earlier release may have let in.
    ///
    /// # Errors
    /// Those of [`Record::new`], but for what only new records are refused for.
    pub(crate) fn stored(event_id: EventId, known_at: DateTime<Utc>, fact: Fact) -> Result<Self> {
        Self::made(event_id, known_at, fact, false)
    }

    fn made(event_id: EventId, known_at: DateTime<Utc>, mut fact: Fact, is_new: bool) -> Result<Self> {
        let part: &mut dyn Checked = match &mut fact {
            Fact::Started(part) => part.as_mut(),
            Fact::Completed(part) => part.as_mut(),
            Fact::Feedback(part) => part.as_mut(),
        };
        let known_at = check::to_micros(known_at);
        part.clean()
            .and_then(|()| if is_new { part.admit() } else { Ok(()) })
            .and_then(|()| part.validate())
            .and_then(|()| check::time("known_at", Some(known_at)))
            .map_err(|e| e.context(&event_id))?;
        if let Fact::Feedback(feedback) = &mut fact
            && feedback.feedback_id.is_none()
        {
            feedback.feedback_id = Some(Feedback::id_at(known_at, 0, &feedback.digest()?)?);
        }
        Ok(Self { event_id, known_at, fact })
    }

    /// The generation it belongs to.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// From when on it may be used.
    pub fn known_at(&self) -> DateTime<Utc> {
        self.known_at
    }

    /// The fact.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// Returns whether it is a label: feedback, or a completion that carries its own outcome.
    pub fn is_label(&self) -> bool {
        match &self.fact {
            Fact::Started(_) => false,
            Fact::Completed(c) => {
                c.success.is_some() || c.approved.is_some() || c.final_quality_score.is_some()
            }
            Fact::Feedback(_) => true,
        }
    }

    /// Takes the record apart.
    pub fn into_parts(self) -> (EventId, DateTime<Utc>, Fact) {
        (self.event_id, self.known_at, self.fact)
    }

    /// Returns the key under which a repeated arrival is recognized.
    pub fn key(&self) -> RecordKey {
        let (kind, part) = match &self.fact {
            Fact::Started(_) => (0, String::new()),
            Fact::Completed(_) => (1, String::new()),
            Fact::Feedback(f) => (2, f.feedback_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        };
        RecordKey { event_id: self.event_id.clone(), kind, part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{TaskId, UserAction};

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn a_record_is_clean_and_in_range() {
        let mut context = TaskContext::new(TaskId::new("t").unwrap());
        context.task_description = "a\0b".into();
        let id = EventId::new("e").unwrap();
        let record = Record::new(id.clone(), at(5), Fact::Started(Box::new(context.clone().into()))).unwrap();
        let Fact::Started(started) = record.fact() else { panic!("wrong fact") };
        assert_eq!(started.context.task_description, "a\u{FFFD}b");
        context.temperature = Some(f64::NAN);
        let error = Record::new(id, at(5), Fact::Started(Box::new(context.into()))).unwrap_err();
        assert!(error.to_string().starts_with("e: temperature is NaN"), "{error}");
    }

    /// Facts of a leap second are those of the next second: microseconds since 1970 have none.
    #[test]
    fn a_leap_second_is_kept_alike_by_all_stores() {
        let leap: DateTime<Utc> = "2016-12-31T23:59:60.5Z".parse().unwrap();
        let next: DateTime<Utc> = "2017-01-01T00:00:00.5Z".parse().unwrap();
        let mut context = TaskContext::new(TaskId::new("t").unwrap());
        context.started_at = Some(leap);
        let record =
            Record::new(EventId::new("e").unwrap(), leap, Fact::Started(Box::new(context.into()))).unwrap();
        let Fact::Started(started) = record.fact() else { panic!("wrong fact") };
        assert_eq!((record.known_at(), started.context.started_at), (next, Some(next)));
        assert_eq!(record.known_at(), DateTime::from_timestamp_micros(leap.timestamp_micros()).unwrap());
        let late = "9999-12-31T23:59:60.5Z".parse().unwrap();
        let feedback = Fact::Feedback(Box::new(Feedback::new(UserAction::Approve)));
        assert!(Record::new(EventId::new("e").unwrap(), late, feedback).is_err());
    }

    #[test]
    fn feedback_without_an_id_is_known_by_its_time_and_what_it_says() {
        let id = EventId::new("e").unwrap();
        let feedback = Fact::Feedback(Box::new(Feedback::new(UserAction::Approve)));
        let first = Record::new(id.clone(), at(5), feedback.clone()).unwrap();
        assert_eq!(first.key(), Record::new(id.clone(), at(5), feedback.clone()).unwrap().key());
        assert_ne!(first.key(), Record::new(id.clone(), at(6), feedback).unwrap().key());
        let other = Fact::Feedback(Box::new(Feedback::new(UserAction::Reject)));
        assert_ne!(first.key(), Record::new(id, at(5), other).unwrap().key());
    }
}
