//! Random streams of facts as they reach a host: late, repeated, reordered.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{
    Completion, EventId, Fact, Feedback, FeedbackId, ProjectId, Record, TaskContext, TaskId, UserAction,
    UserId,
};
use proptest::prelude::*;

/// One delivery.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Time of delivery.
    pub at: DateTime<Utc>,
    /// Its generation.
    pub id: EventId,
    /// The generation's task.
    pub task: TaskContext,
    /// Converts it to a record known at that time.
    pub record: Option<Record>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Start,
    Complete(Box<Completion>),
    Feedback(Box<Feedback>),
}

impl Arrival {
    /// Returns the task of a start.
    pub fn start(&self) -> Option<TaskContext> {
        matches!(self.what, What::Start).then(|| self.task.clone())
    }

    /// Hands a completion or a feedback to the collector; a conflict is the host's to see.
    pub async fn deliver(&self, collector: &DataCollector) {
        let _ = match &self.what {
            What::Start => Ok(()),
            What::Complete(c) => collector.complete(&self.id, c.as_ref().clone()).await,
            What::Feedback(f) => collector.feedback(&self.id, f.as_ref().clone()).await,
        };
    }
}

/// Up to `generations` generations of few tasks, agents and projects, over months, each with a
/// start, perhaps a completion, perhaps several feedbacks, in any order, some twice.
pub fn arrivals(generations: usize) -> impl Strategy<Value = Vec<Arrival>> {
    prop::collection::vec(generation(), 1..generations).prop_map(|all| {
        let mut list: Vec<_> =
            all.into_iter().enumerate().flat_map(|(i, (task, parts))| build(i, task, parts)).collect();
        list.sort_by_key(|a| a.at);
        // Strictly ascending, as a collector stamps them.
        let mut last = DateTime::<Utc>::UNIX_EPOCH;
        for arrival in &mut list {
            arrival.at = arrival.at.max(last + TimeDelta::microseconds(1));
            last = arrival.at;
            arrival.record = Some(arrival.to_record());
        }
        list
    })
}

type Parts = Vec<(i64, u8, u8, Option<f64>)>;

fn generation() -> impl Strategy<Value = ((u8, u8, u8, u8), Parts)> {
    let task = (0..6_u8, 0..3_u8, 0..3_u8, 0..4_u8);
    // (microseconds since the beginning, what, action, number)
    let part = (0..8_000_000_000_000_i64, 0..6_u8, 0..3_u8, prop::option::of(0.0..10.0_f64));
    (task, prop::collection::vec(part, 1..7))
}

fn build(i: usize, (name, agent, project, user): (u8, u8, u8, u8), parts: Parts) -> Vec<Arrival> {
    let id = EventId::new(format!("e{i}")).unwrap();
    let mut task = TaskContext::new(TaskId::new(format!("t{name}")).unwrap());
    task.task_description = format!("Build page {name} and - must test it");
    task.task_type = Some(["backend", "Frontend", "database"][usize::from(name % 3)].into());
    task.agent_type = (agent > 0).then(|| format!("agent{agent}"));
    task.project_id = (project > 0).then(|| ProjectId::new(format!("p{project}")).unwrap());
    task.user_id = Some(UserId::new(format!("u{user}")).unwrap());
    task.reviewer_id = (user > 1).then(|| UserId::new(format!("r{}", name % 2)).unwrap());
    (task.model_used, task.effort) = (Some("llm".into()), (agent > 1).then(|| "high".to_owned()));
    task.rag_examples_ids = vec![format!("e{}", i / 2)];
    let base: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
    let make = |(micros, kind, action, number): (i64, u8, u8, Option<f64>)| {
        let what = match kind {
            0 | 1 => What::Start,
            2 => {
                let mut done = Completion::default();
                done.completed_at = Some(base);
                done.generation_time_seconds = Some(12.0);
                done.success = (action == 0).then_some(true);
                What::Complete(Box::new(done))
            }
            _ => {
                let actions = [UserAction::Approve, UserAction::Modify, UserAction::Reject];
                let mut feedback = Feedback::new(actions[usize::from(action)]);
                // The same id comes again with the same content: a repeated delivery.
                feedback.feedback_id = Some(FeedbackId::new(format!("f{action}")).unwrap());
                feedback.reviewer_id = (action > 0).then(|| UserId::new(format!("r{action}")).unwrap());
                feedback.final_quality_score = number.filter(|_| action == 1).map(|_| 7.5);
                What::Feedback(Box::new(feedback))
            }
        };
        Arrival {
            at: base + TimeDelta::microseconds(micros),
            id: id.clone(),
            task: task.clone(),
            record: None,
            what,
        }
    };
    parts.into_iter().map(make).collect()
}

impl Arrival {
    fn to_record(&self) -> Record {
        let fact = match &self.what {
            What::Start => Fact::Started(Box::new(self.task.clone().into())),
            What::Complete(c) => Fact::Completed(c.clone()),
            What::Feedback(f) => Fact::Feedback(f.clone()),
        };
        Record::new(self.id.clone(), self.at, fact).unwrap()
    }
}
