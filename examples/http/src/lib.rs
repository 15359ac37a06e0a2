//! Predictions, feedback, training and the dashboard over HTTP, to be run beside an orchestrator that is not
//! written in Rust. The library is shared by the program, the tests and the benches of this package.

// Requests and responses: state, routes, connections.
pub mod service;
// A history to try it with.
pub mod simulated;
