//! Facts in the order in which they become known, simulated or recorded.

use chrono::{DateTime, Utc};
use devmatrix_ml::Result;
use devmatrix_ml::event::{Completion, EventId, Fact, Feedback, GenerationEvent, Record, Started};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A fact of a generation at the time when it becomes known.
pub(crate) struct Moment {
    /// Time at which the fact becomes known.
    pub(crate) at: DateTime<Utc>,
    /// Generation that the fact belongs to.
    pub(crate) id: EventId,
    /// The fact.
    pub(crate) what: What,
    /// True probability of success of a simulated generation.
    pub(crate) probability: Option<f64>,
}

/// A start, an end or feedback.
pub(crate) enum What {
    Start(Box<Started>),
    Complete(Box<Completion>),
    Feedback(Box<Feedback>),
}

/// Simulates `days` days.
pub(crate) fn simulated(days: u32, seed: u64) -> Result<Vec<Moment>> {
    let mut options = SimulatorOptions::default();
    (options.days, options.seed) = (days, seed);
    let mut moments = Vec::new();
    for generation in Simulator::new(options)? {
        let probability = generation.probability;
        for record in generation.into_event().into_records()? {
            moments.push(moment(record, Some(probability)));
        }
    }
    Ok(in_order(moments))
}

/// Converts recorded events.
pub(crate) fn of_events(events: Vec<GenerationEvent>) -> Result<Vec<Moment>> {
    let mut moments = Vec::new();
    for event in events {
        moments.extend(event.into_records()?.into_iter().map(|record| moment(record, None)));
    }
    Ok(in_order(moments))
}

/// Writes the events of the moments as JSON Lines.
pub(crate) fn write_events(moments: &[Moment], path: &Path) -> anyhow::Result<()> {
    let mut records = BTreeMap::<(DateTime<Utc>, &EventId), Vec<Record>>::new();
    let starts: HashMap<_, _> =
        moments.iter().filter_map(|m| matches!(m.what, What::Start(_)).then_some((&m.id, m.at))).collect();
    for moment in moments {
        let record = Record::new(moment.id.clone(), moment.at, moment.what.fact())?;
        let start = starts.get(&moment.id).copied().unwrap_or(moment.at);
        records.entry((start, &moment.id)).or_default().push(record);
    }
    let mut file = BufWriter::new(File::create(path)?);
    for event in records.into_values().filter_map(GenerationEvent::from_records) {
        serde_json::to_writer(&mut file, &event)?;
        writeln!(file)?;
    }
    Ok(file.flush()?)
}

impl What {
    fn fact(&self) -> Fact {
        match self {
            Self::Start(started) => Fact::Started(started.clone()),
            Self::Complete(completion) => Fact::Completed(completion.clone()),
            Self::Feedback(feedback) => Fact::Feedback(feedback.clone()),
        }
    }
}

fn moment(record: Record, probability: Option<f64>) -> Moment {
    let (id, at, fact) = record.into_parts();
    let what = match fact {
        Fact::Started(started) => What::Start(started),
        Fact::Completed(completion) => What::Complete(completion),
        Fact::Feedback(feedback) => What::Feedback(feedback),
    };
    Moment { at, id, what, probability }
}

/// Sorts by time; facts of one generation at the same time stay in their order.
fn in_order(mut moments: Vec<Moment>) -> Vec<Moment> {
    moments.sort_by_key(|m| m.at);
    moments
}
