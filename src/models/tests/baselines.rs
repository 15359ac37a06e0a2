//! Where a model knows no more than the past's rates and means, these answer.

#[cfg(test)]
use crate::dataset::{DatasetBuilder, Target};
use crate::event::{GenerationEvent, TaskContext, TaskId};
use crate::features::{FeatureEngineer, FeatureId, FeatureRow};
use crate::models::{Predictor, SuccessTrainer, TimeTrainer, Trainer};
use chrono::{DateTime, TimeDelta, Utc};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const WORDS: [&str; 12] = [
    "cache", "parser", "login", "report", "export", "queue", "index", "retry", "theme", "upload", "search",
    "billing",
];

/// Generations whose words, settings and hours tell nothing: an agent succeeds at its own rate, a task takes its own time.
pub(crate) struct Noise {
    pub(crate) builder: DatasetBuilder,
    pub(crate) now: DateTime<Utc>,
    task: TaskContext,
}

impl Noise {
    /// Simulates `n` generations, each of one of `tasks` tasks.
    pub(crate) fn new(n: usize, tasks: usize) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(11);
        let mut builder = DatasetBuilder::new(FeatureEngineer::default());
        let mut now = "2025-03-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let mut task = None;
        for number in 0..n {
            let agent = rng.random_range(0..4);
            let approved = rng.random_bool([0.2, 0.4, 0.6, 0.8][agent]);
            let own = rng.random_range(0..tasks);
            let seconds = 20.0 * 1.1_f64.powi((own % 40) as i32) * rng.random_range(0.9..1.1);
            let words: Vec<_> = (0..6).map(|_| *WORDS.choose(&mut rng).unwrap()).collect();
            let event = serde_json::json!({
                "event_id": format!("e{number}"), "task_id": format!("t{own}"), "agent_type": format!("agent {agent}"),
                "project_id": format!("p{}", own % 5), "task_description": words.join(" "),
                "started_at": now, "completed_at": now + TimeDelta::minutes(20), "generation_time_seconds": seconds,
                "approved_at": now + TimeDelta::minutes(30), "user_action": if approved { "approve" } else { "reject" },
            });
            let event = GenerationEvent::from_json(&event.to_string()).unwrap();
            task = Some(event.started.value.context.clone());
            event.into_records().unwrap().iter().for_each(|record| builder.apply(record));
            now += TimeDelta::hours(1);
        }
        Self { builder, now, task: task.unwrap() }
    }

    /// Returns the row of a task of this agent.
    pub(crate) fn row(&self, task: &str, agent: usize) -> FeatureRow {
        let mut asked = self.task.clone();
        (asked.task_id, asked.agent_type) = (TaskId::new(task).unwrap(), Some(format!("agent {agent}")));
        self.builder.look(&asked, self.now)
    }
}

fn value(row: &FeatureRow, id: FeatureId) -> f64 {
    f64::from(row.values[id as usize])
}

#[test]
fn a_success_model_that_knows_no_more_than_a_rate_answers_with_it() {
    let world = Noise::new(1_500, 1_000_000);
    let data = world.builder.rows(Target::Success, world.now, 10_000);
    let model = SuccessTrainer::default().fit(&data).unwrap();
    let back = SuccessTrainer::default().read(&model.to_bytes().unwrap()).unwrap();
    for agent in 0..4 {
        let row = world.row("new", agent);
        let rates = [FeatureId::AgentPastPerformance, FeatureId::AgentModelSuccessRate];
        let p = model.point(&row);
        assert!(rates.iter().any(|rate| (value(&row, *rate) - p).abs() < 1e-6), "agent {agent}: {p}");
        let (base, features, wording) = model.contributions(&row);
        assert!((base + features.iter().sum::<f64>() + wording - model.margin(&row)).abs() < 1e-9);
        assert_eq!(back.predict(&row), model.predict(&row));
    }
}

/// What serves instead of a first model that is no better than the past on tasks tried before.
#[test]
fn the_baseline_of_seconds_answers_tried_tasks_with_what_their_record_leads_one_to_expect() {
    let world = Noise::new(1_500, 60);
    let data = world.builder.rows(Target::Time, world.now, 10_000);
    let model = TimeTrainer::default().fit_baseline(&data).unwrap().unwrap();
    // But for one factor, the average residual.
    let mut factors = Vec::new();
    for task in 0..60 {
        let row = world.row(&format!("t{task}"), task % 4);
        let (expected, found) = (value(&row, FeatureId::ExpectedTime).exp(), 1.0 + model.point(&row));
        factors.push(found / expected);
        let prediction = model.predict(&row);
        let (low, high) = prediction.interval_90;
        let holds = (low..=high).contains(&prediction.value);
        assert!(holds && high < 4.0 * low, "task {task}: {} in {low} to {high}", prediction.value);
    }
    assert!((factors[0] - 1.0).abs() < 0.02, "{factors:?}");
    assert!(factors.iter().all(|factor| (factor / factors[0] - 1.0).abs() < 1e-4), "{factors:?}");
}
