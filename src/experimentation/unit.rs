//! Units of randomization and clustering.

use crate::event::{ProjectId, SessionId, TaskContext, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The unit of randomization or clustering: all generations of one unit are correlated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// All attempts at a task.
    Task,
    /// A working session.
    Session,
    /// The user.
    User,
    /// The project.
    Project,
}

impl Unit {
    /// Returns the unit that `task` belongs to; `None` where the host does not know it.
    pub(crate) fn of(self, task: &TaskContext) -> Option<&str> {
        match self {
            Self::Task => Some(task.task_id.as_str()),
            Self::Session => task.session_id.as_ref().map(SessionId::as_str),
            Self::User => task.user_id.as_ref().map(UserId::as_str),
            Self::Project => task.project_id.as_ref().map(ProjectId::as_str),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "task",
            Self::Session => "session",
            Self::User => "user",
            Self::Project => "project",
        })
    }
}
