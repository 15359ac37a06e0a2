//! What is to be learned, and what is known of it.

use crate::error::{Error, Result};
use crate::event::{Completion, GenerationEvent};
use crate::history::GenerationResult;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A quantity that a model learns to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// Approval without modification: 1 or 0, between them where it is expected only.
    Success,
    /// Complexity, 0 to 10: the host's label, else the [observed difficulty](super::Dataset).
    Complexity,
    /// Seconds from start to end.
    Time,
    /// Final quality, 0 to 10.
    Quality,
    /// Tokens read and written.
    Tokens,
    /// Relevance of the template that was used, 0 to 3, among those that competed with it.
    Template,
    /// US dollars of a generation.
    Cost,
}

/// A kind of label, and so of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabelKind {
    /// Yes or no.
    Binary,
    /// A number.
    Regression,
    /// A relevance within a group of rows.
    Ranking,
}

impl Target {
    /// All targets of which [`DatasetBuilder`](super::DatasetBuilder) makes rows.
    pub(crate) const ALL: [Self; 6] =
        [Self::Success, Self::Complexity, Self::Time, Self::Quality, Self::Tokens, Self::Cost];

    /// The targets whose label is a number, in the order of stored aggregates: a new one comes last.
    pub(crate) const NUMBERS: &[Self] =
        &[Self::Time, Self::Quality, Self::Complexity, Self::Tokens, Self::Cost];

    /// Returns its name: that of the model that predicts it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Complexity => "complexity",
            Self::Time => "time",
            Self::Quality => "quality",
            Self::Tokens => "tokens",
            Self::Template => "template",
            Self::Cost => "cost",
        }
    }

    pub(crate) fn kind(self) -> LabelKind {
        match self {
            Self::Success => LabelKind::Binary,
            Self::Template => LabelKind::Ranking,
            _ => LabelKind::Regression,
        }
    }

    /// The field of an event that a label comes from.
    pub(crate) fn labelled_by(self) -> &'static str {
        match self {
            Self::Success => "user_action of feedback, or success of completions",
            Self::Complexity => "complexity_label, or completions with regenerations, seconds and code",
            Self::Time => "generation_time_seconds of completions",
            Self::Quality => "final_quality_score of feedback or completions",
            Self::Tokens => "tokens_used of completions, or its parts",
            Self::Cost => "cost_usd of completions, or their tokens where the collector has prices",
            Self::Template => "template_id of tasks, and their feedback",
        }
    }

    pub(crate) fn is_binary(self) -> bool {
        self.kind() == LabelKind::Binary
    }

    /// Returns the number that the end of a generation tells.
    pub(crate) fn at_end(self, done: &Completion) -> Option<f64> {
        match self {
            Self::Time => done.generation_time_seconds,
            Self::Quality => done.final_quality_score,
            Self::Tokens => done.tokens().map(|tokens| tokens as f64),
            Self::Cost => done.cost_usd,
            Self::Success | Self::Complexity | Self::Template => None,
        }
    }

    /// Returns the number that an exported event has of it, however late it became known.
    pub(crate) fn number_of(self, event: &GenerationEvent) -> Option<f64> {
        match self {
            Self::Complexity => event.started.value.complexity_label,
            Self::Quality => event.outcome()?.final_quality_score,
            _ => self.at_end(&event.completion.as_ref()?.value),
        }
    }

    /// Replaces that number wherever the event has one.
    pub(crate) fn set_number(self, event: &mut GenerationEvent, number: f64) {
        let replace = |place: &mut Option<f64>| *place = place.map(|_| number);
        let done = event.completion.as_mut().map(|c| &mut c.value);
        match (self, done) {
            (Self::Complexity, _) => replace(&mut event.started.value.complexity_label),
            (Self::Time, Some(done)) => replace(&mut done.generation_time_seconds),
            (Self::Tokens, Some(done)) => {
                done.tokens_used = Some(number as u64);
                (done.input_tokens, done.output_tokens) = (None, None);
                (done.cache_read_tokens, done.cache_write_tokens) = (None, None);
            }
            (Self::Cost, Some(done)) => replace(&mut done.cost_usd),
            (Self::Quality, done) => {
                done.into_iter().for_each(|done| replace(&mut done.final_quality_score));
                event.feedback.iter_mut().for_each(|f| replace(&mut f.value.final_quality_score));
            }
            (Self::Success | Self::Time | Self::Tokens | Self::Template | Self::Cost, _) => {}
        }
    }

    /// Returns whether an exported event's number was known at `moment`.
    pub(crate) fn is_known(self, event: &GenerationEvent, moment: DateTime<Utc>) -> bool {
        match self {
            Self::Quality => event.outcome().is_some_and(|o| o.known_at <= moment),
            Self::Complexity => true,
            _ => event.completion.as_ref().is_some_and(|c| c.known_at <= moment),
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("target {name:?}: expected one of {names}"))
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A value with the moment since which it is known.
type Since<T> = Option<(DateTime<Utc>, T)>;

/// Labels of a generation, each with the moment since which it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub(crate) struct Labels {
    /// Approved without modification.
    pub(crate) success: Since<bool>,
    /// Complexity, 0 to 10, as the host labelled it.
    pub(crate) complexity: Since<f64>,
    /// Seconds from start to end.
    pub(crate) seconds: Since<f64>,
    /// Final quality, 0 to 10.
    pub(crate) quality: Since<f64>,
    /// Tokens read and written.
    pub(crate) tokens: Since<f64>,
    /// US dollars.
    pub(crate) cost: Since<f64>,
    /// Observed difficulty, 0 to 10.
    pub(crate) difficulty: Since<f64>,
    /// Relevance of the template that was used, 0 to 3.
    pub(crate) relevance: Since<u8>,
}

impl Labels {
    pub(super) fn of(result: &GenerationResult) -> Self {
        fn since<T>(value: Option<(i64, T)>) -> Since<T> {
            value.and_then(|(at, v)| Some((DateTime::from_timestamp_micros(at)?, v)))
        }
        Self {
            success: since(result.success),
            complexity: since(result.complexity),
            seconds: since(result.seconds),
            quality: since(result.quality),
            tokens: since(result.tokens),
            cost: since(result.cost),
            difficulty: None,
            relevance: None,
        }
    }

    /// Returns the labels that are numbers, each with the names of its columns in a file: of the value, and of the moment
    /// since which it is known. A new one comes last.
    #[cfg(feature = "export")]
    pub(crate) fn columns(&mut self) -> [(&'static str, &'static str, &mut Since<f64>); 6] {
        [
            ("complexity", "complexity_known_at", &mut self.complexity),
            ("seconds", "seconds_known_at", &mut self.seconds),
            ("quality", "quality_known_at", &mut self.quality),
            ("tokens", "tokens_known_at", &mut self.tokens),
            ("difficulty", "difficulty_known_at", &mut self.difficulty),
            ("cost", "cost_known_at", &mut self.cost),
        ]
    }

    /// The label for `target`, as far as it is known at `moment`.
    pub(crate) fn get(&self, target: Target, moment: DateTime<Utc>) -> Since<f64> {
        let label = match target {
            Target::Success => self.success.map(|(at, s)| (at, f64::from(u8::from(s)))),
            Target::Complexity => self.complexity.or(self.difficulty),
            Target::Time => self.seconds,
            Target::Quality => self.quality,
            Target::Tokens => self.tokens,
            Target::Cost => self.cost,
            Target::Template => self.relevance.map(|(at, relevance)| (at, f64::from(relevance))),
        };
        label.filter(|(at, _)| *at <= moment)
    }
}
