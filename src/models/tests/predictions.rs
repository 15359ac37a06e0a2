//! Any task gets a valid probability, with an explanation, deterministically.
#![allow(clippy::type_complexity, clippy::single_match_else)] // helpers of tests may fail by unwrapping

#[cfg(test)]
use crate::clock::ManualClock;
use crate::collect::DataCollector;
use crate::common::{anything, small, task};
use crate::dataset::{DatasetBuilder, Target};
use crate::event::{Completion, EventId, Feedback, Started, TaskContext, UserAction};
use crate::features::{FEATURES, FeatureEngineer, FeatureRow, Kind, Topic, index_of};
use crate::history::{History, SharedHistory};
use crate::ml::{
    BoostParams, FitRequest, Linear, LinearLoss, LinearParams, LinearRow, LinearTarget, Matrix, Objective,
    Reliability, Sample, Scaling, Tfidf, Trees, wilson,
};
use crate::models::{Predictor, RiskLevel, SuccessModel, SuccessParams, SuccessTrainer, Trainer};
use crate::serving::PredictionService;
use crate::simulate::{Simulator, SimulatorOptions};
use crate::stats::sigmoid;
use crate::store::{EventStore, MemoryStore, ScanOrder};
use crate::text::SparseText;
use crate::training::{Gate, TrainingOptions};
use chrono::{DateTime, Utc};
use futures_executor::block_on;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

struct World {
    builder: DatasetBuilder,
    now: DateTime<Utc>,
    /// Models with both components, and with one.
    models: [SuccessModel; 2],
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let (builder, now) = small::world();
    let data = builder.rows(Target::Success, now, 10_000);
    let mut params = SuccessParams::default();
    (params.min_samples, params.boost.rounds) = (150, 8);
    let plain = SuccessTrainer::new(params).unwrap().fit(&data).unwrap();
    World { models: [small::model(&data), plain], builder, now }
});

/// Checks the invariants of a prediction.
fn sound(model: &SuccessModel, row: &FeatureRow) -> Result<(), TestCaseError> {
    let found = model.predict(row);
    let (p, (low, high)) = (found.success_probability, found.interval);
    prop_assert!((0.0..=1.0).contains(&p), "probability {p}");
    prop_assert!(0.0 <= low && low <= p && p <= high && high <= 1.0, "{low} {p} {high}");
    let (p0, p1) = found.venn_abers.unwrap();
    prop_assert!(0.0 <= p0 && p0 <= p && p <= p1 && p1 <= 1.0, "{p0} {p} {p1}");
    prop_assert!((0.0..=1.0).contains(&found.confidence));
    prop_assert_eq!(found.risk_level, RiskLevel::of(p));
    let (base, features, wording) = model.contributions(row);
    let sum = base + features.iter().sum::<f64>() + wording;
    prop_assert!((sum - model.margin(row)).abs() < 1e-4, "{sum} against {}", model.margin(row));
    for reason in model.reasons(row) {
        prop_assert!(reason.contribution.is_finite() && !reason.text.contains("NaN"), "{reason:?}");
        let Some(index) = index_of(&reason.feature) else {
            prop_assert_eq!(&reason.feature, "task_description");
            continue;
        };
        prop_assert!(!row.values[index].is_nan(), "{reason:?} names a missing feature");
    }
    prop_assert_eq!(&model.predict(row), &found);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_task_has_a_sound_prediction(task in anything::context(), known in any::<bool>()) {
        let mut task = task;
        if known {
            // A task, an agent and a project with a history.
            task.task_id = crate::event::TaskId::new("TASK-3").unwrap();
            task.agent_type = Some("backend".into());
            task.project_id = Some(crate::event::ProjectId::new("project-1").unwrap());
        }
        let row = WORLD.builder.look(&task, WORLD.now);
        let priors = WORLD.builder.priors(&task, WORLD.now);
        prop_assert_eq!(row.values.len(), FEATURES.len());
        for (feature, value) in FEATURES.iter().zip(&row.values) {
            prop_assert!(!value.is_infinite(), "{} is {value}", feature.name);
            // Of a reviewer who is not named nothing is known; every other rate is shrunk toward its parents'.
            let unknown = feature.topic == Topic::Reviewer && value.is_nan();
            if feature.kind == Kind::Rate && !unknown {
                prop_assert!((0.0..=1.0).contains(value), "{} is {value}", feature.name);
            }
        }
        for prior in [priors.constant, priors.agent, priors.project] {
            prop_assert!((0.0..=1.0).contains(&prior));
        }
        for model in &WORLD.models {
            sound(model, &row)?;
            let back = SuccessTrainer::default().read(&model.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(back.predict(&row), model.predict(&row));
            prop_assert_eq!(back.reasons(&row), model.reasons(&row));
        }
    }

    #[test]
    fn every_task_has_a_prior(task in anything::context()) {
        let clock = ManualClock::at(WORLD.now);
        let service =
            PredictionService::new(Arc::new(SharedHistory::new()), FeatureEngineer::default(), Arc::new(clock));
        let mut found = service.predict_success(&task).unwrap();
        prop_assert!(found.similar_tasks.take().is_some_and(|similar| similar.tasks.is_empty()));
        prop_assert!((0.0..=1.0).contains(&found.success_probability));
        prop_assert!(found.interval.0 <= found.success_probability && found.success_probability <= found.interval.1);
        prop_assert_eq!(service.without_explanations().predict_success(&task).unwrap(), found);
    }

    #[test]
    fn rates_and_intervals_are_bounded(rate in any::<f64>(), n in any::<f64>(), p in any::<f64>()) {
        let (low, high) = wilson(rate, n);
        prop_assert!(0.0 <= low && low <= high && high <= 1.0, "{low} {high} of {rate} in {n}");
        if (0.0..=1.0).contains(&rate) {
            prop_assert!(low <= rate && rate <= high);
        }
        let (low, high) = Reliability::new(&[p, 0.3], &[true, false], 1.0).interval(p.abs().fract());
        prop_assert!(0.0 <= low && low <= high && high <= 1.0, "{low} {high}");
        prop_assert!(sigmoid(Scaling::fit(&[p, rate], &[true, false], &[1.0; 2]).apply(1.0)) >= 0.0);
    }
}

#[test]
fn hostile_texts_are_predicted_soundly() {
    let model = &WORLD.models[0];
    for text in anything::hostile_texts() {
        let mut task = task("t");
        (task.language, task.agent_type) = (Some(text.clone()), Some(text.clone()));
        task.task_description = text;
        sound(model, &WORLD.builder.look(&task, WORLD.now)).unwrap();
    }
}

/// A host may change a row: values that do not fit count as missing.
#[test]
fn rows_that_do_not_fit_are_predicted_soundly() {
    let row = WORLD.builder.look(&task("t"), WORLD.now);
    for model in &WORLD.models {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1.0] {
            let mut row = row.clone();
            row.values.fill(bad);
            let found = model.predict(&row);
            assert!((0.0..=1.0).contains(&found.success_probability), "{bad}: {found:?}");
            model.reasons(&row);
        }
        let mut short = row.clone();
        short.values.truncate(3);
        assert!((0.0..=1.0).contains(&model.predict(&short).success_probability));
        model.reasons(&short);
        short.values.clear();
        assert!((0.0..=1.0).contains(&model.point(&short)));
    }
}

#[test]
fn an_unvalidated_task_has_finite_features() {
    let mut task = task("t");
    (task.temperature, task.system_load) = (Some(f64::INFINITY), Some(1e300));
    (task.rag_avg_quality, task.rag_avg_similarity) = (Some(f64::NEG_INFINITY), Some(f64::NAN));
    let row = FeatureEngineer::default().row(&task, &History::new().view(&task, WORLD.now));
    assert!(row.values.iter().all(|v| !v.is_infinite()));
}

/// A parameter's name, and how to set it.
type Parameter<T> = (&'static str, fn(&mut T, f64));

/// A field's name, its range, and how to set it.
type Setter<T> = (&'static str, f64, f64, fn(&mut T, f64));

const TASK: [Setter<TaskContext>; 4] = [
    ("temperature", 0.0, 2.0, |t, v| t.temperature = Some(v)),
    ("rag_avg_similarity", -1.0, 1.0, |t, v| t.rag_avg_similarity = Some(v)),
    ("rag_avg_quality", 0.0, 10.0, |t, v| t.rag_avg_quality = Some(v)),
    ("system_load", 0.0, 1e6, |t, v| t.system_load = Some(v)),
];
const END: [Setter<Completion>; 5] = [
    ("cyclomatic_complexity", 0.0, 1e9, |c, v| c.cyclomatic_complexity = Some(v)),
    ("self_review_score", 0.0, 10.0, |c, v| c.self_review_score = Some(v)),
    ("generation_time_seconds", 0.0, 1e9, |c, v| c.generation_time_seconds = Some(v)),
    ("cost_usd", 0.0, 1e9, |c, v| c.cost_usd = Some(v)),
    ("final_quality_score", 0.0, 10.0, |c, v| c.final_quality_score = Some(v)),
];

fn beyond(low: f64, high: f64) -> [f64; 7] {
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, low - 1e-6, high * 1.001, 1e300, -1e300]
}

/// Returns a number as messages write it.
fn shown(v: f64) -> String {
    if v.is_finite() && v.abs() > 1e45 { format!("{v:e}") } else { v.to_string() }
}

#[test]
fn numbers_out_of_range_are_rejected_everywhere_by_field() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at(WORLD.now));
        let engineer = FeatureEngineer::default();
        let collector = DataCollector::open(store.clone(), engineer.clone(), clock.clone()).await.unwrap();
        let service = PredictionService::new(collector.history(), engineer, clock);
        let id = EventId::new("e").unwrap();
        let named = |error: crate::Error, name: &str, v: f64| {
            let text = format!("{error:#}");
            assert!(text.contains(&format!("{name} is {}", shown(v))), "{name} {v}: {text}");
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        };
        for (name, low, high, set) in TASK {
            for v in beyond(low, high) {
                let mut task = task("t");
                set(&mut task, v);
                named(service.predict_success(&task).unwrap_err(), name, v);
                named(collector.start(task).await.unwrap_err(), name, v);
            }
        }
        for (name, low, high, set) in END {
            for v in beyond(low, high) {
                let mut done = Completion::default();
                set(&mut done, v);
                named(collector.complete(&id, done).await.unwrap_err(), name, v);
            }
        }
        for v in beyond(0.0, 10.0) {
            let mut feedback = Feedback::new(UserAction::Approve);
            feedback.final_quality_score = Some(v);
            named(collector.feedback(&id, feedback).await.unwrap_err(), "final_quality_score", v);
            let mut started = Started::from(task("t"));
            started.complexity_label = Some(v);
            named(collector.start(started).await.unwrap_err(), "complexity_label", v);
        }
        assert!(
            store.scan(ScanOrder::Arrival, None, 10).await.unwrap().records.is_empty(),
            "nothing was stored"
        );
    });
}

#[test]
fn parameters_out_of_range_are_named() {
    let params: [Parameter<SuccessParams>; 9] = [
        ("l2", |p, v| p.l2 = v),
        ("dense_weight", |p, v| p.dense_weight = v),
        ("blend", |p, v| p.blend = v),
        ("seen_blend", |p, v| p.seen_blend = v),
        ("learning_rate", |p, v| p.boost.learning_rate = v),
        ("subsample", |p, v| p.boost.subsample = v),
        ("colsample", |p, v| p.boost.colsample = v),
        ("min_child_weight", |p, v| p.boost.min_child_weight = v),
        ("l2", |p, v| p.boost.l2 = v),
    ];
    for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        for (name, set) in params {
            let mut params = SuccessParams::default();
            set(&mut params, v);
            let error = SuccessTrainer::new(params).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is {}", shown(v))), "{error}");
        }
        let simulated: [Parameter<SimulatorOptions>; 2] =
            [("per_day", |o, v| o.per_day = v), ("feedback_share", |o, v| o.feedback_share = v)];
        for (name, set) in simulated {
            let mut options = SimulatorOptions::default();
            set(&mut options, v);
            assert!(Simulator::new(options).unwrap_err().to_string().contains(name));
        }
        let mut options = TrainingOptions::default();
        options.test_fraction = v;
        assert!(options.validate().unwrap_err().to_string().contains("test_fraction"));
        let bad = LinearParams { dense_l2: v, sparse_l2: 1.0, max_steps: 9 };
        assert!(linear(&bad, &[1.0, 2.0]).unwrap_err().to_string().contains("dense_l2"), "{v}");
        let bad = LinearParams { dense_l2: 1.0, sparse_l2: v, max_steps: 9 };
        assert!(linear(&bad, &[1.0, 2.0]).unwrap_err().to_string().contains("sparse_l2"), "{v}");
    }
    let mut gate = Gate::default();
    gate.floors.insert("auc".into(), f64::INFINITY);
    let mut options = TrainingOptions::default();
    options.gate = gate;
    assert!(options.validate().unwrap_err().to_string().contains("auc"));
    for start in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let mut options = SimulatorOptions::default();
        options.start = start;
        assert!(Simulator::new(options).unwrap_err().to_string().contains("start"));
    }
}

fn linear(params: &LinearParams, values: &[f32]) -> crate::Result<Linear> {
    let rows: Vec<_> = values.chunks(1).map(|dense| LinearRow { dense, indices: &[], values: &[] }).collect();
    let (labels, ones, zeros) = (vec![1.0; rows.len()], vec![1.0; rows.len()], vec![0.0; rows.len()]);
    Linear::fit(
        params,
        &rows,
        LinearTarget { labels: &labels, weights: &ones, offsets: &zeros, loss: LinearLoss::Logistic },
        4,
    )
}

#[test]
fn learners_reject_invalid_training_sets() {
    let params = LinearParams { dense_l2: 1.0, sparse_l2: 1.0, max_steps: 9 };
    assert!(linear(&params, &[]).is_err());
    for v in [f32::NAN, f32::INFINITY] {
        assert!(linear(&params, &[1.0, v]).unwrap_err().to_string().contains("finite"));
    }
    let row = LinearRow { dense: &[], indices: &[99], values: &[1.0] };
    let target =
        LinearTarget { labels: &[1.0], weights: &[1.0], offsets: &[0.0], loss: LinearLoss::Logistic };
    assert!(Linear::fit(&params, &[row], target, 4).is_err());
    let text = SparseText::read("words that nobody has learned").1;
    let (mut indices, mut values) = (vec![1], vec![1.0]);
    Tfidf::default().transform(&text, &mut indices, &mut values);
    assert!(indices.is_empty() && values.is_empty());
    let boost = BoostParams::default();
    for (values, width, labels) in [
        (vec![1.0, 2.0, 3.0], 2, vec![1.0]),
        (vec![], 0, vec![]),
        (vec![1.0], 0, vec![1.0]),
        (vec![f32::INFINITY, 1.0], 1, vec![1.0, 0.0]),
        (vec![1.0, 2.0], 1, vec![1.0]),
        (vec![1.0, 2.0], 1, vec![f64::NAN, 7.0]),
    ] {
        let weights = vec![1.0; labels.len()];
        let matrix = Matrix { values: &values, width };
        let sample = Sample::new(matrix, &labels).weighted(&weights).starting_from(&weights);
        assert!(
            Trees::fit(&boost, &FitRequest::new(Objective::Logistic, sample)).is_err(),
            "{values:?} {width} {labels:?}"
        );
    }
}
