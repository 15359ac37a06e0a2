//! Histories and training sets of templates.

#[cfg(test)]
use crate::common::task;
use crate::dataset::{Dataset, RowBuilder};
use crate::event::{EventId, Fact, Feedback, Record, TemplateId, UserAction};
use crate::history::History;
use crate::models::{TemplateCatalogue, TemplateDatasetBuilder, TemplateProfile};
use crate::simulate::{Generation, Simulator, SimulatorOptions};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Returns the facts of generations in the order in which they became known.
pub(crate) fn records(generations: &[Generation]) -> Vec<Record> {
    let all = generations.iter().flat_map(|g| g.clone().into_records().unwrap());
    let mut records: Vec<_> = all.collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

/// Replays `records` up to `now`: training set and history.
pub(crate) struct Replay {
    pub(crate) data: Dataset,
    pub(crate) history: History,
}

pub(crate) fn replay(catalogue: &TemplateCatalogue, records: &[Record], now: DateTime<Utc>) -> Replay {
    let (mut builder, mut history) = (TemplateDatasetBuilder::new(catalogue.clone()), History::new());
    for record in records.iter().filter(|r| r.known_at() <= now) {
        builder.apply(record);
        history.apply(record);
    }
    Replay { data: builder.rows(now, usize::MAX), history }
}

/// Simulates a host with many templates, each used seldom: success depends on whether the template's topic is
/// the task's.
pub(crate) fn topics(seed: u64, generations: u64) -> (TemplateCatalogue, Vec<Record>) {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let topic = |i: u32| format!("topic{i}");
    let profile = |i: u32| {
        TemplateProfile::new(TemplateId::new(format!("t{i:02}")).unwrap())
            .described(format!("Builds what belongs to {}", topic(i % 10)))
            .tagged([topic(i % 10)])
    };
    let catalogue = TemplateCatalogue::new((0..60).map(profile)).unwrap();
    let mut records = Vec::new();
    for number in 0..generations {
        let (template, about) = (rng.random_range(0..60), rng.random_range(0..10));
        let mut task = task(&format!("task{number}"));
        task.task_description = format!("Please add what we need for {}", topic(about));
        task.template_id = Some(TemplateId::new(format!("t{template:02}")).unwrap());
        let success = rng.random_bool(if template % 10 == about { 0.85 } else { 0.45 });
        let start: DateTime<Utc> = "2025-03-03T08:00:00Z".parse().unwrap();
        let start = start + TimeDelta::minutes(15 * number as i64);
        let id = EventId::new(format!("e{number}")).unwrap();
        let action = if success { UserAction::Approve } else { UserAction::Reject };
        records.push(Record::new(id.clone(), start, Fact::Started(Box::new(task.into()))).unwrap());
        let feedback = Fact::Feedback(Box::new(Feedback::new(action)));
        records.push(Record::new(id, start + TimeDelta::minutes(5), feedback).unwrap());
    }
    (catalogue, records)
}

/// Replays a small simulated world.
pub(crate) fn learned() -> Replay {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.seed) = (30, 30.0, 51);
    let simulator = Simulator::new(options).unwrap();
    let catalogue = simulator.templates();
    let records = records(&simulator.collect::<Vec<_>>());
    let now = records.last().unwrap().known_at();
    replay(&catalogue, &records, now)
}
