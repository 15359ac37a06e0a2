//! Helpers that several tests share.
#![allow(dead_code, unreachable_pub)] // each test uses its own part

pub mod abilities;
pub mod anything;
pub mod arrivals;
pub mod monitored;
pub mod proxy;
#[cfg(feature = "postgres")]
pub mod server;
pub mod small;
pub mod world;

use devmatrix_ml::event::{Feedback, RecordKey, TaskContext, TaskId, UserAction};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Creates a task with every category set.
pub fn task(id: &str) -> TaskContext {
    let mut task = TaskContext::new(TaskId::new(id).unwrap());
    task.task_type = Some("backend".into());
    task.language = Some("python".into());
    task.agent_type = Some("implementation".into());
    task.model_used = Some("claude-sonnet-4.5".into());
    task.task_description = format!("Add the endpoint {id} with validation and tests");
    task
}

/// Creates an approval without comments.
pub fn approve() -> Feedback {
    Feedback::new(UserAction::Approve)
}

/// Returns a hash of the salt and the key.
pub fn mix(salt: u64, key: &RecordKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    (salt, key).hash(&mut hasher);
    hasher.finish()
}
