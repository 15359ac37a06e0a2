//! Challengers on trial beside the champion, and rollback of a degraded model.

#[cfg(test)]
use crate::clock::{Clock, ManualClock};
use crate::event::{
    EventId, Fact, Feedback, GenerationEvent, Record, TaskContext, TaskId, TemplateId, UserAction,
};
use crate::execution::{CancellationToken, ExecutionContext};
use crate::features::FeatureEngineer;
use crate::history::SharedHistory;
use crate::models::{
    SuccessParams, SuccessTrainer, TemplateCatalogue, TemplateProfile, TemplateTrainer, Trainer,
};
use crate::registry::{MemoryRegistry, ModelRegistry, Stage};
use crate::serving::PredictionService;
use crate::simulate::{Simulator, SimulatorOptions};
use crate::store::{EventStore, MemoryStore, ScanOrder, Subject};
use crate::training::gate::GateDecision;
use crate::training::post_deployment::ChallengerReview;
use crate::training::{Promotion, Training, TrainingOptions, TrainingSchedule, TrainingSignals, model_card};
use crate::{ErrorKind, Result};
#[cfg(test)]
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;

/// A host with a fixed sequence of days.
struct Host {
    store: Arc<MemoryStore>,
    registry: MemoryRegistry,
    clock: ManualClock,
    records: std::iter::Peekable<std::vec::IntoIter<Record>>,
    engineer: FeatureEngineer,
}

impl Host {
    /// Creates the days of a simulated world, with `change` applied to every event.
    fn new(days: u32, per_day: f64, change: impl Fn(&mut GenerationEvent)) -> Self {
        let mut options = SimulatorOptions::default();
        (options.days, options.per_day, options.seed) = (days, per_day, 11);
        (options.drift_day, options.new_model_day) = (None, None);
        let mut records = Vec::new();
        for generation in Simulator::new(options.clone()).unwrap() {
            let mut event = generation.into_event();
            change(&mut event);
            records.extend(event.into_records().unwrap());
        }
        records.sort_by_cached_key(|r| (r.known_at(), r.key()));
        let clock = ManualClock::at(options.start);
        let registry = MemoryRegistry::new().with_clock(Arc::new(clock.clone()));
        let (store, engineer) = (Arc::new(MemoryStore::new()), FeatureEngineer::default());
        Self { store, registry, clock, records: records.into_iter().peekable(), engineer }
    }

    fn advance_to(&mut self, moment: DateTime<Utc>) {
        let mut due = Vec::new();
        while let Some(record) = self.records.next_if(|r| r.known_at() <= moment) {
            due.push(record);
        }
        block_on(self.store.append(due)).unwrap();
        self.clock.set(moment);
    }

    fn training(&self, options: TrainingOptions) -> Training<'_> {
        Training::new(self.store.as_ref(), &self.registry, &self.engineer, &self.clock).with_options(options)
    }

    /// Reviews the challenger on trial.
    fn review<T: Trainer>(&self, options: TrainingOptions, trainer: &T) -> Result<Option<ChallengerReview>> {
        let (training, now) = (self.training(options), self.clock.now());
        block_on(async {
            let facts = training.read([trainer], now, &mut ExecutionContext::new().begin()).await?;
            training.live(trainer, &training.rows(trainer, &facts, now), now).review().await
        })
    }

    fn production(&self) -> Option<u64> {
        block_on(self.registry.production("success")).unwrap().map(|v| v.version)
    }

    fn stage(&self, version: u64) -> Stage {
        block_on(self.registry.version("success", version)).unwrap().stage
    }
}

fn day(number: i64) -> DateTime<Utc> {
    SimulatorOptions::default().start + TimeDelta::days(number)
}

/// Creates a trainer of weak models, hardly better than the constant.
fn weak() -> SuccessTrainer {
    let mut params = SuccessParams::default();
    (params.l2, params.blend, params.boost.rounds) = (1e6, 0.0, 1);
    SuccessTrainer::new(params).unwrap()
}

#[test]
fn a_challenger_on_trial_has_no_effect_until_it_is_better() {
    let mut host = Host::new(60, 60.0, |_| ());
    host.advance_to(day(4));
    let mut options = TrainingOptions::default();
    options.gate.baselines = false;
    assert!(block_on(host.training(options.clone()).run(&weak())).unwrap().promoted);
    host.advance_to(day(20));
    options.promotion = Promotion::Trial;
    let trained = block_on(host.training(options.clone()).run(&SuccessTrainer::default())).unwrap();
    assert!(trained.on_trial && !trained.promoted, "{:?}", trained.reasons);
    assert_eq!((host.production(), host.stage(2)), (Some(1), Stage::Staging));

    // The service predicts with the champion, and returns the challenger's prediction beside it.
    let history = Arc::new(block_on(SharedHistory::open(host.store.as_ref())).unwrap());
    let service =
        || PredictionService::new(history.clone(), host.engineer.clone(), Arc::new(host.clock.clone()));
    let plain = service();
    block_on(plain.reload(&host.registry)).unwrap();
    let task = |i: usize| {
        let mut task = TaskContext::new(TaskId::new(format!("t{i}")).unwrap());
        task.agent_type = Some("backend".into());
        task.task_description = "Add the endpoint with validation and tests".into();
        task
    };
    let served = plain.predict_success(&task(1)).unwrap();
    let shadow = plain.clone().with_canary(1.0).unwrap();
    let beside = shadow.predict_all(&task(1)).unwrap();
    assert_eq!((served.model_version, beside.success.model_version), (1, 2));
    assert_ne!(served.success_probability, beside.success.success_probability);
    // As a canary it serves some tasks, always the same ones.
    let canary = service().with_canary(0.25).unwrap().without_explanations();
    block_on(canary.reload(&host.registry)).unwrap();
    let by = |i: usize| canary.predict_success(&task(i)).unwrap().model_version;
    let served_by: Vec<_> = (0..400).map(by).collect();
    assert_eq!(served_by, (0..400).map(by).collect::<Vec<_>>());
    for found in (0..400).map(|i| canary.without_explanations().predict_success(&task(i)).unwrap()) {
        let (p, pair) = (found.success_probability, found.venn_abers.unwrap());
        assert!(found.interval.0 <= p && p <= found.interval.1 && pair.0 <= p && p <= pair.1, "{found:?}");
    }
    let share = served_by.iter().filter(|v| **v == 2).count();
    assert!((70..130).contains(&share), "{share} of 400");
    assert!(service().with_canary(f64::NAN).is_err());

    // Its evidence grows with every training cycle, until it is significant.
    let mut cycles = 0;
    let review = loop {
        cycles += 1;
        host.advance_to(day(20 + cycles));
        let review = host.review(options.clone(), &SuccessTrainer::default()).unwrap();
        match review {
            Some(review) if review.verdict.decision == GateDecision::Inconclusive && cycles < 40 => {
                assert_eq!(host.production(), Some(1));
            }
            other => break other.unwrap(),
        }
    };
    println!("after {cycles} cycles: {review:?}");
    assert!(review.promoted && review.outcomes >= 100);
    assert_eq!((host.production(), host.stage(1)), (Some(2), Stage::Archived));
    assert_eq!(host.review(options, &SuccessTrainer::default()).unwrap(), None);
}

#[test]
fn a_worse_challenger_is_rejected() {
    let mut host = Host::new(60, 60.0, |_| ());
    host.advance_to(day(15));
    assert!(
        block_on(host.training(TrainingOptions::default()).run(&SuccessTrainer::default())).unwrap().promoted
    );
    // Put on trial by hand: the gate would have rejected it.
    let mut options = TrainingOptions::default();
    (options.gate.champion, options.gate.baselines, options.promotion) = (false, false, Promotion::Trial);
    host.advance_to(day(16));
    assert!(block_on(host.training(options).run(&weak())).unwrap().on_trial);
    // A second challenger waits.
    let mut trial = TrainingOptions::default();
    trial.promotion = Promotion::Trial;
    let waiting = block_on(host.training(trial.clone()).run(&SuccessTrainer::default())).unwrap();
    assert!(!waiting.on_trial, "{:?}", waiting.reasons);
    host.advance_to(day(59));
    let review = host.review(trial, &SuccessTrainer::default()).unwrap().unwrap();
    assert_eq!(review.verdict.decision, GateDecision::Reject, "{:?}", review.verdict.reasons);
    assert_eq!((host.production(), host.stage(2)), (Some(1), Stage::Archived));
}

/// Creates a host where approvals and rejections are swapped for ten days; a model trained on those days alone is
/// in production on the last of them, with the options that are returned.
fn misled() -> (Host, TrainingOptions) {
    let mut host = Host::new(60, 60.0, |event| {
        let start = event.started.known_at;
        if start >= day(20) && start < day(30) {
            for feedback in &mut event.feedback {
                let action = &mut feedback.value.user_action;
                *action =
                    if *action == UserAction::Approve { UserAction::Reject } else { UserAction::Approve };
            }
        }
    });
    let trainer = SuccessTrainer::default();
    host.advance_to(day(19));
    assert!(block_on(host.training(TrainingOptions::default()).run(&trainer)).unwrap().promoted);
    host.advance_to(day(30));
    let mut hurried = TrainingOptions::default();
    (hurried.max_rows, hurried.gate.champion, hurried.gate.baselines) = (450, false, false);
    hurried.retrain_growth = 10.0;
    assert!(block_on(host.training(hurried.clone()).run(&trainer)).unwrap().promoted);
    assert_eq!(host.production(), Some(2));
    (host, hurried)
}

#[test]
fn a_degraded_model_is_rolled_back_and_a_cooldown_follows() {
    let (mut host, _) = misled();
    let trainer = SuccessTrainer::default();
    let mut cycles = 0;
    let watch = loop {
        cycles += 1;
        host.advance_to(day(30 + cycles));
        let watch = block_on(host.training(TrainingOptions::default()).watch(&trainer)).unwrap().unwrap();
        if watch.rolled_back_to.is_some() || cycles > 25 {
            break watch;
        }
    };
    println!("after {cycles} cycles: {:?}", watch.reasons);
    assert_eq!((watch.version, watch.rolled_back_to), (2, Some(1)), "{:?}", watch.reasons);
    assert_eq!((host.production(), host.stage(2)), (Some(1), Stage::Archived));
    let fallen = block_on(host.registry.version("success", 2)).unwrap();
    let last = fallen.verdicts.last().unwrap();
    assert!(last.rolled_back && last.reasons.iter().any(|r| r.contains("degraded since evaluation")));
    assert!(model_card(&fallen).unwrap().contains("rolled back"));

    // Three days of cooldown, whatever the gate decides.
    let mut open = TrainingOptions::default();
    (open.gate.champion, open.gate.baselines) = (false, false);
    let soon = block_on(host.training(open.clone()).run(&trainer)).unwrap();
    assert!(
        !soon.promoted && soon.reasons.iter().any(|r| r.contains("cool-down after a rollback")),
        "{:?}",
        soon.reasons
    );
    host.advance_to(day(30 + cycles + 4));
    assert!(block_on(host.training(open).run(&trainer)).unwrap().promoted);
}

#[test]
fn a_model_that_is_rolled_back_is_trained_again_in_the_same_night() {
    let (mut host, hurried) = misled();
    for cycle in 31.. {
        host.advance_to(day(cycle));
        let night = block_on(host.training(hurried.clone()).nightly(&SuccessTrainer::default())).unwrap();
        if night.watched.unwrap().rolled_back_to.is_some() {
            assert_eq!(night.trained.unwrap().version.version, 3);
            break;
        }
        assert!(cycle < 36 && too_little_new(&night.trained.unwrap_err()), "day {cycle}");
    }
}

fn too_little_new(error: &crate::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotEnoughData { .. }) && error.to_string().contains("retrain_growth")
}

/// Returns whether the training cycle of a day trained a model; it checks the one in production all the same.
fn trains(host: &mut Host, number: i64, rounds: usize, growth: f64, drift: bool) -> bool {
    host.advance_to(day(number));
    let mut params = SuccessParams::default();
    params.boost.rounds = rounds;
    let mut options = TrainingOptions::default();
    (options.retrain_growth, options.gate.baselines) = (growth, false);
    let signals = TrainingSignals { outcomes: 0, drift };
    let training = host.training(options);
    let claim = block_on(TrainingSchedule::default().claim(&training, "success", signals)).unwrap().unwrap();
    // Its lease has ended by the next day.
    let training = training.with_claim(&claim);
    let night = block_on(training.nightly(&SuccessTrainer::new(params).unwrap())).unwrap();
    assert_eq!(night.watched.is_some(), number > 25);
    night.trained.map_err(|error| assert!(too_little_new(&error), "{error}")).is_ok()
}

#[test]
fn a_model_is_trained_again_when_enough_is_new() {
    let mut host = Host::new(45, 60.0, |_| ());
    assert!(trains(&mut host, 25, 5, 0.1, false), "the first");
    assert!(!trains(&mut host, 26, 5, 0.1, false));
    assert!(trains(&mut host, 29, 5, 0.1, false), "a tenth is new");
    assert!(!trains(&mut host, 30, 5, 0.1, false));
    assert!(trains(&mut host, 31, 5, 0.1, true), "drift");
    assert!(trains(&mut host, 32, 5, 0.0, false), "every night");
    assert!(trains(&mut host, 33, 5, 10.0, false), "other options");
    assert!(!trains(&mut host, 34, 5, 10.0, false));
    assert!(trains(&mut host, 35, 6, 10.0, false), "other parameters");
    assert!(!trains(&mut host, 36, 6, 10.0, false));
    let project = block_on(host.store.scan(ScanOrder::Known, None, 1)).unwrap().records.remove(0);
    let Fact::Started(started) = project.fact() else { panic!("the first fact is a start") };
    let project = Subject::Project(started.context.project_id.clone().unwrap());
    block_on(host.store.erase(&project)).unwrap();
    assert!(trains(&mut host, 37, 6, 10.0, false), "facts were erased");
    assert!(!trains(&mut host, 43, 6, 10.0, false));
    assert!(trains(&mut host, 44, 6, 10.0, false), "a week later");
}

#[test]
fn a_model_without_degradation_stays() {
    let mut host = Host::new(50, 60.0, |_| ());
    host.advance_to(day(25));
    assert!(
        block_on(host.training(TrainingOptions::default()).run(&SuccessTrainer::default())).unwrap().promoted
    );
    let mut every_night = TrainingOptions::default();
    every_night.retrain_growth = 0.0;
    for cycle in 26..50 {
        host.advance_to(day(cycle));
        let found = block_on(host.training(every_night.clone()).nightly(&SuccessTrainer::default())).unwrap();
        let watch = found.watched.unwrap();
        assert_eq!(watch.rolled_back_to, None, "{:?}", watch.reasons);
        found.trained.unwrap();
    }
}

/// Creates a host whose templates fit one topic each, every quarter of an hour one generation: where `misled`,
/// what fits is rejected more often.
fn topics(days: i64, misled: bool) -> Host {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let mut host = Host::new(1, 1.0, |_| ());
    let mut records = Vec::new();
    for number in 0..days * 96 {
        let (template, topic) = (rng.random_range(0..60), rng.random_range(0..10));
        let mut task = TaskContext::new(TaskId::new(format!("task{number}")).unwrap());
        task.task_description = format!("Please add what we need for topic{topic}");
        task.task_type = Some(format!("type{}", number % 40));
        task.template_id = Some(TemplateId::new(format!("t{template:02}")).unwrap());
        let approved = rng.random_bool(if template % 10 == topic { 0.9 } else { 0.3 }) != misled;
        let (id, start) =
            (EventId::new(format!("e{number}")).unwrap(), day(0) + TimeDelta::minutes(15 * number));
        let feedback = Feedback::new(if approved { UserAction::Approve } else { UserAction::Reject });
        records.push(Record::new(id.clone(), start, Fact::Started(Box::new(task.into()))).unwrap());
        let known = start + TimeDelta::minutes(5);
        records.push(Record::new(id, known, Fact::Feedback(Box::new(feedback))).unwrap());
    }
    host.records = records.into_iter().peekable();
    host
}

/// The ranking goes through trial, promotion, rollback and cancellation as the other models do.
#[test]
fn a_ranking_is_tried_promoted_rolled_back_and_cancelled() {
    let profile = |i: u32| {
        let topic = format!("topic{}", i % 10);
        TemplateProfile::new(TemplateId::new(format!("t{i:02}")).unwrap())
            .described(topic.clone())
            .tagged([topic])
    };
    let catalogue = TemplateCatalogue::new((0..60).map(profile)).unwrap();
    let trainer = TemplateTrainer::default().with_catalogue(catalogue);
    let (mut host, mut misled) = (topics(84, false), topics(28, true));
    let mut options = TrainingOptions::default();
    (options.gate.baselines, options.cool_down_days) = (false, 0);
    let production = |host: &Host| block_on(host.registry.production("template")).unwrap().map(|v| v.version);

    // A cancelled run registers nothing.
    host.advance_to(day(28));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let work = ExecutionContext::new().with_cancel(&cancel);
    let error = block_on(host.training(options.clone()).with_execution(work).run(&trainer)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(block_on(host.registry.versions("template")).unwrap().is_empty());
    assert!(block_on(host.training(options.clone()).run(&trainer)).unwrap().promoted);

    // A version learned from misled feedback is live: the next outcomes roll it back.
    misled.advance_to(day(28));
    misled.registry = std::mem::take(&mut host.registry);
    let learned = block_on(misled.training(options.clone()).run(&trainer)).unwrap();
    assert!(learned.promoted, "{:?}", learned.reasons);
    host.registry = std::mem::take(&mut misled.registry);
    host.advance_to(day(56));
    let check = block_on(host.training(options.clone()).watch(&trainer)).unwrap().unwrap();
    assert_eq!((check.rolled_back_to, production(&host)), (Some(1), Some(1)), "{:?}", check.reasons);

    // Live once more, it loses to a challenger on trial.
    block_on(host.registry.promote("template", 2, Some(1))).unwrap();
    options.promotion = Promotion::Trial;
    let trained = block_on(host.training(options.clone()).run(&trainer)).unwrap();
    assert!(trained.on_trial, "{:?}", trained.reasons);
    host.advance_to(day(84));
    let review = host.review(options.clone(), &trainer).unwrap().unwrap();
    assert_eq!((review.promoted, production(&host)), (true, Some(3)), "{:?}", review.verdict.reasons);

    // A training cycle of all models has it beside the others.
    let cycles = block_on(host.training(options).with_model(trainer).run_nightly()).unwrap();
    let names: Vec<_> = cycles.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["success", "complexity", "time", "quality", "cost", "tokens", "template"]);
    let ranking = cycles.into_iter().find(|(name, _)| *name == "template").unwrap().1.unwrap();
    assert!(ranking.trained.unwrap().on_trial && ranking.watched.is_some());
}
