//! Options of a backtest.

use super::field_of;
use crate::dataset::Target;
use crate::error::{Error, Result};
use crate::event::GenerationEvent;
use crate::features::FeatureOptions;
use crate::training::{Gate, TrainingOptions};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// Options of a backtest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BacktestOptions {
    /// Prediction target.
    pub target: Target,
    /// Split into training and test events.
    pub split: BacktestSplit,
    /// Attribution window: without an approval within it, the outcome is a failure.
    pub deadline: Option<TimeDelta>,
    /// End of the event history; by default its last date.
    pub as_of: Option<DateTime<Utc>>,
    /// True to retrain at each 02:00 UTC (a split by time only).
    pub retrain_daily: bool,
    /// Number of test events after which their outcomes are learned and a model is trained again (a split by a field's
    /// value or group only, whose test events follow each other in the order of the file); `None` for never.
    pub retrain_rows: Option<usize>,
    /// True to permute the outcomes, as a sanity check: no skill must be left.
    pub shuffle: bool,
    /// Random seed.
    pub seed: u64,
    /// Options of the features, with the host's own columns.
    pub features: FeatureOptions,
    /// Options of each training run; by default with [`Gate::refreshing`].
    pub training: TrainingOptions,
}

impl Default for BacktestOptions {
    fn default() -> Self {
        Self {
            target: Target::Success,
            split: BacktestSplit::Time(0.8),
            deadline: None,
            as_of: None,
            retrain_daily: false,
            retrain_rows: None,
            shuffle: false,
            seed: 42,
            features: FeatureOptions::default(),
            training: TrainingOptions { gate: Gate::refreshing(), ..TrainingOptions::default() },
        }
    }
}

impl BacktestOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        if let BacktestSplit::Time(share) | BacktestSplit::Group(_, share) = &self.split
            && !(*share > 0.0 && *share < 1.0)
        {
            return Err(wrong_split(&self.split));
        }
        match (self.retrain_rows, &self.split) {
            (Some(0), _) => return Err(Error::invalid("retrain_rows is 0, expected at least 1")),
            (Some(rows), BacktestSplit::Time(_)) => {
                return Err(Error::invalid(format!(
                    "retrain_rows is {rows} for a split by time, in which each night is one: set retrain_daily instead"
                )));
            }
            _ => {}
        }
        match self.deadline {
            Some(deadline) if deadline <= TimeDelta::zero() => {
                Err(Error::invalid(format!("deadline is {deadline}, expected a time above 0")))
            }
            _ => self.training.validate(),
        }
    }
}

/// The training events; the rest is the test set.
#[derive(Debug, Clone, PartialEq)]
pub enum BacktestSplit {
    /// `time:0.8`: the earliest share of the events, as far as their outcomes were known at the cut.
    Time(f64),
    /// `group:FIELD:0.8`: the events of a share of the field's values, chosen by hash.
    Group(String, f64),
    /// `field:PATH=VALUE`: all events but those with this value.
    Field(String, String),
}

impl FromStr for BacktestSplit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || wrong_split(format_args!("{text:?}"));
        let share = |text: &str| text.parse::<f64>().ok().filter(|s| *s > 0.0 && *s < 1.0).ok_or_else(wrong);
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "time" => Ok(Self::Time(share(rest)?)),
            "group" => {
                let (field, part) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let field = Some(field).filter(|f| !f.is_empty()).ok_or_else(wrong)?;
                Ok(Self::Group(field.to_owned(), share(part)?))
            }
            "field" => {
                let (path, value) =
                    rest.split_once('=').filter(|(path, _)| !path.is_empty()).ok_or_else(wrong)?;
                Ok(Self::Field(path.to_owned(), value.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

fn wrong_split(split: impl std::fmt::Display) -> Error {
    Error::invalid(format!(
        "split {split}: expected time:SHARE, group:FIELD:SHARE or field:PATH=VALUE, SHARE between 0 and 1"
    ))
}

impl std::fmt::Display for BacktestSplit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(share) => write!(f, "time:{share}"),
            Self::Group(field, share) => write!(f, "group:{field}:{share}"),
            Self::Field(path, value) => write!(f, "field:{path}={value}"),
        }
    }
}

impl BacktestSplit {
    /// Returns true if `event` belongs to the test set; always false for a split by time.
    pub(super) fn is_test(&self, event: &GenerationEvent, seed: u64) -> Result<bool> {
        match self {
            Self::Time(_) => Ok(false),
            Self::Group(field, share) => {
                let value = field_of(event, field)?.unwrap_or_default();
                let digest = Sha256::digest(format!("{seed}\n{value}"));
                let place = u64::from_be_bytes(std::array::from_fn(|i| digest[i])) as f64 / u64::MAX as f64;
                Ok(place >= *share)
            }
            Self::Field(path, value) => Ok(field_of(event, path)?.as_ref() == Some(value)),
        }
    }
}
