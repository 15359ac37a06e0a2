//! Which generations deserve a person's look now, and with which odds each is asked about.
//!
//! A [`ReviewDesk`] spends a daily budget of questions: first on a random audit, so that nothing is
//! ever certain not to be asked about; the rest by how much an answer would teach ([`ReviewSignals`]).
//! The odds are stored with the event ([`ReviewRequest`](crate::event::ReviewRequest)), so that
//! training and evaluation can weigh what became known by them
//! ([`Example::odds`](crate::dataset::Example::odds)).

mod desk;
mod value;

pub use desk::{ReviewDesk, ReviewOptions};
pub use value::{ReviewSignals, SignalWeights};
