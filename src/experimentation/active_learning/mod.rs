//! Active learning: which generations a person is asked to label, with which propensity.
//!
//! A [`LabelSampler`] spends a daily budget of label requests: first on a random audit, so that every generation has a
//! positive propensity; the rest by an acquisition function ([`AcquisitionSignals`]). The propensities are stored with
//! the event ([`ReviewRequest`](crate::event::ReviewRequest)), so that training and evaluation can weight labels by
//! their inverse.

mod acquisition;
mod label_sampler;

pub use acquisition::{AcquisitionSignals, AcquisitionWeights};
pub use label_sampler::{LabelSampler, LabelSamplerOptions};
