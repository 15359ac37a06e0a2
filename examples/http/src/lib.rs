//! Predictions, feedback, training and the dashboard over HTTP, to be run beside an orchestrator that is not
//! written in Rust. The library is what the tests and benches of this package share with its program.

// Requests and answers: what is kept, the routes, connections.
pub mod service;
// A history to try it with.
pub mod simulated;
