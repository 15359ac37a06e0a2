//! Features: the numbers that the models read about a task.

mod engineer;
mod frameworks;
mod host_columns;
mod inputs;
mod table;

#[cfg(feature = "export")]
pub(crate) use engineer::OwnColumns;
#[cfg(feature = "linfa")]
pub(crate) use engineer::short;
pub use engineer::{FeatureEngineer, FeatureOptions, FeatureRow};
pub use frameworks::Frameworks;
pub use host_columns::{ColumnKind, HostColumn, HostColumns};
pub use table::{FEATURES, Feature, FeatureId, Kind, KnownWhen, Topic};
pub(crate) use table::{SHAPE, index_of};
