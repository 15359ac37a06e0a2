//! What the models see of a task.

mod engineer;
mod frameworks;
mod inputs;
mod table;

pub use engineer::{FeatureEngineer, FeatureOptions, FeatureRow};
pub use frameworks::Frameworks;
pub use table::{FEATURES, Feature, Kind, KnownWhen, Topic, index_of};
