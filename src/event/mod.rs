//! Facts of a generation: its start, its completion and the feedback on it.

mod assignment;
mod check;
mod columns;
mod completion;
mod context;
mod decision;
pub(crate) mod effort;
mod feature_vector;
mod feedback;
mod flat;
mod fold;
mod generation;
mod given;
mod id;
mod jsonl;
mod prices;
mod record;
mod review;

pub use assignment::Assignment;
pub use check::Metadata;
pub(crate) use check::{CLOCK_DOUBTED, is_recordable};
pub use columns::ColumnValue;
pub(crate) use columns::{Columns, MAX_COLUMN_BYTES};
pub use completion::{Completion, MetricField};
pub use context::TaskContext;
pub use decision::{Decision, ShownPrediction};
pub use feature_vector::FeatureVector;
pub use feedback::{Feedback, UserAction};
pub(crate) use fold::{Fold, Folded};
pub use generation::{GenerationEvent, Outcome};
pub(crate) use id::MAX_ID_BYTES;
pub use id::{EventId, FeedbackId, ProjectId, SessionId, TaskId, TemplateId, UserId};
pub use jsonl::{JsonLines, read_jsonl};
pub use prices::Prices;
pub use record::{Fact, Known, Record, RecordKey, Started};
pub use review::ReviewRequest;
