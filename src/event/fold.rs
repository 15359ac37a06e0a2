//! The one fold of a generation's facts: from the facts known so far to its state.
//!
//! History, monitor, backtest and logged decisions keep different parts of a fact, but the same rules
//! decide between facts, so that none of them depends on the order of arrival or on repetitions.

use super::completion::Completion;
use super::feedback::Feedback;
use super::id::FeedbackId;
use super::record::Known;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A fact as a fold keeps it, with the key that decides between facts of one kind.
pub(crate) trait Folded {
    /// Begins with the moment at which the fact became known.
    type Order<'a>: PartialOrd
    where
        Self: 'a;

    fn order(&self) -> Self::Order<'_>;
}

/// The state of one generation: of several starts or completions the one known first, of several
/// feedbacks the latest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fold<S, C, F> {
    pub(crate) start: Option<S>,
    pub(crate) completion: Option<C>,
    /// The latest feedback.
    pub(crate) feedback: Option<F>,
}

impl<S, C, F> Default for Fold<S, C, F> {
    fn default() -> Self {
        Self { start: None, completion: None, feedback: None }
    }
}

impl<S: Folded, C: Folded, F: Folded> Fold<S, C, F> {
    /// Takes in a start.
    pub(crate) fn add_start(&mut self, new: S) {
        if self.start.as_ref().is_none_or(|old| new.order() < old.order()) {
            self.start = Some(new);
        }
    }

    /// Takes in a completion.
    pub(crate) fn add_completion(&mut self, new: C) {
        if self.completion.as_ref().is_none_or(|old| new.order() < old.order()) {
            self.completion = Some(new);
        }
    }

    /// Takes in feedback; of several of one order the last counts.
    pub(crate) fn add_feedback(&mut self, new: F) {
        if self.feedback.as_ref().is_none_or(|old| new.order() >= old.order()) {
            self.feedback = Some(new);
        }
    }

    /// Returns a part of the outcome: the latest feedback decides, and where it says nothing the
    /// completion itself.
    pub(crate) fn resolve<T>(
        &self,
        feedback: impl FnOnce(&F) -> Option<T>,
        completion: impl FnOnce(&C) -> Option<T>,
    ) -> Option<T> {
        self.feedback.as_ref().and_then(feedback).or_else(|| self.completion.as_ref().and_then(completion))
    }
}

impl<S> Fold<S, Known<Completion>, Known<Feedback>> {
    /// Returns completion and feedback by reference, as an outcome is made of them.
    pub(crate) fn as_known(&self) -> KnownFacts<'_> {
        Fold { start: None, completion: self.completion.as_ref(), feedback: self.feedback.as_ref() }
    }
}

/// Completion and latest feedback of a generation.
pub(crate) type KnownFacts<'a> = Fold<(), &'a Known<Completion>, &'a Known<Feedback>>;

/// Where the start does not matter.
impl Folded for () {
    type Order<'a> = ();

    fn order(&self) {}
}

/// Where the moment of the start is all that matters.
impl Folded for DateTime<Utc> {
    type Order<'a> = Self;

    fn order(&self) -> Self {
        *self
    }
}

impl Folded for Known<Completion> {
    type Order<'a> = DateTime<Utc>;

    fn order(&self) -> DateTime<Utc> {
        self.known_at
    }
}

impl Folded for Known<Feedback> {
    type Order<'a> = (DateTime<Utc>, Option<&'a FeedbackId>);

    fn order(&self) -> Self::Order<'_> {
        (self.known_at, self.value.feedback_id.as_ref())
    }
}

impl<T: Folded> Folded for &T {
    type Order<'a>
        = T::Order<'a>
    where
        Self: 'a;

    fn order(&self) -> T::Order<'_> {
        T::order(self)
    }
}

#[cfg(test)]
impl<S: Folded, C: Folded, F: Folded> Fold<S, C, F> {
    /// Takes in all that `other` knows of the same generation.
    pub(crate) fn merge(&mut self, other: Self) {
        other.start.into_iter().for_each(|start| self.add_start(start));
        other.completion.into_iter().for_each(|completion| self.add_completion(completion));
        other.feedback.into_iter().for_each(|feedback| self.add_feedback(feedback));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, Fact, GenerationEvent, Record, TaskContext, TaskId, UserAction};
    use proptest::prelude::*;

    type Mini = Fold<(i64, u8), (i64, u8), (i64, u8)>;

    impl Folded for (i64, u8) {
        type Order<'a> = (i64, u8);

        fn order(&self) -> (i64, u8) {
            *self
        }
    }

    fn fold<'a>(facts: impl Iterator<Item = &'a (u8, i64, u8)>) -> Mini {
        facts.fold(Mini::default(), |mut state, (kind, known_at, part)| {
            match kind {
                0 => state.add_start((*known_at, *part)),
                1 => state.add_completion((*known_at, *part)),
                _ => state.add_feedback((*known_at, *part)),
            }
            state
        })
    }

    fn records() -> Vec<Record> {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let id = EventId::new("e").unwrap();
        let task = TaskContext::new(TaskId::new("t").unwrap());
        let done = Completion { final_quality_score: Some(4.0), ..Completion::default() };
        let mut facts = vec![(0, Fact::Started(Box::new(task.into()))), (1, Fact::Completed(Box::new(done)))];
        for (second, action) in [(2, UserAction::Approve), (3, UserAction::Reject), (4, UserAction::Modify)] {
            facts.push((second, Fact::Feedback(Box::new(Feedback::new(action)))));
        }
        let record = |(second, fact)| Record::new(id.clone(), at(second), fact).unwrap();
        facts.into_iter().map(record).collect()
    }

    proptest! {
        #[test]
        fn order_repetition_and_grouping_do_not_matter(
            facts in prop::collection::vec((0..3_u8, 0..5_i64, 0..3_u8), 0..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let state = fold(facts.iter());
            prop_assert_eq!(&state, &fold(facts.iter().rev()));
            prop_assert_eq!(&state, &fold(facts.iter().chain(&facts)));
            let (left, right) = facts.split_at(cut.index(facts.len() + 1));
            let (mut left, right) = (fold(left.iter()), fold(right.iter()));
            let mut merged = right.clone();
            merged.merge(left.clone());
            left.merge(right);
            prop_assert_eq!(&state, &left);
            prop_assert_eq!(&state, &merged);
            let latest = facts.iter().filter(|fact| fact.0 == 2).map(|fact| (fact.1, fact.2)).max();
            prop_assert_eq!(state.resolve(|f| Some(*f), |_| None), latest);
        }

        #[test]
        fn an_event_is_a_function_of_the_set_of_its_facts(
            order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(),
            again in 0..5_usize,
        ) {
            let records = records();
            let arrived = order.iter().chain([&again]).map(|index| records[*index].clone());
            let event = GenerationEvent::from_records(arrived).unwrap();
            prop_assert_eq!(&event, &GenerationEvent::from_records(records).unwrap());
            let outcome = event.outcome().unwrap();
            prop_assert_eq!((outcome.user_action, outcome.success), (Some(UserAction::Modify), Some(false)));
            prop_assert_eq!(outcome.final_quality_score, Some(4.0));
        }
    }
}
