//! By what generations are told apart, with a bounded number of values each.

use crate::event::{ProjectId, TaskContext, TemplateId};
use crate::stats::fnv::{self, ByHash};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An attribute by which generations are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dimension {
    /// The agent.
    Agent,
    /// The LLM.
    Model,
    /// The programming language.
    Language,
    /// The framework.
    Framework,
    /// The type of task.
    TaskType,
    /// The project.
    Project,
    /// The template.
    Template,
}

/// How many dimensions there are.
pub(super) const DIMENSIONS: usize = 7;

/// Longer names are cut; they are data of others and may be anything.
const MAX_NAME_CHARS: usize = 80;

impl Dimension {
    /// All of them, in order.
    pub(crate) const ALL: [Self; DIMENSIONS] = [
        Self::Agent,
        Self::Model,
        Self::Language,
        Self::Framework,
        Self::TaskType,
        Self::Project,
        Self::Template,
    ];

    /// Its name in sentences.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Language => "language",
            Self::Framework => "framework",
            Self::TaskType => "task type",
            Self::Project => "project",
            Self::Template => "template",
        }
    }

    fn of(self, task: &TaskContext) -> Option<&str> {
        match self {
            Self::Agent => task.agent_type.as_deref(),
            Self::Model => task.model_used.as_deref(),
            Self::Language => task.language.as_deref(),
            Self::Framework => task.framework.as_deref(),
            Self::TaskType => task.task_type.as_deref(),
            Self::Project => task.project_id.as_ref().map(ProjectId::as_str),
            Self::Template => task.template_id.as_ref().map(TemplateId::as_str),
        }
    }
}

/// The generations that share one value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SliceKey {
    /// Of what.
    pub dimension: Dimension,
    /// Its value, control characters replaced and cut after 80 characters; `(other)` stands for
    /// all that came after the first so many.
    pub value: String,
}

impl SliceKey {
    /// The name of all values beyond the first so many.
    pub(crate) const OTHER: &'static str = "(other)";
}

impl fmt::Display for SliceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dimension.name(), self.value)
    }
}

/// The value of each dimension by its number; `UNKNOWN` where the task does not say.
pub(super) type Values = [u16; DIMENSIONS];

/// No value was given.
pub(super) const UNKNOWN: u16 = 0;
/// One of the values beyond the first so many.
pub(super) const OTHER: u16 = 1;
/// The number of the first value that has one of its own.
pub(super) const FIRST: u16 = 2;

/// The values met, each with a number; they are told apart as in the history: however they are
/// written in small and capital letters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    by_hash: [ByHash<u16>; DIMENSIONS],
    names: [Vec<String>; DIMENSIONS],
}

impl Names {
    /// The values of `task`; of each dimension the first `most` get a number of their own.
    pub(super) fn values(&mut self, task: &TaskContext, most: usize) -> Values {
        Dimension::ALL.map(|dimension| {
            let Some(name) = dimension.of(task).map(str::trim).filter(|name| !name.is_empty()) else {
                return UNKNOWN;
            };
            let hash = folded(name);
            let (by_hash, names) =
                (&mut self.by_hash[dimension as usize], &mut self.names[dimension as usize]);
            if let Some(number) = by_hash.get(&hash) {
                return *number;
            }
            if names.len() >= most {
                return OTHER;
            }
            let number = FIRST + names.len() as u16;
            names.push(shown(name));
            by_hash.insert(hash, number);
            number
        })
    }

    /// Returns the slice that a number encodes; `None` for an unknown value.
    pub(super) fn key(&self, dimension: Dimension, number: u16) -> Option<SliceKey> {
        let value = match number {
            UNKNOWN => return None,
            OTHER => SliceKey::OTHER.to_owned(),
            number => self.names[dimension as usize].get(usize::from(number - FIRST))?.clone(),
        };
        Some(SliceKey { dimension, value })
    }
}

/// A name's hash with its ASCII letters folded.
fn folded(name: &str) -> u64 {
    if name.is_ascii() {
        return name.bytes().fold(fnv::SEED, |hash, byte| fnv::step(hash, byte.to_ascii_lowercase()));
    }
    fnv::hash(name.to_lowercase().as_bytes())
}

/// A name fit to be shown: one line, not too long.
pub(super) fn shown(name: &str) -> String {
    let mut chars = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = chars.by_ref().take(MAX_NAME_CHARS).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TaskId;

    fn task(agent: &str) -> TaskContext {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.agent_type = Some(agent.into());
        task
    }

    #[test]
    fn names_are_told_apart_whatever_their_letters_up_to_a_cap() {
        let mut names = Names::default();
        let numbers: Vec<_> =
            ["Backend", "backend ", "b", "c", " "].iter().map(|a| names.values(&task(a), 2)[0]).collect();
        assert_eq!(numbers, [FIRST, FIRST, FIRST + 1, OTHER, UNKNOWN]);
        assert_eq!(names.key(Dimension::Agent, FIRST).unwrap().to_string(), "agent Backend");
        assert_eq!(names.key(Dimension::Agent, OTHER).unwrap().value, SliceKey::OTHER);
    }

    #[test]
    fn hostile_names_are_short_single_lines() {
        let name = shown(&format!("<script>\n\u{7}{}", "x".repeat(10_000)));
        assert!(name.starts_with("<script>  x") && name.chars().count() == 81, "{name}");
    }
}
