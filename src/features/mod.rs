//! What the models see of a task.

mod vector;
pub use vector::FeatureVector;
