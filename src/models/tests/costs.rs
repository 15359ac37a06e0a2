//! Cost and tokens: ranges before the run, also of small amounts, of known tasks and new ones.

#[cfg(test)]
use crate::common::abilities;
use crate::dataset::{Dataset, DatasetBuilder, Target};
use crate::event::{Fact, Record, TaskContext};
use crate::features::{FeatureEngineer, FeatureRow};
use crate::models::{CostTrainer, Estimate, Predictor, TokensTrainer, Trainer, conformance};
use crate::simulate::{Simulator, SimulatorOptions};
use chrono::{DateTime, TimeDelta, Utc};

struct World {
    builder: DatasetBuilder,
    now: DateTime<Utc>,
}

impl World {
    fn of(records: &[Record]) -> Self {
        let mut builder = DatasetBuilder::new(FeatureEngineer::default());
        records.iter().for_each(|record| builder.apply(record));
        Self { builder, now: records.last().unwrap().known_at() + TimeDelta::hours(1) }
    }

    /// The world of agents that share tasks, where all costs are `times` as high.
    fn shared(times: f64) -> Self {
        let dearer = |record: Record| {
            let (id, known_at, mut fact) = record.into_parts();
            if let Fact::Completed(done) = &mut fact {
                done.cost_usd = done.cost_usd.map(|usd| usd * times);
            }
            Record::new(id, known_at, fact).unwrap()
        };
        Self::of(&abilities::records().into_iter().map(dearer).collect::<Vec<_>>())
    }

    fn rows(&self, target: Target) -> Dataset {
        self.builder.rows(target, self.now, 10_000)
    }

    fn row(&self, task: &TaskContext) -> FeatureRow {
        self.builder.look(task, self.now)
    }
}

/// Tasks that nobody has tried, with each agent.
fn new_tasks() -> impl Iterator<Item = (usize, usize)> {
    (64..144).flat_map(|task| (0..abilities::AGENTS.len()).map(move |agent| (task, agent)))
}

#[test]
fn cost_and_tokens_go_as_every_model_does() {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (30, 12.0);
    let generations = Simulator::new(options).unwrap();
    let mut records: Vec<_> = generations.flat_map(|g| g.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let world = World::of(&records);
    conformance::check(&CostTrainer::default(), &world.rows(Target::Cost));
    conformance::check(&TokensTrainer::default(), &world.rows(Target::Tokens));
    conformance::check(&CostTrainer::default(), &World::shared(1.0).rows(Target::Cost));
}

#[test]
fn a_new_task_costs_what_similar_ones_cost_its_agent() {
    let world = World::shared(1.0);
    let model = CostTrainer::default().fit(&world.rows(Target::Cost)).unwrap();
    let (mut held, mut points, mut labels) = ([0.0; 2], Vec::new(), Vec::new());
    for (task, agent) in new_tasks() {
        let cost = abilities::cost_usd(task, agent);
        let Estimate { value, interval_80, interval_90, .. } =
            model.predict(&world.row(&abilities::context(task, agent)));
        assert!(interval_90.0 <= interval_80.0 && interval_80.0 <= value && interval_80.1 <= interval_90.1);
        for (held, (low, high)) in held.iter_mut().zip([interval_80, interval_90]) {
            *held += f64::from(u8::from((low..=high).contains(&cost)));
        }
        points.push(value);
        labels.push(cost);
    }
    let shares = held.map(|held| held / points.len() as f64);
    assert!((0.74..=0.9).contains(&shares[0]) && (0.84..=0.97).contains(&shares[1]), "{shares:?}");
    let scores = CostTrainer::default().scores(&points, &labels).unwrap();
    assert!(scores["log_correlation"] > 0.95, "{scores:?}");
}

#[test]
fn small_amounts_are_learned_as_large_ones() {
    let fit = |times| {
        let world = World::shared(times);
        (CostTrainer::default().fit(&world.rows(Target::Cost)).unwrap(), world)
    };
    let ((dear, world), (cheap, cheap_world)) = (fit(1.0), fit(1e-3));
    let context = abilities::context(70, 2);
    let (large, small) = (dear.predict(&world.row(&context)), cheap.predict(&cheap_world.row(&context)));
    assert!((small.value * 1e3 / large.value - 1.0).abs() < 0.02, "{small:?} {large:?}");
    assert!((small.interval_90.1 * 1e3 / large.interval_90.1 - 1.0).abs() < 0.05, "{small:?} {large:?}");
}

#[test]
fn what_costs_nothing_is_within_its_interval() {
    let world = World::shared(0.0);
    let model = CostTrainer::default().fit(&world.rows(Target::Cost)).unwrap();
    let found = model.predict(&world.row(&abilities::context(70, 2)));
    assert_eq!((found.value, found.interval_80.0, found.interval_90.0), (0.0, 0.0, 0.0), "{found:?}");
}
