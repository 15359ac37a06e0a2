//! Stored generations as episodes.

use super::action::RetryAction;
use super::state::{RetryState, recorded_step};
use super::trajectory::{Ending, MOST_STEPS, Trajectory, TrajectoryStep};
use crate::error::Result;
use crate::event::{GenerationEvent, Outcome, TaskId};
use crate::experimentation::Unit;
use crate::routing::logged::{check_span, generations};
use crate::stats::fnv;
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which stored tasks are looked at, and how.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrajectoryOptions {
    /// How long after its first try a task is looked at, above 0 and at most ten years; younger tasks are
    /// left out, and what became known later does not count.
    pub deadline: TimeDelta,
    /// Whose tasks rise and fall together.
    pub cluster: Unit,
}

impl Default for TrajectoryOptions {
    fn default() -> Self {
        Self { deadline: TimeDelta::days(30), cluster: Unit::Task }
    }
}

/// Tasks that could not be used, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkippedTrajectories {
    /// The deadline has not passed.
    pub young: usize,
    /// A try that nobody had judged at the deadline. Silence is no answer.
    pub unanswered: usize,
    /// A failed try for which no step was stored, or not the odds of all steps.
    #[serde(alias = "without_odds")]
    pub without_propensity: usize,
    /// A further try was decided upon and never made.
    pub unfinished: usize,
    /// Tries that are no chain: one that repeats none, or follows a stop, or more than 65 of them.
    pub no_chain: usize,
}

/// The stored past as episodes.
///
/// ```
/// # use devmatrix_ml::{experimentation::retry_policy::*, store::MemoryStore};
/// # futures_executor::block_on(async {
/// # let store = MemoryStore::new();
/// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let past = Trajectories::read(&store, &TrajectoryOptions::default(), now).await?;
/// let rule = BaselinePolicy::retry_up_to(4)?;
/// // With no trajectory there is nothing to learn from.
/// assert!(learn_retry_policy(&past.trajectories, &rule, &RetryLearningOptions::default()).is_err());
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trajectories {
    /// In the order of the tasks' names.
    pub trajectories: Vec<Trajectory>,
    /// What was left out.
    pub skipped: SkippedTrajectories,
}

impl Trajectories {
    /// Reads every task of `store` whose first try failed.
    ///
    /// # Errors
    /// Those of reading the store and of [`Trajectories::of`].
    pub async fn read(
        store: &dyn EventStore,
        options: &TrajectoryOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        Self::of(generations(store).await?, options, now)
    }

    /// The same of given generations, in any order.
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range.
    pub fn of(
        events: impl IntoIterator<Item = GenerationEvent>,
        options: &TrajectoryOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let deadline = options.deadline;
        check_span("deadline", deadline)?;
        let mut tasks = BTreeMap::<TaskId, Vec<GenerationEvent>>::new();
        for event in events {
            tasks.entry(event.started.value.context.task_id.clone()).or_default().push(event);
        }
        let (mut trajectories, mut skipped) = (Vec::new(), SkippedTrajectories::default());
        for mut tries in tasks.into_values() {
            tries.sort_by(|a, b| (a.started.known_at, &a.event_id).cmp(&(b.started.known_at, &b.event_id)));
            let until = tries[0].started.known_at.checked_add_signed(deadline);
            let Some(until) = until.filter(|until| *until <= now) else {
                skipped.young += 1;
                continue;
            };
            let known = tries.iter().filter(|event| event.started.known_at <= until);
            let known: Vec<_> = known.map(|event| as_of(event, until)).collect();
            match trajectory(&known, options.cluster) {
                Ok(Some(found)) => trajectories.push(found),
                Ok(None) => {}
                Err(why) => *why.of(&mut skipped) += 1,
            }
        }
        Ok(Self { trajectories, skipped })
    }
}

/// Why a task is no episode.
#[derive(Debug, Clone, Copy)]
enum Why {
    Unanswered,
    WithoutPropensity,
    Unfinished,
    NoChain,
}

impl Why {
    fn of(self, skipped: &mut SkippedTrajectories) -> &mut usize {
        match self {
            Self::Unanswered => &mut skipped.unanswered,
            Self::WithoutPropensity => &mut skipped.without_propensity,
            Self::Unfinished => &mut skipped.unfinished,
            Self::NoChain => &mut skipped.no_chain,
        }
    }
}

/// What was known of a generation at a moment.
fn as_of(event: &GenerationEvent, moment: DateTime<Utc>) -> GenerationEvent {
    let mut event = event.clone();
    event.completion = event.completion.filter(|done| done.known_at <= moment);
    event.feedback.retain(|said| said.known_at <= moment);
    event
}

/// The tries of one task as an episode; `None` where the first one succeeded.
fn trajectory(tries: &[GenerationEvent], cluster: Unit) -> std::result::Result<Option<Trajectory>, Why> {
    let (mut steps, mut ending) = (Vec::new(), None);
    for (place, event) in tries.iter().enumerate() {
        let context = &event.started.value.context;
        let repeats = context.regeneration_of.is_some() || context.attempt > 0;
        if ending.is_some() || place > MOST_STEPS || (place > 0 && !repeats) {
            return Err(Why::NoChain);
        }
        let outcome = event.outcome().ok_or(Why::Unanswered)?;
        let reached = Ending::of(&outcome).ok_or(Why::Unanswered)?;
        if reached.success {
            ending = Some(reached);
            continue;
        }
        let (at, decision) = recorded_step(event).ok_or(Why::WithoutPropensity)?;
        let (step, propensities) = drawn(&decision.candidates, &decision.propensities, &decision.chosen)
            .ok_or(Why::WithoutPropensity)?;
        let known: Vec<_> = tries[..=place].iter().map(|event| as_of(event, at)).collect();
        let state = RetryState::after(&known).map_err(|_| Why::NoChain)?;
        let next = tries.get(place + 1).filter(|_| step != RetryAction::Stop);
        let done = next.and_then(|event| Some(&event.completion.as_ref()?.value));
        let (cost_usd, seconds) =
            (done.and_then(|d| d.cost_usd), done.and_then(|d| d.generation_time_seconds));
        steps.push(TrajectoryStep { state, step, propensities, cost_usd, seconds });
        match (step, next) {
            // What the human made of it without a further try is not known.
            (RetryAction::Stop | RetryAction::AskHuman, None) => ending = Some(reached),
            (_, None) => return Err(Why::Unfinished),
            _ => {}
        }
    }
    let (Some(first), Some(ending)) = (tries.first(), ending) else { return Err(Why::NoChain) };
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

/// A stored step and the odds of all of them; `None` where they are not all known.
fn drawn(candidates: &[String], propensities: &[f64], chosen: &str) -> Option<(RetryAction, [f64; 4])> {
    let step = RetryAction::named(chosen)?;
    if propensities.is_empty() || propensities.len() != candidates.len() {
        return None;
    }
    let mut all = [0.0; 4];
    for (name, p) in candidates.iter().zip(propensities) {
        all[RetryAction::named(name)?.place()] += p;
    }
    (all[step.place()] > 0.0).then_some((step, all))
}
