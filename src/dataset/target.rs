//! What is to be learned, and what is known of it.

use crate::error::{Error, Result};
use crate::history::GenerationResult;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Target of a model.
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
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Success, Self::Complexity, Self::Time, Self::Quality, Self::Tokens];

    /// Its name: that of the model that predicts it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Complexity => "complexity",
            Self::Time => "time",
            Self::Quality => "quality",
            Self::Tokens => "tokens",
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
pub struct Labels {
    /// Approved without modification.
    pub success: Since<bool>,
    /// Complexity, 0 to 10, as the host labelled it.
    pub(crate) complexity: Since<f64>,
    /// Seconds from start to end.
    pub seconds: Since<f64>,
    /// Final quality, 0 to 10.
    pub quality: Since<f64>,
    /// Tokens read and written.
    pub(crate) tokens: Since<f64>,
    /// Observed difficulty, 0 to 10.
    pub(crate) difficulty: Since<f64>,
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
            difficulty: None,
        }
    }

    /// The label for `target`, as far as it is known at `moment`.
    pub(crate) fn get(&self, target: Target, moment: DateTime<Utc>) -> Since<f64> {
        let label = match target {
            Target::Success => self.success.map(|(at, s)| (at, f64::from(u8::from(s)))),
            Target::Complexity => self.complexity.or(self.difficulty),
            Target::Time => self.seconds,
            Target::Quality => self.quality,
            Target::Tokens => self.tokens,
        };
        label.filter(|(at, _)| *at <= moment)
    }
}
