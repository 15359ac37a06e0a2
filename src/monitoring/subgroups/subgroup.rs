//! A combination that does better or worse than its parts let expect.

use crate::monitoring::dimension::SliceKey;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A combination of attributes and words whose outcomes are better or worse than what its agent, model,
/// language and so on let expect, found on some outcomes and confirmed on later ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Subgroup {
    /// What its generations have in common.
    pub conditions: Vec<Condition>,
    /// Outcomes that confirmed it, all later than those it was found on.
    pub(crate) n: u64,
    /// Share of successes among them.
    pub(crate) actual: f64,
    /// The share that its parts let expect.
    pub(crate) expected: f64,
    /// 90 % interval of `actual - expected`, widened for the number of combinations and looks.
    pub difference: (f64, f64),
    /// `actual / expected`.
    pub lift: f64,
    /// How likely chance alone confirms as much, at this look alone.
    pub(crate) p_value: f64,
    /// Of the outcomes that confirmed it.
    pub(crate) share_of_traffic: f64,
    /// `actual - expected` in the older outcomes, with their number; `None` where there are too few.
    pub(crate) before: Option<(f64, u64)>,
    /// True if there are enough older outcomes and they do not show the subgroup.
    pub emerging: bool,
    /// When it was first suspected.
    pub suspected_at: DateTime<Utc>,
    /// When it was confirmed.
    pub confirmed_at: DateTime<Utc>,
    /// All that in a sentence.
    pub text: String,
}

/// What generations have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// A value of an attribute.
    Attribute(SliceKey),
    /// A word of the description.
    Word(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(slice) => slice.fmt(f),
            Self::Word(word) => write!(f, "\"{word}\" in the description"),
        }
    }
}
