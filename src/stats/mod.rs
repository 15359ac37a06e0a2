//! Statistics, hashes and calendars that everything else stands on; nothing in the crate lies below.

pub(crate) mod bucket;
pub(crate) mod calendar;
pub(crate) mod distributions;
pub(crate) mod fnv;
mod logistic;

pub(crate) use logistic::{logit, sigmoid};
