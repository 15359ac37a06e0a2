//! As-of aggregates of outcomes: counts by task type, agent, LLM, project,
//! user, task and their pairs, decayed in time.
//!
//! A history is a function of the *set* of facts it has taken in: their order and repetitions
//! change no bit, because all sums are whole numbers counted by day. So a replay in the order of
//! knowledge gives the very numbers that were served live, and partial histories merge.

mod aggregates;
mod checkpoint;
mod delay;
mod generation;
mod group_key;
mod memo;
mod moments;
mod nearest;
mod shared;
mod template;

pub use aggregates::Count;
pub(crate) use aggregates::{GroupStatistics, LEAST_COST, LEAST_TOKENS, Mean};
pub(crate) use delay::Delay;
pub(crate) use generation::GenerationResult;
pub(crate) use group_key::{GroupKey, category, model_at_effort};
pub(crate) use moments::Moments;
pub use nearest::NearestTask;
pub use shared::SharedHistory;
pub(crate) use template::TemplateStatistics;

use crate::event::{EventId, Fact, Record, TaskContext};
use crate::similarity::{SearchBudget, SimilarTasks};
use crate::stats::fnv::ByHash;
use crate::text::TextGrams;
use aggregates::Series;
use chrono::{DateTime, Utc};
use delay::Delays;
use generation::{Change, Generation, hour};
use group_key::{Key, SCOPES};

/// Mergeable sums over all generations of which a fact was taken in.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    generations: ByHash<Generation>,
    groups: ByHash<Series, Key>,
    delays: Delays,
    similar: SimilarTasks,
    moments: Moments,
}

/// Group statistics and similar tasks of one task at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HistoryView {
    evidence: [GroupStatistics; SCOPES],
    known: [bool; SCOPES],
    rag_quality: Mean,
    nearest: Vec<NearestTask>,
    now: DateTime<Utc>,
}

impl History {
    /// Creates an empty history.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes in a fact; taking it in again changes nothing.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record.fact() {
            Fact::Started(started) => {
                self.apply_read(record, &TextGrams::of(&started.context.task_description));
            }
            Fact::Completed(_) | Fact::Feedback(_) => self.learn(record),
        }
    }

    /// Takes in a fact; a start's description was read before.
    pub(crate) fn apply_read(&mut self, record: &Record, text: &TextGrams) {
        self.learn(record);
        if let Fact::Started(started) = record.fact() {
            self.similar.insert(&started.context.task_id, record.known_at().timestamp_micros(), text);
        }
    }

    fn learn(&mut self, record: &Record) {
        self.moments.add(record.known_at().timestamp_micros());
        self.change(group_key::event_hash(record.event_id()), |generation| generation.learn(record));
    }

    /// Returns the view of `task` at `now`, which must not lie before a fact taken in.
    pub(crate) fn view(&self, task: &TaskContext, now: DateTime<Utc>) -> HistoryView {
        self.view_of(task, &TextGrams::of(&task.task_description), now)
    }

    /// Returns the view of `task`, whose description was read before.
    pub(crate) fn view_of(&self, task: &TaskContext, text: &TextGrams, now: DateTime<Utc>) -> HistoryView {
        let nearest = self.nearest_to(text, SearchBudget::QUICK, task, nearest::MOST, now);
        HistoryView { nearest, ..self.groups_of(task, now) }
    }

    /// Returns the view of `task` without similar tasks.
    pub(crate) fn groups_of(&self, task: &TaskContext, now: DateTime<Utc>) -> HistoryView {
        let hour = hour(now.timestamp_micros());
        let delay = self.delays.at(hour);
        let keys = group_key::keys(task);
        let series = keys.map(|key| key.and_then(|key| self.groups.get(&key)));
        HistoryView {
            evidence: series.map(|s| s.map_or_else(GroupStatistics::default, |s| s.evidence(hour, &delay))),
            known: keys.map(|key| key.is_some()),
            now,
            rag_quality: self.rag_quality(task),
            nearest: Vec::new(),
        }
    }

    /// Returns the result of a generation, as far as it is known.
    pub(crate) fn result(&self, id: &EventId) -> GenerationResult {
        self.generations.get(&group_key::event_hash(id)).map(Generation::result).unwrap_or_default()
    }

    /// Returns when the facts taken in became known.
    pub(crate) fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Returns the label delay as known at `now`.
    pub(crate) fn delay(&self, now: DateTime<Utc>) -> Delay {
        self.delays.at(hour(now.timestamp_micros()))
    }

    /// The outcomes of the generations that the retrieved examples came from.
    fn rag_quality(&self, task: &TaskContext) -> Mean {
        let found =
            task.rag_examples_ids.iter().filter_map(|id| self.generations.get(&group_key::example_hash(id)));
        found
            .filter_map(Generation::example_quality)
            .fold(Mean::default(), |mean, quality| Mean { n: mean.n + 1.0, sum: mean.sum + quality })
    }

    /// Takes back what the generation added, changes it, and adds it anew.
    fn change(&mut self, id: u64, learn: impl FnOnce(&mut Generation)) {
        let generation = self.generations.entry(id).or_default();
        let (old_keys, mut change) = (generation.keys(), Change::default());
        change.contribute(generation, -1);
        learn(generation);
        let (Some(start), Some(new_keys)) = (&generation.start, generation.keys()) else { return };
        let first_day = Some(start.day);
        if old_keys.is_none_or(|old| old == new_keys) {
            change.contribute(generation, 1);
            if old_keys.is_none() || !change.is_empty() {
                self.add(&new_keys, &change, first_day);
            }
            return;
        }
        let mut new = Change::default();
        new.contribute(generation, 1);
        old_keys.iter().for_each(|old| self.add(old, &change, None));
        self.add(&new_keys, &new, first_day);
        // Somebody else has judged than the task named.
        if let Some(left) = old_keys.and_then(|keys| keys[GroupKey::Reviewer as usize])
            && self.groups.get(&left).is_some_and(|series| *series == Series::default())
        {
            self.groups.remove(&left);
        }
    }

    fn add(&mut self, keys: &[Option<Key>; SCOPES], change: &Change, first_day: Option<i32>) {
        for (scope, key) in GroupKey::ALL.iter().zip(keys).filter_map(|(scope, key)| Some((scope, (*key)?))) {
            let series = self.groups.entry(key).or_default();
            // A generation may leave a reviewer's group again.
            let first_day = first_day.filter(|_| *scope != GroupKey::Reviewer);
            series.first_start = [series.first_start, first_day].into_iter().flatten().min();
            change.days().for_each(|(day, tally)| series.add(*day, tally));
            change.open.iter().flatten().for_each(|(hour, count)| series.add_open(*hour, *count));
        }
        for (day, hours, success, sign) in change.taken.iter().flatten() {
            self.delays.add(*day, *hours, *success, *sign);
        }
    }
}

/// Two histories are equal when they know the same of the same generations.
impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.generations == other.generations
            && self.groups == other.groups
            && self.delays == other.delays
            && self.similar == other.similar
    }
}

impl HistoryView {
    /// Returns the statistics of the task's group of this scope (empty where the task belongs to none).
    pub(crate) fn get(&self, scope: GroupKey) -> &GroupStatistics {
        &self.evidence[scope as usize]
    }

    /// Returns whether the task belongs to a group of this scope.
    pub(crate) fn knows(&self, scope: GroupKey) -> bool {
        self.known[scope as usize]
    }

    /// Returns similar past tasks, the nearest first; ten at most.
    pub(crate) fn nearest(&self) -> &[NearestTask] {
        &self.nearest
    }

    pub(crate) fn into_nearest(self) -> Vec<NearestTask> {
        self.nearest
    }

    /// Returns the view of another candidate for the task, at the same moment: similar tasks depend on the
    /// description alone is taken from here.
    pub(crate) fn of_same_task(&self, history: &History, task: &TaskContext) -> Self {
        Self { nearest: self.nearest.clone(), ..history.groups_of(task, self.now) }
    }

    /// Its group statistics without the similar tasks.
    pub(crate) fn groups(&self) -> Self {
        Self {
            evidence: self.evidence,
            known: self.known,
            now: self.now,
            rag_quality: self.rag_quality,
            nearest: Vec::new(),
        }
    }

    /// The moment for which it holds.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Quality of the retrieved examples' own outcomes, 0 to 10, where ids resolve.
    pub(crate) fn rag_quality(&self) -> Mean {
        self.rag_quality
    }
}

#[cfg(test)]
impl History {
    /// Takes in all that `other` has taken in.
    pub(crate) fn merge(&mut self, other: Self) {
        for (id, theirs) in other.generations {
            self.change(id, |ours| ours.merge(theirs));
        }
        self.similar.merge(&other.similar);
    }

    /// Returns the number of generations.
    pub(crate) fn len(&self) -> usize {
        self.generations.len()
    }

    /// Returns whether it has taken in no generation.
    pub(crate) fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }
}

#[cfg(test)]
mod tests;
