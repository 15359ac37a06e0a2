//! By what past generations are grouped.

use crate::event::{EventId, TaskContext, TaskId, TemplateId, UserId};
use crate::stats::fnv;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// A way of grouping generations; a task belongs to one group of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) enum GroupKey {
    /// All generations.
    Global,
    /// Same task type.
    TaskType,
    /// Same task type and language.
    TypeLanguage,
    /// Same task type, language and framework.
    TypeLanguageFramework,
    /// Same language.
    Language,
    /// Same agent.
    Agent,
    /// Same LLM.
    Model,
    /// Same agent and LLM, at the same reasoning effort.
    AgentModel,
    /// Same agent and task type.
    AgentType,
    /// Same agent and language.
    AgentLanguage,
    /// Same project.
    Project,
    /// Same project and agent.
    ProjectAgent,
    /// Same project and task type.
    ProjectType,
    /// Same user.
    User,
    /// Same user and project.
    UserProject,
    /// Same task.
    Task,
    /// Same task and agent.
    TaskAgent,
    /// Same task and LLM, at the same reasoning effort.
    TaskModel,
    /// Same template.
    Template,
    /// Same template and task type.
    TemplateType,
    /// Same template, task type, language and framework.
    TemplateSimilar,
    /// Same user and template.
    UserTemplate,
    /// Judged by the same person; by whom the task names until somebody has judged.
    Reviewer,
}

impl GroupKey {
    /// Every scope, in order.
    pub(crate) const ALL: [Self; SCOPES] = [
        Self::Global,
        Self::TaskType,
        Self::TypeLanguage,
        Self::TypeLanguageFramework,
        Self::Language,
        Self::Agent,
        Self::Model,
        Self::AgentModel,
        Self::AgentType,
        Self::AgentLanguage,
        Self::Project,
        Self::ProjectAgent,
        Self::ProjectType,
        Self::User,
        Self::UserProject,
        Self::Task,
        Self::TaskAgent,
        Self::TaskModel,
        Self::Template,
        Self::TemplateType,
        Self::TemplateSimilar,
        Self::UserTemplate,
        Self::Reviewer,
    ];
}

/// How many scopes there are.
pub(super) const SCOPES: usize = 23;

/// A group: its scope and a hash of the values that its members share (no text is kept).
pub(super) type Key = NonZeroU64;

/// The groups that a task belongs to; `None` where the task does not say.
pub(super) fn keys(task: &TaskContext) -> [Option<Key>; SCOPES] {
    let kind = category(task.task_type.as_deref());
    let language = category(task.language.as_deref());
    let framework = Some(category(task.framework.as_deref()).unwrap_or(NONE));
    let agent = category(task.agent_type.as_deref());
    let model = category(task.model_used.as_deref());
    // At another effort an LLM takes and achieves as much as another LLM would.
    let model_at = model_at_effort(task);
    let agent_at = agent.or_else(|| category(task.effort.as_deref()).map(|_| NONE));
    let project = task.project_id.as_ref().map(|id| text(id.as_str()));
    let user = task.user_id.as_ref().map(|id| text(id.as_str()));
    let this = Some(text(task.task_id.as_str()));
    let template = task.template_id.as_ref().map(|id| text(id.as_str()));
    GroupKey::ALL.map(|scope| {
        let hash = match scope {
            GroupKey::Global => Some(NONE),
            GroupKey::TaskType => kind,
            GroupKey::TypeLanguage => both(kind, language),
            GroupKey::TypeLanguageFramework => both(both(kind, language), framework),
            GroupKey::Language => language,
            GroupKey::Agent => agent,
            GroupKey::Model => model,
            GroupKey::AgentModel => both(agent_at, model_at),
            GroupKey::AgentType => both(agent, kind),
            GroupKey::AgentLanguage => both(agent, language),
            GroupKey::Project => project,
            GroupKey::ProjectAgent => both(project, agent),
            GroupKey::ProjectType => both(project, kind),
            GroupKey::User => user,
            GroupKey::UserProject => both(user, project),
            GroupKey::Task => this,
            GroupKey::TaskAgent => both(this, agent),
            GroupKey::TaskModel => both(this, model_at),
            GroupKey::Template => template,
            GroupKey::TemplateType => both(template, kind),
            GroupKey::TemplateSimilar => both(both(both(template, kind), language), framework),
            GroupKey::UserTemplate => both(user, template),
            GroupKey::Reviewer => return task.reviewer_id.as_ref().map(reviewer_key),
        };
        hash.map(|hash| key(scope, hash))
    })
}

/// The groups of `task` that depend on its template, had it used `template`: the template's, those of
/// its use for this type of task, and for similar ones, and that of its use by this user.
pub(super) fn template_keys(task: &TaskContext, template: &TemplateId) -> [Option<Key>; 4] {
    let template = Some(text(template.as_str()));
    let user = task.user_id.as_ref().map(|id| text(id.as_str()));
    let of_type = both(template, category(task.task_type.as_deref()));
    let language = category(task.language.as_deref());
    let framework = Some(category(task.framework.as_deref()).unwrap_or(NONE));
    [
        (GroupKey::Template, template),
        (GroupKey::TemplateType, of_type),
        (GroupKey::TemplateSimilar, both(both(of_type, language), framework)),
        (GroupKey::UserTemplate, both(user, template)),
    ]
    .map(|(scope, hash)| hash.map(|hash| key(scope, hash)))
}

/// The group of what a person judged.
pub(super) fn reviewer_key(reviewer: &UserId) -> Key {
    key(GroupKey::Reviewer, text(reviewer.as_str()))
}

/// Returns a stable number for an LLM at its effort; `None` when the LLM is unknown.
pub(crate) fn model_at_effort(task: &TaskContext) -> Option<u64> {
    let model = category(task.model_used.as_deref());
    category(task.effort.as_deref()).map_or(model, |effort| both(model, Some(effort)))
}

/// The group of one task.
pub(super) fn task_key(task: &TaskId) -> Key {
    key(GroupKey::Task, text(task.as_str()))
}

/// The group of all tasks of a type; of all generations where no type is given.
pub(super) fn type_key(task_type: Option<&str>) -> Option<Key> {
    match task_type {
        Some(name) => category(Some(name)).map(|hash| key(GroupKey::TaskType, hash)),
        None => Some(key(GroupKey::Global, NONE)),
    }
}

/// The group of one generation.
pub(super) fn event_hash(id: &EventId) -> u64 {
    text(id.as_str())
}

/// The hash of a generation's id as a retrieved example names it.
pub(super) fn example_hash(id: &str) -> u64 {
    text(id)
}

/// A stable number for a category's name, however it is written; `None` when it is unknown.
pub(crate) fn category(name: Option<&str>) -> Option<u64> {
    let name = name?.trim();
    if name.is_empty() {
        return None;
    }
    if name.is_ascii() {
        return Some(name.bytes().fold(fnv::SEED, |h, b| fnv::step(h, b.to_ascii_lowercase())));
    }
    Some(text(&name.to_lowercase()))
}

/// Groups of different scopes keep apart though their members share values.
fn key(scope: GroupKey, hash: u64) -> Key {
    let apart = hash ^ (scope as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    NonZeroU64::new(apart.wrapping_mul(0x9E37_79B9_7F4A_7C15)).unwrap_or(NonZeroU64::MIN)
}

fn both(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some((a?.rotate_left(29) ^ b?).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn text(value: &str) -> u64 {
    fnv::hash(value.as_bytes())
}

const NONE: u64 = 0;
