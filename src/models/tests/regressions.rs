//! Complexity, time and quality: estimates whose intervals have their coverage, for any task.

#[cfg(test)]
use crate::ErrorKind;
use crate::clock::ManualClock;
use crate::code_metrics::CodeOptions;
use crate::collect::measure;
use crate::common::anything;
use crate::dataset::{Dataset, DatasetBuilder, Target};
use crate::event::{Completion, Fact, Record, TaskContext, TaskId};
use crate::features::{FeatureEngineer, FeatureRow, index_of};
use crate::history::SharedHistory;
use crate::models::{
    ComplexityTrainer, Estimate, Predictor, QualityTrainer, RegressionModel, RegressionTarget,
    RegressionTrainer, Status, TimeTrainer, Trainer, conformance,
};
use crate::registry::MemoryRegistry;
use crate::serving::PredictionService;
use crate::simulate::{Generation, Simulator, SimulatorOptions};
use crate::store::{EventStore, MemoryStore};
use crate::training::{BacktestOptions, Training, TrainingOptions, backtest};
use chrono::{DateTime, Utc};
use futures_executor::block_on;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

struct World {
    builder: DatasetBuilder,
    records: Vec<Record>,
    now: DateTime<Utc>,
    complexity: RegressionModel<crate::models::Complexity>,
    time: RegressionModel<crate::models::Time>,
    quality: RegressionModel<crate::models::Quality>,
}

/// Simulates six weeks, with the code measured as the collector does.
fn records() -> Vec<Record> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (42, 20.0);
    let mut records: Vec<_> = Simulator::new(options)
        .unwrap()
        .flat_map(|mut generation: Generation| {
            measure(
                &mut generation.completion,
                generation.context.language.as_deref(),
                &CodeOptions::default(),
            );
            generation.into_records().unwrap()
        })
        .collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    records
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let records = records();
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    let now = records.last().unwrap().known_at();
    let rows = |target| builder.rows(target, now, 10_000);
    World {
        complexity: ComplexityTrainer::default().fit(&rows(Target::Complexity)).unwrap(),
        time: TimeTrainer::default().fit(&rows(Target::Time)).unwrap(),
        quality: QualityTrainer::default().fit(&rows(Target::Quality)).unwrap(),
        builder,
        records,
        now,
    }
});

fn rows(target: Target) -> Dataset {
    WORLD.builder.rows(target, WORLD.now, 10_000)
}

fn sound(found: &Estimate, low: f64, high: f64) -> Result<(), TestCaseError> {
    let (narrow, wide) = (found.interval_80, found.interval_90);
    prop_assert!(low <= wide.0 && wide.0 <= narrow.0 && narrow.0 <= found.value, "{found:?}");
    prop_assert!(found.value <= narrow.1 && narrow.1 <= wide.1 && wide.1 <= high, "{found:?}");
    Ok(())
}

fn explained<Q: RegressionTarget>(model: &RegressionModel<Q>, row: &FeatureRow) -> Result<(), TestCaseError> {
    let (base, features, wording) = model.contributions(row);
    let sum = base + features.iter().sum::<f64>() + wording;
    prop_assert!((sum - model.raw(row)).abs() < 1e-4 * (1.0 + sum.abs()), "{sum} against {}", model.raw(row));
    for reason in model.reasons(row) {
        prop_assert!(reason.contribution.is_finite() && !reason.text.contains("NaN"), "{reason:?}");
        let missing = index_of(&reason.feature).is_some_and(|index| row.values[index].is_nan());
        prop_assert!(!missing, "{reason:?} names a missing feature");
    }
    prop_assert_eq!(&model.predict(row), &model.predict(row));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_task_has_sound_estimates(task in anything::context(), known in any::<bool>()) {
        let mut task = task;
        if known {
            task.task_id = TaskId::new("TASK-3").unwrap();
        }
        let row = WORLD.builder.look(&task, WORLD.now);
        sound(&WORLD.complexity.predict(&row), 0.0, 10.0)?;
        sound(&WORLD.quality.predict(&row), 0.0, 10.0)?;
        sound(&WORLD.time.predict(&row), 0.0, 1e9)?;
        explained(&WORLD.complexity, &row)?;
        explained(&WORLD.quality, &row)?;
        explained(&WORLD.time, &row)?;
    }

    #[test]
    fn any_code_has_a_sound_quality_estimate(task in anything::context(), lines in 0_u32..100_000, complexity in 0.0..1e9) {
        let mut row = WORLD.builder.look(&task, WORLD.now);
        let mut done = Completion::default();
        (done.lines_of_code, done.cyclomatic_complexity) = (Some(lines), Some(complexity));
        prop_assert!(FeatureEngineer::default().add_completion(&mut row, &done));
        sound(&WORLD.quality.predict(&row), 0.0, 10.0)?;
        explained(&WORLD.quality, &row)?;
    }
}

#[test]
fn rows_of_any_numbers_are_predicted() {
    let row = WORLD.builder.look(&TaskContext::new(TaskId::new("t").unwrap()), WORLD.now);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0] {
        let mut odd = row.clone();
        odd.values.fill(value);
        for found in [WORLD.complexity.predict(&odd), WORLD.time.predict(&odd), WORLD.quality.predict(&odd)] {
            assert!(
                found.value.is_finite() && found.interval_90.0 <= found.interval_90.1,
                "{value}: {found:?}"
            );
        }
    }
}

#[test]
fn every_trainer_conforms() {
    conformance::check(&ComplexityTrainer::default(), &rows(Target::Complexity));
    conformance::check(&TimeTrainer::default(), &rows(Target::Time));
    conformance::check(&QualityTrainer::default(), &rows(Target::Quality));
}

#[test]
fn the_artefact_is_the_same_on_any_number_of_threads() {
    fn bytes<Q: RegressionTarget>(data: &Dataset, threads: usize) -> Vec<u8> {
        let mut params = Q::params();
        (params.boost.threads, params.forest.threads) = (threads, threads);
        (params.boost.rounds, params.forest.trees) = (10, 10);
        RegressionTrainer::<Q>::new(params).unwrap().fit(data).unwrap().to_bytes().unwrap()
    }
    let (time, complexity) = (rows(Target::Time), rows(Target::Complexity));
    assert_eq!(bytes::<crate::models::Time>(&time, 1), bytes::<crate::models::Time>(&time, 3));
    let of = bytes::<crate::models::Complexity>;
    assert_eq!(of(&complexity, 1), of(&complexity, 3));
}

#[test]
fn damaged_models_are_errors_or_predict_in_range() {
    let bytes = WORLD.time.to_bytes().unwrap();
    let row = WORLD.builder.look(&TaskContext::new(TaskId::new("t").unwrap()), WORLD.now);
    for i in 0..400 {
        let mut damaged = bytes.clone();
        let at = (i * 7919) % damaged.len();
        damaged[at] ^= 1 << (i % 8);
        match TimeTrainer::default().read(&damaged) {
            Ok(model) => assert!((0.0..=1e9).contains(&model.point(&row)), "byte {at}"),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible), "{error}");
            }
        }
    }
}

fn events() -> Vec<crate::event::GenerationEvent> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day) = (42, 20.0);
    Simulator::new(options).unwrap().map(Generation::into_event).collect()
}

#[test]
fn time_is_learned_and_its_intervals_have_their_coverage() {
    let mut options = BacktestOptions::default();
    options.target = Target::Time;
    let report = backtest(events(), &options).unwrap();
    let mae = |scores: &std::collections::BTreeMap<String, f64>| scores["mae"];
    assert!(mae(&report.metrics) < mae(&report.baselines["constant"]), "{report:?}");
    assert!((0.68..=0.92).contains(&report.metrics["coverage_80"]), "{:?}", report.metrics);
    assert!(report.metrics["coverage_90"] >= report.metrics["coverage_80"]);
}

#[test]
fn shuffled_labels_leave_no_skill() {
    for target in [Target::Complexity, Target::Time, Target::Quality] {
        let mut options = BacktestOptions::default();
        (options.target, options.shuffle) = (target, true);
        let mut events = events();
        for event in &mut events {
            // The description would reveal the label, were it not shuffled.
            let length = event.started.value.context.task_description.len();
            event.started.value.complexity_label = Some((length % 40) as f64 / 4.0);
        }
        let explained = |options: &BacktestOptions| backtest(events.clone(), options).unwrap().metrics["r2"];
        let shuffled = explained(&options);
        assert!(shuffled < 0.03, "{target}: {shuffled}");
        // Of the simulator's targets only seconds can be learned from so few generations.
        if target == Target::Time {
            options.shuffle = false;
            assert!(explained(&options) > 0.5);
        }
    }
}

#[test]
fn one_service_predicts_and_reloads_all_models() {
    block_on(async {
        let (store, registry) = (MemoryStore::new(), MemoryRegistry::new());
        store.append(WORLD.records.clone()).await.unwrap();
        let clock = ManualClock::at(WORLD.now);
        let engineer = FeatureEngineer::default();
        let history = Arc::new(SharedHistory::open(&store).await.unwrap());
        let service = PredictionService::new(history, engineer.clone(), Arc::new(clock.clone()));
        let task = WORLD.records.iter().find_map(|r| match r.fact() {
            Fact::Started(started) => Some(started.context.clone()),
            _ => None,
        });
        let task = task.unwrap();
        let before = service.predict_all(&task).unwrap();
        assert_eq!((before.time.estimate.model_version, before.time.estimate.status), (0, Status::ColdStart));
        let mut options = TrainingOptions::default();
        options.gate.baselines = false; // promotes every model: the gate is tested elsewhere
        for (name, trained) in
            Training::new(&store, &registry, &engineer, &clock).with_options(options).run_all().await.unwrap()
        {
            let trained = trained.unwrap();
            assert_eq!(trained.version.model, name);
        }
        let changed = service.reload(&registry).await.unwrap();
        assert_eq!(changed.len(), 6, "{changed:?}");
        assert!(service.reload(&registry).await.unwrap().is_empty());
        let all = service.predict_all(&task).unwrap();
        assert_eq!(all.success, service.predict_success(&task).unwrap());
        assert_eq!(all, service.predict_all(&task).unwrap());
        let only = service.without_explanations().predict_all(&task).unwrap();
        assert_eq!(only.time.estimate.value, all.time.estimate.value);
        assert!(only.complexity.complexity_factors.is_empty());
        let to_approval = all.time.expected_seconds_to_approval.unwrap();
        assert!(to_approval >= all.time.estimated_seconds);
        let mut bad = task.clone();
        bad.temperature = Some(-1.0);
        let quick = service.without_explanations();
        let batch = [&task, &bad, &task].map(|task| quick.predict_all(task));
        assert_eq!(batch[0].as_ref().unwrap(), &only);
        assert_eq!(batch[1].as_ref().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(batch[2].as_ref().unwrap(), &only);
        let mut done = Completion::default();
        done.generated_code = Some("def f(x):\n    return x or 1\n".into());
        let after = service.predict_quality_of(&task, &done).unwrap();
        assert!(after.after_generation && !all.quality.after_generation);
    });
}
