//! What happens when: a simulated orchestrator's days, or a host's own events.

use chrono::{DateTime, Utc};
use devmatrix_ml::Result;
use devmatrix_ml::event::{Completion, EventId, Fact, Feedback, GenerationEvent, Record, Started};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};

/// One thing that happens.
pub(crate) struct Moment {
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// To which generation.
    pub(crate) id: EventId,
    /// What.
    pub(crate) what: What,
    /// The true odds of success of a simulated start.
    pub(crate) odds: Option<f64>,
}

/// A start, an end or a judgement.
pub(crate) enum What {
    Start(Box<Started>),
    Complete(Box<Completion>),
    Feedback(Box<Feedback>),
}

/// Simulated days.
pub(crate) fn simulated(days: u32, seed: u64) -> Result<Vec<Moment>> {
    let mut options = SimulatorOptions::default();
    (options.days, options.seed) = (days, seed);
    let mut moments = Vec::new();
    for generation in Simulator::new(options)? {
        let odds = generation.odds;
        for record in generation.into_event().into_records()? {
            moments.push(moment(record, Some(odds)));
        }
    }
    Ok(in_order(moments))
}

/// A host's own events.
pub(crate) fn of_events(events: Vec<GenerationEvent>) -> Result<Vec<Moment>> {
    let mut moments = Vec::new();
    for event in events {
        moments.extend(event.into_records()?.into_iter().map(|record| moment(record, None)));
    }
    Ok(in_order(moments))
}

fn moment(record: Record, odds: Option<f64>) -> Moment {
    let (id, at, fact) = record.into_parts();
    let what = match fact {
        Fact::Started(started) => What::Start(started),
        Fact::Completed(completion) => What::Complete(completion),
        Fact::Feedback(feedback) => What::Feedback(feedback),
    };
    Moment { at, id, what, odds }
}

/// By time; what happens at one time to one generation stays in its order.
fn in_order(mut moments: Vec<Moment>) -> Vec<Moment> {
    moments.sort_by_key(|m| m.at);
    moments
}
