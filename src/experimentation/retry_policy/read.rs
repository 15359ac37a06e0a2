//! Trajectories from stored generations.

use super::action::RetryAction;
use super::state::{RetryState, recorded_step};
use super::trajectory::{Ending, MOST_STEPS, Trajectory, TrajectoryStep};
use crate::error::Result;
use crate::event::{GenerationEvent, Outcome, TaskId};
use crate::experimentation::Unit;
use crate::routing::logged::{check_span, for_each_generation};
use crate::stats::fnv;
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// Which stored tasks are used, and how they are clustered.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrajectoryOptions {
    /// The attribution window of a task, from its first attempt, above 0 and at most ten years; younger tasks are left
    /// out, and facts known later do not count.
    pub window: TimeDelta,
    /// Whose tasks are correlated.
    pub cluster: Unit,
}

impl Default for TrajectoryOptions {
    fn default() -> Self {
        Self { window: TimeDelta::days(30), cluster: Unit::Task }
    }
}

/// Numbers of tasks that could not be used, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkippedTrajectories {
    /// The attribution window has not passed.
    pub(crate) young: usize,
    /// An attempt had no label at the end of the window. Missing feedback is no label.
    #[serde(alias = "unanswered")]
    pub unlabelled: usize,
    /// An attempt failed and no action, or not the propensities of all actions, were stored with it.
    #[serde(alias = "without_odds")]
    pub(crate) without_propensity: usize,
    /// A further attempt was decided and never made.
    pub(crate) unfinished: usize,
    /// The attempts are no chain: one does not repeat the task, one follows a stop, or there are more than 65.
    pub(crate) no_chain: usize,
}

/// Stored tasks as trajectories.
///
/// ```
/// # use devmatrix_ml::{experimentation::retry_policy::*, store::MemoryStore};
/// # futures_executor::block_on(async {
/// # let store = MemoryStore::new();
/// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let logged = Trajectories::read(&store, &TrajectoryOptions::default(), now).await?;
/// let rule = BaselinePolicy::retry_up_to(4)?;
/// // With no trajectory there is nothing to learn from.
/// assert!(learn_retry_policy(&logged.trajectories, &rule, &RetryLearningOptions::default()).is_err());
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trajectories {
    /// In the order of the tasks' ids.
    pub trajectories: Vec<Trajectory>,
    /// The tasks left out.
    pub skipped: SkippedTrajectories,
}

impl Trajectories {
    /// Reads every task of `store` whose first attempt failed.
    ///
    /// # Errors
    /// Those of reading the store; `InvalidInput` when an option is out of range.
    pub async fn read(
        store: &dyn EventStore,
        options: &TrajectoryOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut tasks = Tasks::new(options, now)?;
        for_each_generation(store, options.window, |event| {
            tasks.add(event);
            Ok(())
        })
        .await?;
        Ok(tasks.finish())
    }

    /// Returns the trajectories of generations, in any order.
    #[cfg(feature = "simulate")]
    pub(crate) fn of(
        events: impl IntoIterator<Item = GenerationEvent>,
        options: &TrajectoryOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut tasks = Tasks::new(options, now)?;
        let mut events: Vec<_> = events.into_iter().collect();
        events.sort_by(|a, b| (a.started.known_at, &a.event_id).cmp(&(b.started.known_at, &b.event_id)));
        events.into_iter().for_each(|event| tasks.add(event));
        Ok(tasks.finish())
    }
}

/// Attempts grouped by task. A task is finished once a generation starts after its window; from then on only the hash
/// of its id is kept, so that later attempts do not count as another task.
struct Tasks<'a> {
    options: &'a TrajectoryOptions,
    now: DateTime<Utc>,
    open: BTreeMap<TaskId, Vec<GenerationEvent>>,
    /// Open tasks by the end of their windows.
    due: VecDeque<(DateTime<Utc>, TaskId)>,
    closed: HashSet<u64>,
    found: Vec<(TaskId, Trajectory)>,
    skipped: SkippedTrajectories,
}

impl<'a> Tasks<'a> {
    fn new(options: &'a TrajectoryOptions, now: DateTime<Utc>) -> Result<Self> {
        check_span("window", options.window)?;
        Ok(Self {
            options,
            now,
            open: BTreeMap::new(),
            due: VecDeque::new(),
            closed: HashSet::new(),
            found: Vec::new(),
            skipped: SkippedTrajectories::default(),
        })
    }

    fn add(&mut self, event: GenerationEvent) {
        let started = event.started.known_at;
        while self.due.front().is_some_and(|(until, _)| *until < started) {
            self.close();
        }
        let id = event.started.value.context.task_id.clone();
        if self.closed.contains(&key(&id)) {
            return;
        }
        if !self.open.contains_key(&id) {
            let until = started.checked_add_signed(self.options.window);
            self.due.push_back((until.unwrap_or(DateTime::<Utc>::MAX_UTC), id.clone()));
        }
        self.open.entry(id).or_default().push(event);
    }

    /// Closes the task whose window ends first.
    fn close(&mut self) {
        let Some((until, id)) = self.due.pop_front() else { return };
        let Some(attempts) = self.open.remove(&id) else { return };
        self.closed.insert(key(&id));
        if until > self.now {
            self.skipped.young += 1;
            return;
        }
        let known: Vec<_> = attempts
            .into_iter()
            .filter(|event| event.started.known_at <= until)
            .map(|event| as_of(event, until))
            .collect();
        match trajectory(&known, self.options.cluster) {
            Ok(Some(found)) => self.found.push((id, found)),
            Ok(None) => {}
            Err(reason) => *reason.of(&mut self.skipped) += 1,
        }
    }

    fn finish(mut self) -> Trajectories {
        while !self.due.is_empty() {
            self.close();
        }
        self.found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let trajectories = self.found.into_iter().map(|(_, trajectory)| trajectory).collect();
        Trajectories { trajectories, skipped: self.skipped }
    }
}

fn key(id: &TaskId) -> u64 {
    fnv::hash(id.as_str().as_bytes())
}

/// The reason why a task is no trajectory.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Unlabelled,
    WithoutPropensity,
    Unfinished,
    NoChain,
}

impl Reason {
    fn of(self, skipped: &mut SkippedTrajectories) -> &mut usize {
        match self {
            Self::Unlabelled => &mut skipped.unlabelled,
            Self::WithoutPropensity => &mut skipped.without_propensity,
            Self::Unfinished => &mut skipped.unfinished,
            Self::NoChain => &mut skipped.no_chain,
        }
    }
}

/// Returns the generation with the facts known at a moment.
fn as_of(mut event: GenerationEvent, moment: DateTime<Utc>) -> GenerationEvent {
    event.completion = event.completion.filter(|done| done.known_at <= moment);
    event.feedback.retain(|feedback| feedback.known_at <= moment);
    event
}

/// Returns the attempts at one task as a trajectory; `None` where the first one succeeded.
fn trajectory(
    attempts: &[GenerationEvent],
    cluster: Unit,
) -> std::result::Result<Option<Trajectory>, Reason> {
    let (mut steps, mut ending) = (Vec::new(), None);
    for (index, event) in attempts.iter().enumerate() {
        let context = &event.started.value.context;
        let repeats = context.regeneration_of.is_some() || context.attempt > 0;
        if ending.is_some() || index > MOST_STEPS || (index > 0 && !repeats) {
            return Err(Reason::NoChain);
        }
        let outcome = event.outcome().ok_or(Reason::Unlabelled)?;
        let reached = Ending::of(&outcome).ok_or(Reason::Unlabelled)?;
        if reached.success {
            ending = Some(reached);
            continue;
        }
        // An earlier release let in propensities that cannot be divided by.
        let sound = recorded_step(event).filter(|(_, decision)| decision.verify().is_ok());
        let (at, decision) = sound.ok_or(Reason::WithoutPropensity)?;
        let (action, propensities) = drawn(&decision.candidates, &decision.propensities, &decision.chosen)
            .ok_or(Reason::WithoutPropensity)?;
        let known: Vec<_> = attempts[..=index].iter().map(|event| as_of(event.clone(), at)).collect();
        let state = RetryState::after(&known).map_err(|_| Reason::NoChain)?;
        let next = attempts.get(index + 1).filter(|_| action != RetryAction::Stop);
        let done = next.and_then(|event| Some(&event.completion.as_ref()?.value));
        let (cost_usd, seconds) =
            (done.and_then(|d| d.cost_usd), done.and_then(|d| d.generation_time_seconds));
        steps.push(TrajectoryStep { state, action, propensities, cost_usd, seconds });
        match (action, next) {
            // The outcome of a question without a further attempt is not known.
            (RetryAction::Stop | RetryAction::AskHuman, None) => ending = Some(reached),
            (_, None) => return Err(Reason::Unfinished),
            _ => {}
        }
    }
    let (Some(first), Some(ending)) = (attempts.first(), ending) else { return Err(Reason::NoChain) };
    let context = &first.started.value.context;
    let unit = cluster.of(context).unwrap_or(context.task_id.as_str());
    let cluster = fnv::hash(unit.as_bytes());
    Ok((!steps.is_empty()).then_some(Trajectory { steps, ending, cluster }))
}

impl Ending {
    fn of(outcome: &Outcome) -> Option<Self> {
        let success = outcome.success?;
        let approved = outcome.approved.unwrap_or(success);
        Some(Self { success, approved, quality: outcome.final_quality_score })
    }
}

/// Returns a stored action and the propensities of all of them; `None` where they are not all known.
fn drawn(candidates: &[String], propensities: &[f64], chosen: &str) -> Option<(RetryAction, [f64; 4])> {
    let action = RetryAction::named(chosen)?;
    if propensities.is_empty() || propensities.len() != candidates.len() {
        return None;
    }
    let mut all = [0.0; 4];
    for (name, p) in candidates.iter().zip(propensities) {
        all[RetryAction::named(name)?.index()] += p;
    }
    (all[action.index()] > 0.0).then_some((action, all))
}
