//! What tasks and generations are like.

use serde::{Deserialize, Serialize};

/// What tasks and generations are like, over all days counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataDistribution {
    /// Attributes that are one of several.
    pub(crate) categories: Vec<CategoryDistribution>,
    /// Attributes that are numbers.
    pub(crate) numbers: Vec<NumberDistribution>,
}

/// How often each value of an attribute occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CategoryDistribution {
    /// The attribute: `agent`, `language`, …
    pub(crate) name: String,
    /// Generations.
    pub(crate) n: u64,
    /// Those that do not say.
    pub(crate) unknown: u64,
    /// The values, the most frequent first.
    pub(crate) values: Vec<CategoryShare>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CategoryShare {
    /// The value.
    pub(crate) value: String,
    /// How often.
    pub(crate) n: u64,
    /// Of those that say.
    pub(crate) share: f64,
}

/// How large a number is: exact to 5 %, from a histogram whose bins grow with the number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumberDistribution {
    /// The attribute: `description_length`, `seconds`, …
    pub(crate) name: String,
    /// Generations of which it is known.
    pub(crate) n: u64,
    /// Those of which it is not.
    pub(crate) unknown: u64,
    /// The values below which 5, 25, 50, 75 and 95 % lie; `None` where it is never known.
    pub(crate) quantiles: Option<[f64; 5]>,
    /// From, to, how many: at most 24 bins.
    pub(crate) bins: Vec<(f64, f64, u64)>,
}
