//! Stored generations as logged choices.

use super::estimate::OffPolicyOptions;
use super::report::PolicyReport;
use super::row::LoggedChoice;
use crate::error::{Error, Result};
use crate::event::{Decision, EventId, GenerationEvent, TaskContext};
use crate::experimentation::Unit;
use crate::routing::logged::{check_span, generations, matured, outcome_weights};
use crate::stats::fnv;
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Which stored generations are looked at, and how.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedDatasetOptions {
    /// Outcomes count if they were known so long after the start, and generations that are older; above
    /// 0 and at most ten years; by default 14 days.
    pub deadline: TimeDelta,
    /// Whose generations rise and fall together, where a decision does not name the unit of its draw; by
    /// default those of one task.
    pub cluster: Unit,
}

impl Default for LoggedDatasetOptions {
    fn default() -> Self {
        Self { deadline: TimeDelta::days(14), cluster: Unit::Task }
    }
}

/// A generation whose choice and outcome are known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedGeneration {
    /// The generation.
    pub event_id: EventId,
    /// When it became known that it had started.
    pub started_at: DateTime<Utc>,
    /// What was known at the start, with the chosen settings.
    pub context: TaskContext,
    /// What was chosen among what, and with which odds.
    pub decision: Decision,
    /// Whether it was approved without modification.
    pub success: bool,
    /// Its cost in US dollars.
    pub cost: Option<f64>,
    /// Its seconds.
    pub seconds: Option<f64>,
    /// How many generations it stands for: above 1 where such outcomes are seldom known. 1 else.
    pub weight: f64,
    pub(super) cluster: u64,
}

/// Generations that could not be used, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Skipped {
    /// Nothing was stored of how it was chosen.
    pub without_decision: usize,
    /// The deadline has not passed.
    pub young: usize,
    /// Nobody had answered at the deadline. Silence is no answer: these are left out.
    pub unanswered: usize,
}

/// The stored past as choices that another policy can be replayed on.
///
/// ```
/// # use devmatrix_ml::{experimentation::off_policy::{LoggedDataset, OffPolicyOptions, LoggedDatasetOptions}, event::*, store::*};
/// # futures_executor::block_on(async {
/// # let store = MemoryStore::new();
/// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let past = LoggedDataset::read(&store, &LoggedDatasetOptions::default(), now).await?;
/// // A policy is a function from what was known to propensities by name.
/// let policy = |_: &TaskContext, candidates: &[String]| vec![(candidates[0].clone(), 1.0)];
/// if let Ok(report) = past.replay("first", policy, &OffPolicyOptions::default()) {
///     println!("{report}"); // policy first: success +4.1 % ± 2.0, cost -31 % ± 6, …
/// }
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedDataset {
    /// Generations in the order of their start.
    pub generations: Vec<LoggedGeneration>,
    /// What was left out.
    pub skipped: Skipped,
}

impl LoggedDataset {
    /// Reads every generation of `store` whose outcome has had time to become known at `now`.
    ///
    /// # Errors
    /// Those of reading the store and of [`LoggedDataset::of`].
    pub async fn read(
        store: &dyn EventStore,
        options: &LoggedDatasetOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        Self::of(generations(store).await?, options, now)
    }

    /// The same of given generations.
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range.
    pub fn of(
        events: impl IntoIterator<Item = GenerationEvent>,
        options: &LoggedDatasetOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let deadline = options.deadline;
        check_span("deadline", deadline)?;
        let (mut generations, mut skipped) = (Vec::new(), Skipped::default());
        let mut events: Vec<_> = events.into_iter().collect();
        events.sort_by(|a, b| (a.started.known_at, &a.event_id).cmp(&(b.started.known_at, &b.event_id)));
        let weight = outcome_weights(&events, deadline, now);
        for event in &events {
            let Some(decision) = &event.started.value.decision else {
                skipped.without_decision += 1;
                continue;
            };
            let Some(outcome) = matured(event, deadline, now) else {
                skipped.young += 1;
                continue;
            };
            let Some(success) = outcome.success else {
                skipped.unanswered += 1;
                continue;
            };
            let context = &event.started.value.context;
            // What came from one draw is one observation, whatever else it shares.
            let own = decision.unit.as_deref().or_else(|| options.cluster.of(context));
            let unit = own.unwrap_or(event.event_id.as_str());
            generations.push(LoggedGeneration {
                event_id: event.event_id.clone(),
                started_at: event.started.known_at,
                decision: decision.clone(),
                success,
                cost: outcome.cost,
                seconds: outcome.seconds,
                weight: weight(event, success),
                cluster: fnv::hash(unit.as_bytes()),
                context: context.clone(),
            });
        }
        Ok(Self { generations, skipped })
    }

    /// What `policy` would have done to success, cost, seconds and utility, by doubly robust estimates
    /// with a cross-fitted ridge regression as model.
    ///
    /// The policy is fixed: it is given what was known at the start and the candidates, and says with
    /// which odds it chooses each, by name; what it names beyond the candidates was never tried. The
    /// chosen candidate's settings (agent, LLM, template, temperature …) are in the context that was
    /// stored; a policy must not look at them.
    ///
    /// # Errors
    /// `InvalidInput` when there is no generation or the policy's odds do not add up to 1.
    pub fn replay(
        &self,
        name: &str,
        policy: impl FnMut(&TaskContext, &[String]) -> Vec<(String, f64)>,
        options: &OffPolicyOptions,
    ) -> Result<PolicyReport> {
        options.verify()?;
        if self.generations.is_empty() {
            let Skipped { without_decision, young, unanswered } = self.skipped;
            return Err(Error::invalid(format!(
                "off-policy: no generation with a stored choice and a known outcome: {young} are younger than the \
                 deadline, {unanswered} were not answered by then, {without_decision} have no stored choice"
            )));
        }
        let choices = self.choices(policy)?;
        PolicyReport::of(name, self, &choices, options)
    }

    /// Every generation as a choice beside the policy's odds, its reward being success, and the names
    /// of its candidates.
    fn choices(
        &self,
        mut policy: impl FnMut(&TaskContext, &[String]) -> Vec<(String, f64)>,
    ) -> Result<Vec<(LoggedChoice, Vec<String>)>> {
        let tried = self.tried();
        let mut rows = Vec::with_capacity(self.generations.len());
        for generation in &self.generations {
            let decision = &generation.decision;
            let propensities = policy(&generation.context, &decision.candidates);
            let (names, target) = by_candidate(&decision.candidates, &propensities)
                .map_err(|e| e.context(format!("policy on {}", generation.event_id)))?;
            let place = |name: &String| names.iter().position(|other| other == name);
            let chosen = place(&decision.chosen)
                .ok_or_else(|| Error::invalid(format!("{}: chosen is no candidate", generation.event_id)))?;
            let mut row = LoggedChoice::new(
                chosen,
                decision.propensity,
                target,
                f64::from(u8::from(generation.success)),
                generation.cluster,
            );
            row.weight = generation.weight;
            row.logged = logged_odds(decision, &names, &tried);
            // A name that stood for several candidates had the odds of all of them.
            row.propensity = row.logged.get(chosen).copied().unwrap_or(row.propensity);
            rows.push((row, names));
        }
        Ok(rows)
    }

    /// How often each candidate was chosen.
    fn tried(&self) -> HashMap<&str, usize> {
        let mut tried = HashMap::new();
        for generation in &self.generations {
            *tried.entry(generation.decision.chosen.as_str()).or_default() += 1;
        }
        tried
    }
}

/// The candidates and what the policy names beyond them, once each, with the policy's odds.
fn by_candidate(candidates: &[String], propensities: &[(String, f64)]) -> Result<(Vec<String>, Vec<f64>)> {
    let mut places = BTreeMap::<&str, usize>::new();
    let mut names = Vec::<String>::new();
    let all = candidates.iter().chain(propensities.iter().map(|(name, _)| name));
    for name in all {
        places.entry(name).or_insert_with(|| {
            names.push(name.clone());
            names.len() - 1
        });
    }
    let mut target = vec![0.0; names.len()];
    for (name, p) in propensities {
        target[places[name.as_str()]] += p;
    }
    let sum: f64 = target.iter().sum();
    if target.iter().any(|p| !(0.0..=1.0 + super::row::ROUNDING).contains(p))
        || (sum - 1.0).abs() > super::row::ROUNDING
    {
        return Err(Error::invalid(format!("odds must be 0 to 1 and add up to 1, they add up to {sum}")));
    }
    Ok((names, target.into_iter().map(|p| p.min(1.0)).collect()))
}

/// The odds of all names when the choice was made; empty where they are not known. A name that is no
/// candidate had none. Where only the chosen one's are known, those never chosen in the whole log are
/// taken to have had none; the others share the rest, which nothing but their support hangs on.
fn logged_odds(decision: &Decision, names: &[String], tried: &HashMap<&str, usize>) -> Vec<f64> {
    let is_open = |name: &String| decision.candidates.contains(name) && tried.contains_key(name.as_str());
    if !decision.propensities.is_empty() {
        let of = |name: &String| {
            let all = decision.candidates.iter().zip(&decision.propensities);
            all.filter(|(other, _)| *other == name).map(|(_, p)| p).sum()
        };
        return names.iter().map(of).collect();
    }
    if names.iter().all(is_open) {
        return Vec::new();
    }
    let others = names.iter().filter(|name| is_open(name) && **name != decision.chosen).count();
    let rest = (1.0 - decision.propensity).max(0.0);
    let propensities = |name: &String| match name {
        chosen if *chosen == decision.chosen => decision.propensity,
        open if is_open(open) => rest / others.max(1) as f64,
        _ => 0.0,
    };
    names.iter().map(propensities).collect()
}
