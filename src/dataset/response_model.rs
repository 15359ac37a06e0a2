//! Feedback response model: the probability that an outcome becomes known.
//!
//! Where people answer one outcome more readily than another, the outcomes that are known are not
//! those of all generations, and nothing in them tells. Generations that a person was asked to judge,
//! with known propensity ([`ReviewRequest`](crate::event::ReviewRequest)), do: from them follows how many of
//! all succeed, and from that how readily each outcome is answered unasked. Every known outcome then
//! counts by the inverse of its propensity (Horvitz and Thompson 1952). Silence is never an answer.

use super::Example;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

/// What became of every generation, answered or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseModel(Arc<Vec<Seen>>);

/// One generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) started: DateTime<Utc>,
    pub(crate) known: Option<(DateTime<Utc>, bool)>,
    pub(crate) review: Review,
}

/// `true` if a review was requested and its propensity; `None` where nothing is stored of it.
pub(crate) type Review = Option<(bool, f64)>;

/// Response propensities as estimated at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResponsePropensity {
    now: DateTime<Utc>,
    /// Of those asked.
    asked: f64,
    /// Of those not asked, by outcome: failure, success.
    unasked: [f64; 2],
    /// How long answers took, ascending, by outcome.
    took: [Vec<TimeDelta>; 2],
}

/// Generations younger than this may still be answered: they tell nothing of who never answers.
pub(super) const MATURE: TimeDelta = TimeDelta::days(14);

/// Fewer answers to requests than this tell nothing, nor fewer of one outcome than the second number.
const FEWEST_ASKED: usize = 30;
const FEWEST_OF_ONE_OUTCOME: usize = 5;

/// An outcome counts as at most this many times the average one: rarer ones would be too few to weigh.
pub(crate) const MOST: f64 = 10.0;

/// Propensities below this are not told from chance.
const LEAST: f64 = 0.01;

impl ResponseModel {
    pub(super) fn of(examples: &[Example]) -> Self {
        let seen = |e: &Example| Seen { started: e.started_at, known: e.labels.success, review: e.review };
        Self::from_seen(examples.iter().map(seen))
    }

    /// Generations in the order of their start; where nobody was asked they tell nothing, and are not kept.
    pub(crate) fn from_seen(seen: impl Iterator<Item = Seen>) -> Self {
        let seen: Vec<Seen> = seen.collect();
        let asked = seen.iter().any(|seen| seen.review.is_some());
        Self(Arc::new(if asked { seen } else { Vec::new() }))
    }

    /// Generations in the order of their start; none where nobody was asked.
    #[cfg(feature = "export")]
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.0
    }

    /// What those older than `mature` tell at `now`; `None` where too few were asked.
    pub(crate) fn at(&self, now: DateTime<Utc>, mature: TimeDelta) -> Option<ResponsePropensity> {
        let mature = now.checked_sub_signed(mature)?;
        let (mut requests, mut unasked) = ([0.0_f64; 2], 0.0);
        // By outcome: answers to requests, what these stand for among the unasked, and unasked answers.
        let (mut asked, mut stand_for, mut own) = ([0_usize; 2], [0.0; 2], [0.0; 2]);
        let mut took: [Vec<TimeDelta>; 2] = Default::default();
        for seen in self.0.iter().take_while(|seen| seen.started <= mature) {
            let known = seen.known.filter(|(at, _)| *at <= now).map(|(at, y)| (at, usize::from(y)));
            if let Some((at, y)) = known {
                took[y].push(at - seen.started);
            }
            match seen.review {
                Some((true, propensity)) => {
                    requests[0] += 1.0;
                    if let Some((_, y)) = known {
                        requests[1] += 1.0;
                        asked[y] += 1;
                        stand_for[y] += (1.0 - propensity) / propensity;
                    }
                }
                Some((false, _)) => {
                    unasked += 1.0;
                    known.iter().for_each(|(_, y)| own[*y] += 1.0);
                }
                None => {}
            }
        }
        let all: f64 = stand_for.iter().sum();
        let few = asked.iter().sum::<usize>() < FEWEST_ASKED
            || asked.iter().any(|n| *n < FEWEST_OF_ONE_OUTCOME)
            || all <= 0.0;
        if few {
            return None;
        }
        took.iter_mut().for_each(|took| took.sort_unstable());
        let share = |y: usize| (own[y] / (unasked * stand_for[y] / all)).clamp(LEAST, 1.0);
        let unasked = [share(0), share(1)];
        Some(ResponsePropensity { now, asked: requests[1] / requests[0], unasked, took })
    }
}

impl ResponsePropensity {
    /// Returns the probability that the outcome of a generation of that kind is known by now.
    pub(crate) fn of(&self, success: bool, review: Review, started: DateTime<Utc>) -> f64 {
        let y = usize::from(success);
        let propensity = review.map_or(0.0, |(_, propensity)| propensity);
        let ever = propensity * self.asked + (1.0 - propensity) * self.unasked[y];
        let in_time = self.took[y].partition_point(|took| *took <= self.now - started) as f64;
        let by_now = (1.0 + in_time) / (1.0 + self.took[y].len() as f64);
        (ever * by_now).clamp(LEAST, 1.0)
    }

    /// Weighs examples, all of them certain, by the inverse of these propensities: together they weigh as
    /// much
    /// as the rows that they are worth, (Σw)² / Σw² (Kish 1965).
    pub(super) fn weigh(&self, examples: &mut [Example]) {
        for example in examples.iter_mut() {
            // Where the number is known without an answer, everybody's is.
            let outcome = example.labels.success.filter(|(at, _)| *at <= self.now);
            example.propensity = outcome.map_or(1.0, |(_, y)| self.of(y, example.review, example.started_at));
        }
        let weights = response_weights(examples);
        let sum: f64 = weights.iter().sum();
        let squares: f64 = weights.iter().map(|w| w * w).sum();
        for (example, weight) in examples.iter_mut().zip(weights) {
            example.weight = example.share * weight * sum / squares;
        }
    }
}

/// Returns the weight of each row among these, 1 on average: the inverse of the propensity with which its
/// outcome
/// became known, at most ten times the average.
pub(crate) fn response_weights(rows: &[Example]) -> Vec<f64> {
    let mean = rows.iter().map(|e| 1.0 / e.propensity).sum::<f64>() / rows.len().max(1) as f64;
    let clipped: Vec<_> = rows.iter().map(|e| (1.0 / e.propensity).min(MOST * mean)).collect();
    let mean = clipped.iter().sum::<f64>() / rows.len().max(1) as f64;
    clipped.into_iter().map(|weight| weight / mean).collect()
}
