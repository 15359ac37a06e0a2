//! Logged bandit feedback: stored generations with their decisions and outcomes.

use super::estimate::OffPolicyOptions;
use super::report::PolicyReport;
use super::row::LoggedChoice;
use crate::dataset::Seen;
use crate::error::{Error, Result};
use crate::event::{Decision, EventId, GenerationEvent, TaskContext};
use crate::experimentation::Unit;
use crate::routing::logged::{attributed, check_span, for_each_generation, outcome_weights, response};
use crate::stats::fnv;
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Which stored generations are used, and how they are clustered.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedDatasetOptions {
    /// The attribution window: outcomes count if they were known so long after the start, and generations that are
    /// older; above 0 and at most ten years; by default 14 days.
    pub window: TimeDelta,
    /// Whose generations are correlated, where a decision does not name the unit of its draw; by default those of one
    /// task.
    pub cluster: Unit,
}

impl Default for LoggedDatasetOptions {
    fn default() -> Self {
        Self { window: TimeDelta::days(14), cluster: Unit::Task }
    }
}

/// A generation whose decision and outcome are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoggedGeneration {
    pub(crate) event_id: EventId,
    /// The task at its start, with the chosen settings.
    pub(crate) context: TaskContext,
    pub(crate) decision: Decision,
    pub(crate) success: bool,
    /// In US dollars.
    pub(crate) cost: Option<f64>,
    pub(crate) seconds: Option<f64>,
    /// How many generations it stands for: above 1 where such outcomes are seldom known, else 1.
    pub(crate) weight: f64,
    pub(crate) cluster: u64,
}

/// Numbers of generations that could not be used, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Skipped {
    /// No decision is stored with them.
    pub(crate) without_decision: usize,
    /// They are younger than the attribution window.
    pub young: usize,
    /// They had no label at the end of the window. Missing feedback is no label.
    #[serde(alias = "unanswered")]
    pub unlabelled: usize,
    /// Their stored decision cannot be divided by: its propensity is out of range, or two candidates share a name. Events
    /// that an earlier release let in; new ones are refused when they are recorded.
    #[serde(default)]
    pub invalid: usize,
    /// The first of these, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) invalid_events: Vec<String>,
}

/// Bad rows that are named.
const MOST_NAMED: usize = 10;

/// Logged bandit feedback on which another policy can be evaluated.
///
/// ```
/// # use devmatrix_ml::{experimentation::off_policy::{LoggedDataset, OffPolicyOptions, LoggedDatasetOptions}, event::*, store::*};
/// # futures_executor::block_on(async {
/// # let store = MemoryStore::new();
/// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let logged = LoggedDataset::read(&store, &LoggedDatasetOptions::default(), now).await?;
/// // A policy is a function from the task to probabilities by name.
/// let policy = |_: &TaskContext, candidates: &[String]| vec![(candidates[0].clone(), 1.0)];
/// if let Ok(report) = logged.replay("first", policy, &OffPolicyOptions::default()) {
///     println!("{report}"); // policy first: success +4.1 % ± 2.0, cost -31 % ± 6, …
/// }
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedDataset {
    /// In the order of their start.
    pub(crate) generations: Vec<LoggedGeneration>,
    /// The generations left out.
    pub skipped: Skipped,
}

impl Skipped {
    fn note_invalid(&mut self, event: &EventId, error: &Error) {
        self.invalid += 1;
        if self.invalid_events.len() < MOST_NAMED {
            self.invalid_events.push(format!("{event}: {error}"));
        }
    }

    /// Returns how many rows are bad and which; `None` where none is.
    pub(super) fn invalid_note(&self) -> Option<String> {
        let more = self.invalid.saturating_sub(self.invalid_events.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let named = self.invalid_events.join("; ");
        (self.invalid > 0).then(|| format!("{} have an invalid decision ({named}{more})", self.invalid))
    }
}

impl LoggedDataset {
    /// Reads every generation of `store` that is older than the attribution window at `now`.
    ///
    /// # Errors
    /// Those of reading the store; `InvalidInput` when an option is out of range.
    pub async fn read(
        store: &dyn EventStore,
        options: &LoggedDatasetOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let window = options.window;
        check_span("window", window)?;
        let (mut generations, mut skipped) = (Vec::new(), Skipped::default());
        let mut responses = Vec::<Seen>::new();
        for_each_generation(store, window, |event| {
            let outcome = attributed(&event, window, now);
            let response = response(&event, outcome.as_ref());
            responses.push(response);
            let Some(decision) = &event.started.value.decision else {
                skipped.without_decision += 1;
                return Ok(());
            };
            if let Err(error) = decision.verify() {
                skipped.note_invalid(&event.event_id, &error);
                return Ok(());
            }
            let Some(outcome) = outcome else {
                skipped.young += 1;
                return Ok(());
            };
            let Some(success) = outcome.success else {
                skipped.unlabelled += 1;
                return Ok(());
            };
            let generation = LoggedGeneration {
                cluster: cluster(&event, decision, options.cluster),
                decision: decision.clone(),
                success,
                cost: outcome.cost,
                seconds: outcome.seconds,
                weight: 1.0,
                event_id: event.event_id,
                context: event.started.value.context,
            };
            generations.push((generation, response));
            Ok(())
        })
        .await?;
        let weight = outcome_weights(&responses, window, now);
        let weighted = |(generation, response): (LoggedGeneration, Seen)| LoggedGeneration {
            weight: weight(&response),
            ..generation
        };
        Ok(Self { generations: generations.into_iter().map(weighted).collect(), skipped })
    }

    /// Estimates what `policy` would have done to success, cost, seconds and utility, by doubly robust estimates
    /// with a cross-fitted ridge regression as reward model.
    ///
    /// The policy is fixed: it is given the task at its start and the candidates, and returns the probability of each,
    /// by name; what it names beyond the candidates was never tried. The chosen candidate's settings (agent, LLM,
    /// template, temperature …) are in the stored context; a policy must not use them.
    ///
    /// # Errors
    /// `InvalidInput` when there is no generation or the policy's probabilities do not add up to 1.
    pub fn replay(
        &self,
        name: &str,
        policy: impl FnMut(&TaskContext, &[String]) -> Vec<(String, f64)>,
        options: &OffPolicyOptions,
    ) -> Result<PolicyReport> {
        options.validate()?;
        if self.generations.is_empty() {
            let Skipped { without_decision, young, unlabelled, .. } = self.skipped;
            let invalid = self.skipped.invalid_note().map(|note| format!(", {note}")).unwrap_or_default();
            return Err(Error::invalid(format!(
                "off-policy: no generation with a stored decision and a known outcome: {young} are younger than the \
                 attribution window, {unlabelled} were not labelled by its end, {without_decision} have no stored decision{invalid}"
            )));
        }
        let choices = self.choices(policy)?;
        PolicyReport::of(name, self, &choices, options)
    }

    /// Returns every generation as a choice beside the policy's probabilities, its reward being success, with the
    /// names of its candidates.
    fn choices(
        &self,
        mut policy: impl FnMut(&TaskContext, &[String]) -> Vec<(String, f64)>,
    ) -> Result<Vec<(LoggedChoice, Vec<String>)>> {
        let chosen_ever = self.chosen_ever();
        let mut rows = Vec::with_capacity(self.generations.len());
        for generation in &self.generations {
            let decision = &generation.decision;
            let probabilities = policy(&generation.context, &decision.candidates);
            let (names, target) = by_candidate(&decision.candidates, &probabilities)
                .map_err(|e| e.context(format!("policy on {}", generation.event_id)))?;
            let index = |name: &String| names.iter().position(|other| other == name);
            let chosen = index(&decision.chosen).ok_or_else(|| {
                Error::invalid(format!(
                    "{}: the chosen name is not among the candidates",
                    generation.event_id
                ))
            })?;
            let mut row = LoggedChoice::new(
                chosen,
                decision.propensity,
                target,
                f64::from(u8::from(generation.success)),
                generation.cluster,
            );
            row.weight = generation.weight;
            row.logged = logged_propensities(decision, &names, &chosen_ever);
            // A name that stood for several candidates had the propensity of all of them.
            row.propensity = row.logged.get(chosen).copied().unwrap_or(row.propensity);
            rows.push((row, names));
        }
        Ok(rows)
    }

    fn chosen_ever(&self) -> HashSet<&str> {
        self.generations.iter().map(|generation| generation.decision.chosen.as_str()).collect()
    }
}

/// Returns the cluster of a generation: what came from one draw is one observation, whatever else it shares.
fn cluster(event: &GenerationEvent, decision: &Decision, by: Unit) -> u64 {
    let own = decision.unit.as_deref().or_else(|| by.of(&event.started.value.context));
    fnv::hash(own.unwrap_or(event.event_id.as_str()).as_bytes())
}

/// Returns the candidates and the names that the policy adds to them, once each, with the policy's probabilities.
fn by_candidate(candidates: &[String], probabilities: &[(String, f64)]) -> Result<(Vec<String>, Vec<f64>)> {
    let mut indices = BTreeMap::<&str, usize>::new();
    let mut names = Vec::<String>::new();
    let all = candidates.iter().chain(probabilities.iter().map(|(name, _)| name));
    for name in all {
        indices.entry(name).or_insert_with(|| {
            names.push(name.clone());
            names.len() - 1
        });
    }
    let mut target = vec![0.0; names.len()];
    for (name, p) in probabilities {
        target[indices[name.as_str()]] += p;
    }
    let sum: f64 = target.iter().sum();
    if target.iter().any(|p| !(0.0..=1.0 + super::row::ROUNDING).contains(p))
        || (sum - 1.0).abs() > super::row::ROUNDING
    {
        return Err(Error::invalid(format!(
            "probabilities must be 0 to 1 and add up to 1, they add up to {sum}"
        )));
    }
    Ok((names, target.into_iter().map(|p| p.min(1.0)).collect()))
}

/// Returns the propensities of all names at the decision; empty where they are not known. A name that is no candidate
/// had none. Where only that of the chosen one is known, those never chosen in the whole log are taken to have had
/// none; the others share the rest, on which nothing but their support depends.
fn logged_propensities(decision: &Decision, names: &[String], chosen_ever: &HashSet<&str>) -> Vec<f64> {
    let is_open = |name: &String| decision.candidates.contains(name) && chosen_ever.contains(name.as_str());
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
    let propensity = |name: &String| match name {
        chosen if *chosen == decision.chosen => decision.propensity,
        open if is_open(open) => rest / others.max(1) as f64,
        _ => 0.0,
    };
    names.iter().map(propensity).collect()
}
