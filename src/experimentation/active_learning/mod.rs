//! Which generations deserve a person's look now, and with which odds each is asked about.
//!
//! A [`LabelSampler`] spends a daily budget of questions: first on a random audit, so that nothing is
//! ever certain not to be asked about; the rest by how much an answer would teach ([`AcquisitionSignals`]).
//! The odds are stored with the event ([`ReviewRequest`](crate::event::ReviewRequest)), so that
//! training and evaluation can weigh what became known by them
//! ([`Example::propensities`](crate::dataset::Example::odds)).

mod acquisition;
mod label_sampler;

pub use acquisition::{AcquisitionSignals, AcquisitionWeights};
pub use label_sampler::{LabelSampler, LabelSamplerOptions};
