//! What tasks and generations are like.

use serde::{Deserialize, Serialize};

/// What tasks and generations are like, over all days counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DataDistribution {
    /// Attributes that are one of several.
    pub categories: Vec<CategoryDistribution>,
    /// Attributes that are numbers.
    pub numbers: Vec<NumberDistribution>,
}

/// How often each value of an attribute occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CategoryDistribution {
    /// The attribute: `agent`, `language`, …
    pub name: String,
    /// Generations.
    pub n: u64,
    /// Those that do not say.
    pub unknown: u64,
    /// The values, the most frequent first.
    pub values: Vec<CategoryShare>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CategoryShare {
    /// The value.
    pub value: String,
    /// How often.
    pub n: u64,
    /// Of those that say.
    pub share: f64,
}

/// How large a number is: exact to 5 %, from a histogram whose bins grow with the number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NumberDistribution {
    /// The attribute: `description_length`, `seconds`, …
    pub name: String,
    /// Generations of which it is known.
    pub n: u64,
    /// Those of which it is not.
    pub unknown: u64,
    /// The values below which 5, 25, 50, 75 and 95 % lie; `None` where it is never known.
    pub quantiles: Option<[f64; 5]>,
    /// From, to, how many: at most 24 bins.
    pub bins: Vec<(f64, f64, u64)>,
}
