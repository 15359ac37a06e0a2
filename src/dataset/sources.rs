//! Where feedback comes from, and how much of it one source may give.

use super::Example;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A person or an agent whose outcomes were learned from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Kind of source.
    pub(crate) kind: SourceKind,
    /// Its name.
    pub(crate) name: String,
}

/// What gives feedback, or is given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceKind {
    /// The person who judges.
    User,
    /// The agent that is judged.
    Agent,
}

impl Source {
    /// A source by its kind and name.
    pub(crate) fn new(kind: SourceKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// The sources of an example.
    pub(crate) fn of(example: &Example) -> impl Iterator<Item = (SourceKind, &Arc<str>)> {
        let user = example.about.user.as_ref().map(|name| (SourceKind::User, name));
        let agent = example.about.agent.as_ref().map(|name| (SourceKind::Agent, name));
        user.into_iter().chain(agent)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SourceKind::User => "user",
            SourceKind::Agent => "agent",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// A person's outcomes count as at most this many times those of the person in the middle.
const CAP: f64 = 4.0;

/// Weighs examples so that nobody's judgement counts for much more than others'. Agents are not
/// capped: a host may have only two, and one may do most of the work.
pub(super) fn weigh(examples: &mut [Example]) {
    let mut counts = HashMap::<Arc<str>, f64>::new();
    for user in examples.iter().filter_map(|e| e.about.user.as_ref()) {
        *counts.entry(Arc::clone(user)).or_default() += 1.0;
    }
    let mut sorted: Vec<_> = counts.values().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let Some(most) = sorted.get(sorted.len() / 2).map(|median| CAP * median) else { return };
    for example in examples {
        let count = example.about.user.as_ref().and_then(|user| counts.get(user));
        example.share = count.map_or(1.0, |count| (most / count).min(1.0));
        example.weight = example.share;
    }
}
