//! Similar past tasks.
//!
//! The history finds them by words and character n-grams, [`EmbeddedTasks`] by a host's own
//! embeddings. Both keep the recent and the representative, at most as many as they are told, and
//! their content is a function of the *set* of tasks that they were given: order and repetitions
//! change nothing.

mod embedded;
mod index;
mod reservoir;
mod search;

pub use embedded::{EmbeddedTasks, Embedder};
pub(crate) use index::SimilarTasks;
pub(crate) use search::SearchBudget;

use crate::event::TaskId;
use serde::{Deserialize, Serialize};

/// Tasks that are kept by default.
pub(crate) const DEFAULT_CAPACITY: usize = 20_000;

/// A similar past task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SimilarTask {
    /// The task.
    pub(crate) task_id: TaskId,
    /// Similarity, 0 to 1.
    pub(crate) similarity: f64,
}

#[cfg(test)]
mod samples;
