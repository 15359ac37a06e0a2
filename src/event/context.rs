//! What is known before a generation starts.

use super::check::{self, Checked};
use super::columns::{self, ColumnValue, Columns};
use super::effort;
use super::given;
use super::id::{EventId, ProjectId, SessionId, TaskId, TemplateId, UserId};
use crate::error::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// All that may be known of a task before its generation starts.
///
/// It has no field for an outcome, so a feature made from it cannot leak one. What the host does
/// not know stays `None` and reaches the models as missing, never as a made-up default.
///
/// ```
/// use devmatrix_ml::event::{TaskContext, TaskId};
/// let mut task = TaskContext::new(TaskId::new("TASK-7")?);
/// task.task_description = "Add a REST endpoint for orders".into();
/// task.language = Some("python".into());
/// task.temperature = Some(0.1);
/// assert!(task.framework.is_none()); // not known, never made up
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskContext {
    /// The task; several tries share it.
    pub task_id: TaskId,
    /// The project that the task belongs to.
    pub project_id: Option<ProjectId>,
    /// Who asked.
    pub user_id: Option<UserId>,
    /// The person who will judge the code, where that is known before the start; [`Feedback::reviewer_id`] says who did.
    ///
    /// [`Feedback::reviewer_id`]: crate::event::Feedback::reviewer_id
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer_id: Option<UserId>,
    /// The host's working session.
    pub session_id: Option<SessionId>,
    /// When the generation starts.
    pub started_at: Option<DateTime<Utc>>,
    /// `backend`, `frontend`, `database`, `testing`, `documentation`, `devops` or the host's own.
    pub task_type: Option<String>,
    /// The task in words.
    #[serde(default, deserialize_with = "given::or_default")]
    pub task_description: String,
    /// Programming language.
    pub language: Option<String>,
    /// Framework, where there is one.
    pub framework: Option<String>,
    /// The agent that the task is given to.
    pub agent_type: Option<String>,
    /// The LLM.
    pub model_used: Option<String>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Reasoning effort of the LLM: a level such as `low` or `high`, or a number as text; JSON may give the number itself.
    /// Generations of one LLM at several efforts are told apart as those of several LLMs are.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "effort::read")]
    pub effort: Option<String>,
    /// Most tokens the LLM may produce.
    #[serde(default, deserialize_with = "given::whole")]
    pub max_tokens: Option<u32>,
    /// Whether examples were retrieved for the prompt.
    pub rag_enabled: Option<bool>,
    /// How many examples were retrieved.
    #[serde(default, deserialize_with = "given::whole")]
    pub rag_examples_count: Option<u32>,
    /// The generations that the examples came from.
    #[serde(default, deserialize_with = "given::or_default")]
    pub rag_examples_ids: Vec<String>,
    /// Mean similarity of the examples to the task, -1 to 1.
    pub rag_avg_similarity: Option<f64>,
    /// Mean quality of the examples where the host knows it, 0 to 10.
    pub rag_avg_quality: Option<f64>,
    /// The template used.
    pub template_id: Option<TemplateId>,
    /// Files that the generation is expected to write.
    #[serde(default, deserialize_with = "given::whole")]
    pub num_files_to_generate: Option<u32>,
    /// Lines that the generation is expected to write.
    #[serde(default, deserialize_with = "given::whole")]
    pub estimated_lines_of_code: Option<u32>,
    /// Dependencies that the task needs.
    #[serde(default, deserialize_with = "given::whole")]
    pub num_dependencies: Option<u32>,
    /// Generations waiting at the start.
    #[serde(default, deserialize_with = "given::whole")]
    pub current_queue_size: Option<u32>,
    /// Load of the generating system at the start, 1.0 = full.
    pub system_load: Option<f64>,
    /// The try that this one repeats, where it is a regeneration.
    pub regeneration_of: Option<EventId>,
    /// Tries of this task before this one (0 for the first).
    #[serde(default, deserialize_with = "given::whole_or_zero")]
    pub attempt: u32,
    /// The host's own columns that are known before the start, as
    /// [`HostColumns`](crate::features::HostColumns) declares them.
    #[serde(default, deserialize_with = "columns::given", skip_serializing_if = "Columns::is_empty")]
    pub columns: Columns,
}

impl TaskContext {
    /// Creates a task of which nothing but its id is known yet.
    pub fn new(task_id: TaskId) -> Self {
        Self {
            task_id,
            project_id: None,
            user_id: None,
            reviewer_id: None,
            session_id: None,
            started_at: None,
            task_type: None,
            task_description: String::new(),
            language: None,
            framework: None,
            agent_type: None,
            model_used: None,
            temperature: None,
            effort: None,
            max_tokens: None,
            rag_enabled: None,
            rag_examples_count: None,
            rag_examples_ids: Vec::new(),
            rag_avg_similarity: None,
            rag_avg_quality: None,
            template_id: None,
            num_files_to_generate: None,
            estimated_lines_of_code: None,
            num_dependencies: None,
            current_queue_size: None,
            system_load: None,
            regeneration_of: None,
            attempt: 0,
            columns: Columns::new(),
        }
    }

    /// Creates a task of this id, of which nothing else is known yet.
    ///
    /// ```
    /// use devmatrix_ml::TaskContext;
    /// assert_eq!(TaskContext::of("TASK-7")?.task_id.as_str(), "TASK-7");
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` when the id is empty, too long or holds a control character.
    pub fn of(task_id: impl AsRef<str>) -> Result<Self> {
        TaskId::new(task_id).map(Self::new)
    }

    /// Checks every number's range.
    ///
    /// # Errors
    /// `InvalidInput` naming the field and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        check::time("started_at", self.started_at)?;
        check::range("temperature", self.temperature, 0.0, 2.0)?;
        effort::validate("effort", self.effort.as_deref())?;
        check::range("rag_avg_similarity", self.rag_avg_similarity, -1.0, 1.0)?;
        check::range("rag_avg_quality", self.rag_avg_quality, 0.0, 10.0)?;
        check::range("system_load", self.system_load, 0.0, 1e6)?;
        columns::validate(&self.columns)
    }
}

impl TaskContext {
    /// This task as every store keeps it, so that what is served is what is learned from.
    pub(crate) fn as_stored(&self) -> Cow<'_, Self> {
        let named = [&self.task_type, &self.language, &self.framework, &self.agent_type];
        let named = named.into_iter().chain([&self.model_used, &self.effort]);
        let texts = named.flatten().chain(&self.rag_examples_ids);
        let categories = self.columns.iter().flat_map(|(name, value)| match value {
            ColumnValue::Category(text) => [Some(name), Some(text)],
            _ => [Some(name), None],
        });
        let texts = texts.chain([&self.task_description]).chain(categories.flatten());
        if !texts.into_iter().any(|text| text.contains('\0')) {
            return Cow::Borrowed(self);
        }
        let mut task = self.clone();
        // Cleaning a task cannot fail.
        let _ = task.clean();
        Cow::Owned(task)
    }
}

impl Checked for TaskContext {
    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    fn clean(&mut self) -> Result<()> {
        self.started_at = self.started_at.map(check::to_micros);
        check::clean_text(&mut self.task_description);
        for text in [
            &mut self.task_type,
            &mut self.language,
            &mut self.framework,
            &mut self.agent_type,
            &mut self.model_used,
            &mut self.effort,
        ] {
            check::clean_option(text);
        }
        self.rag_examples_ids.iter_mut().for_each(check::clean_text);
        columns::clean(&mut self.columns);
        Ok(())
    }
}
