//! The flat JSON form of a generation: one object, the names of the collection schema.

use super::assignment::Assignment;
use super::check::Metadata;
use super::columns::GivenColumns;
use super::completion::{Completion, MetricField};
use super::context::TaskContext;
use super::decision::{Decision, ShownPrediction};
use super::effort::GivenEffort;
use super::feedback::{Feedback, UserAction};
use super::generation::GenerationEvent;
use super::given;
use super::id::{EventId, FeedbackId, ProjectId, SessionId, TaskId, TemplateId, UserId};
use super::record::{Known, SCHEMA_VERSION, Started};
use super::review::ReviewRequest;
use crate::error::{Error, Result};
use crate::json::{self, Unread};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// One feedback with the moment from which it was known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "GivenFeedback")]
struct FlatFeedback {
    known_at: DateTime<Utc>,
    #[serde(flatten)]
    feedback: Feedback,
}

/// [`FlatFeedback`] with each field by name, so that serde tells of those that do not exist.
#[derive(Deserialize)]
struct GivenFeedback {
    known_at: DateTime<Utc>,
    feedback_id: Option<FeedbackId>,
    given_at: Option<DateTime<Utc>>,
    reviewer_id: Option<UserId>,
    user_action: UserAction,
    user_feedback: Option<String>,
    modifications_requested: Option<String>,
    final_quality_score: Option<f64>,
    success: Option<bool>,
    approved: Option<bool>,
    next_step: Option<Decision>,
}

impl From<GivenFeedback> for FlatFeedback {
    fn from(given: GivenFeedback) -> Self {
        let feedback = Feedback {
            feedback_id: given.feedback_id,
            given_at: given.given_at,
            reviewer_id: given.reviewer_id,
            user_action: given.user_action,
            user_feedback: given.user_feedback,
            modifications_requested: given.modifications_requested,
            final_quality_score: given.final_quality_score,
            success: given.success,
            approved: given.approved,
            next_step: given.next_step,
        };
        Self { known_at: given.known_at, feedback }
    }
}

/// The completion's own outcome, where that of the feedback differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Verdict {
    success: Option<bool>,
    approved: Option<bool>,
    final_quality_score: Option<f64>,
}

macro_rules! flat {
    ($($field:ident: $type:ty),*; whole: $($count:ident: $whole:ty),* $(,)?) => {
        /// Every field optional, as in a file that a host exports.
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct Flat {
            $(#[serde(skip_serializing_if = "Option::is_none")] $field: Option<$type>,)*
            $(
                #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given::whole")]
                $count: Option<$whole>,
            )*
            #[serde(skip_serializing_if = "Metadata::is_empty", deserialize_with = "given::metadata")]
            metadata: Metadata,
            #[serde(flatten)]
            unknown: Metadata,
        }
    };
}

flat! {
    event_id: EventId, task_id: TaskId, project_id: ProjectId, user_id: UserId, reviewer_id: UserId,
    session_id: SessionId, started_at: DateTime<Utc>, recorded_at: DateTime<Utc>, completed_at: DateTime<Utc>,
    completion_known_at: DateTime<Utc>, approved_at: DateTime<Utc>, task_type: String,
    task_description: String, language: String, framework: String, agent_type: String, model_used: String,
    temperature: f64, effort: GivenEffort, rag_enabled: bool, rag_examples_ids: Vec<String>,
    rag_avg_similarity: f64, rag_avg_quality: f64, template_id: TemplateId, system_load: f64,
    regeneration_of: EventId, columns: GivenColumns, generated_code: String, file_path: String,
    cyclomatic_complexity: f64, has_type_hints: bool, has_docstrings: bool, has_tests: bool,
    host_metrics: Vec<MetricField>, self_review_score: f64, self_review_feedback: String,
    user_action: UserAction, feedback_reviewer_id: UserId, user_feedback: String,
    modifications_requested: String, final_quality_score: f64, generation_time_seconds: f64, cost_usd: f64,
    cost_from_prices: bool, success: bool, approved: bool, complexity_label: f64, decision: Decision,
    experiments: Vec<Assignment>, predictions: Vec<ShownPrediction>, review_request: ReviewRequest,
    next_step: Decision, verdict: Verdict, completion_columns: GivenColumns, completion_metadata: Metadata,
    feedback: Vec<FlatFeedback>;
    whole:
    schema_version: u32, max_tokens: u32, rag_examples_count: u32, num_files_to_generate: u32,
    estimated_lines_of_code: u32, num_dependencies: u32, current_queue_size: u32, attempt: u32,
    lines_of_code: u32, num_functions: u32, num_classes: u32, syntax_errors: u32, tokens_used: u64,
    input_tokens: u64, output_tokens: u64, cache_read_tokens: u64, cache_write_tokens: u64,
    num_regenerations: u32,
}

impl Flat {
    pub(super) fn parse(json: &str) -> Result<Self> {
        let json = json::mended(json)?;
        json::read(&json).map_err(|error| match (error, culprit(&json)) {
            (Unread::NoField(path), _) => Error::invalid(format!("there is no field `{path}`")),
            (Unread::Refused(_), Some((field, e))) => {
                Error::invalid(format!("{field} cannot be read")).with_source(e)
            }
            (Unread::Refused(e), None) => Error::invalid("not a generation event").with_source(e),
        })
    }
}

impl Flat {
    /// Reads fields that a format became; the error names the one that cannot be read.
    pub(super) fn from_fields(fields: &Metadata) -> Result<Self> {
        Self::deserialize(fields).map_err(|error| match culprit_of(fields.clone()) {
            Some((field, error)) => Error::invalid(format!("{field} cannot be read")).with_source(error),
            None => Error::invalid("not a generation event").with_source(error),
        })
    }
}

/// The first field that cannot be read and why, where the JSON itself is whole.
fn culprit(json: &str) -> Option<(String, serde_json::Error)> {
    culprit_of(serde_json::from_str(json).ok()?)
}

fn culprit_of(fields: Metadata) -> Option<(String, serde_json::Error)> {
    fields.into_iter().find_map(|(field, value)| {
        let alone = Metadata::from_iter([(field.clone(), value)]);
        serde_json::from_value::<Flat>(alone.into()).err().map(|e| (field, e))
    })
}

impl TryFrom<Flat> for GenerationEvent {
    type Error = Error;

    fn try_from(mut flat: Flat) -> Result<Self> {
        let event_id = flat.event_id.take().ok_or_else(|| Error::invalid("event_id is missing"))?;
        let known_at = flat.recorded_at.or(flat.started_at).unwrap_or(DateTime::UNIX_EPOCH);
        let ended_at = flat.ended_at(known_at);
        let completion = flat.take_completion();
        let feedback = flat.take_feedback(ended_at);
        // An approval that no feedback tells of is the completion's own.
        let own_approval = flat.approved_at.filter(|_| feedback.is_empty());
        let judged_at = own_approval.map_or(ended_at, |at| at.max(ended_at));
        let completion = completion.map(|(at, value)| Known { known_at: at.unwrap_or(judged_at), value });
        let started = flat.into_started().map_err(|e| e.context(&event_id))?;
        Ok(Self { event_id, started: Known { known_at, value: started }, completion, feedback })
    }
}

impl Flat {
    /// When an outcome without a date of its own became known.
    fn ended_at(&self, started: DateTime<Utc>) -> DateTime<Utc> {
        let seconds = self.generation_time_seconds.filter(|s| (0.0..1e9).contains(s)).unwrap_or(0.0);
        let run = TimeDelta::milliseconds((seconds * 1e3) as i64);
        let ended = self.completed_at.or_else(|| started.checked_add_signed(run)).unwrap_or(started);
        // A clock that went back in between: what ended was not known before it started.
        ended.max(started)
    }

    fn take_completion(&mut self) -> Option<(Option<DateTime<Utc>>, Completion)> {
        let verdict = match self.verdict.take() {
            Some(own) => own,
            None if self.user_action.is_some() => Verdict::default(),
            None => Verdict {
                success: self.success.take(),
                approved: self.approved.take(),
                final_quality_score: self.final_quality_score.take(),
            },
        };
        let completion = Completion {
            completed_at: self.completed_at.take(),
            generated_code: self.generated_code.take(),
            file_path: self.file_path.take(),
            lines_of_code: self.lines_of_code.take(),
            cyclomatic_complexity: self.cyclomatic_complexity.take(),
            num_functions: self.num_functions.take(),
            num_classes: self.num_classes.take(),
            has_type_hints: self.has_type_hints.take(),
            has_docstrings: self.has_docstrings.take(),
            has_tests: self.has_tests.take(),
            syntax_errors: self.syntax_errors.take(),
            host_metrics: self.host_metrics.take().unwrap_or_default(),
            self_review_score: self.self_review_score.take(),
            self_review_feedback: self.self_review_feedback.take(),
            generation_time_seconds: self.generation_time_seconds.take(),
            tokens_used: self.tokens_used.take(),
            input_tokens: self.input_tokens.take(),
            output_tokens: self.output_tokens.take(),
            cache_read_tokens: self.cache_read_tokens.take(),
            cache_write_tokens: self.cache_write_tokens.take(),
            cost_usd: self.cost_usd.take(),
            cost_from_prices: self.cost_from_prices.take().unwrap_or_default(),
            success: verdict.success,
            approved: verdict.approved,
            final_quality_score: verdict.final_quality_score,
            num_regenerations: self.num_regenerations.take(),
            review: self.review_request.take(),
            next_step: self.next_step.take(),
            columns: self.completion_columns.take().unwrap_or_default().0,
            metadata: self.completion_metadata.take().unwrap_or_default(),
        };
        let known_at = self.completion_known_at.take();
        (known_at.is_some() || completion != Completion::default()).then_some((known_at, completion))
    }

    fn take_feedback(&mut self, ended_at: DateTime<Utc>) -> Vec<Known<Feedback>> {
        if let Some(all) = self.feedback.take() {
            return all.into_iter().map(|f| Known { known_at: f.known_at, value: f.feedback }).collect();
        }
        let Some(user_action) = self.user_action.take() else { return Vec::new() };
        let approved_at = self.approved_at.take();
        let value = Feedback {
            feedback_id: None,
            given_at: approved_at,
            reviewer_id: self.feedback_reviewer_id.take(),
            user_action,
            user_feedback: self.user_feedback.take(),
            modifications_requested: self.modifications_requested.take(),
            final_quality_score: self.final_quality_score.take(),
            success: self.success.take(),
            approved: self.approved.take(),
            next_step: None,
        };
        vec![Known { known_at: approved_at.unwrap_or(ended_at).max(ended_at), value }]
    }

    fn into_started(self) -> Result<Started> {
        let task_id = self.task_id.ok_or_else(|| Error::invalid("task_id is missing"))?;
        let context = TaskContext {
            project_id: self.project_id,
            user_id: self.user_id,
            reviewer_id: self.reviewer_id,
            session_id: self.session_id,
            started_at: self.started_at,
            task_type: self.task_type,
            task_description: self.task_description.unwrap_or_default(),
            language: self.language,
            framework: self.framework,
            agent_type: self.agent_type,
            model_used: self.model_used,
            temperature: self.temperature,
            effort: self.effort.map(|given| given.0),
            max_tokens: self.max_tokens,
            rag_enabled: self.rag_enabled,
            rag_examples_count: self.rag_examples_count,
            rag_examples_ids: self.rag_examples_ids.unwrap_or_default(),
            rag_avg_similarity: self.rag_avg_similarity,
            rag_avg_quality: self.rag_avg_quality,
            template_id: self.template_id,
            num_files_to_generate: self.num_files_to_generate,
            estimated_lines_of_code: self.estimated_lines_of_code,
            num_dependencies: self.num_dependencies,
            current_queue_size: self.current_queue_size,
            system_load: self.system_load,
            regeneration_of: self.regeneration_of,
            attempt: self.attempt.unwrap_or(0),
            columns: self.columns.unwrap_or_default().0,
            ..TaskContext::new(task_id)
        };
        let mut metadata = self.metadata;
        for (field, value) in self.unknown {
            if !value.is_null() {
                metadata.entry(field).or_insert(value);
            }
        }
        Ok(Started {
            schema_version: self.schema_version.unwrap_or(SCHEMA_VERSION),
            decision: self.decision,
            experiments: self.experiments.unwrap_or_default(),
            predictions: self.predictions.unwrap_or_default(),
            complexity_label: self.complexity_label,
            metadata,
            ..context.into()
        })
    }
}

impl From<GenerationEvent> for Flat {
    fn from(event: GenerationEvent) -> Self {
        let outcome = event.outcome();
        let latest = event.known_by(DateTime::<Utc>::MAX_UTC).feedback.map(|f| f.value.clone());
        let (known_at, started) = (event.started.known_at, event.started.value);
        let context = started.context;
        let done = event.completion.as_ref().map(|c| c.value.clone()).unwrap_or_default();
        let verdict = Verdict {
            success: done.success,
            approved: done.approved,
            final_quality_score: done.final_quality_score,
        };
        let approved = outcome.as_ref().and_then(|o| o.approved);
        let differs = latest.is_some() || verdict.approved != approved;
        let full_feedback =
            event.feedback.into_iter().map(|f| FlatFeedback { known_at: f.known_at, feedback: f.value });
        let outcome = outcome.as_ref();
        Self {
            event_id: Some(event.event_id),
            schema_version: Some(started.schema_version),
            task_id: Some(context.task_id),
            project_id: context.project_id,
            user_id: context.user_id,
            reviewer_id: context.reviewer_id,
            session_id: context.session_id,
            started_at: context.started_at,
            recorded_at: Some(known_at),
            completed_at: done.completed_at,
            completion_known_at: event.completion.as_ref().map(|c| c.known_at),
            approved_at: outcome.and_then(|o| o.approved_at),
            task_type: context.task_type,
            task_description: Some(context.task_description),
            language: context.language,
            framework: context.framework,
            agent_type: context.agent_type,
            model_used: context.model_used,
            temperature: context.temperature,
            effort: context.effort.map(GivenEffort),
            max_tokens: context.max_tokens,
            rag_enabled: context.rag_enabled,
            rag_examples_count: context.rag_examples_count,
            rag_examples_ids: (!context.rag_examples_ids.is_empty()).then_some(context.rag_examples_ids),
            rag_avg_similarity: context.rag_avg_similarity,
            rag_avg_quality: context.rag_avg_quality,
            template_id: context.template_id,
            num_files_to_generate: context.num_files_to_generate,
            estimated_lines_of_code: context.estimated_lines_of_code,
            num_dependencies: context.num_dependencies,
            current_queue_size: context.current_queue_size,
            system_load: context.system_load,
            regeneration_of: context.regeneration_of,
            attempt: (context.attempt > 0).then_some(context.attempt),
            columns: Some(GivenColumns(context.columns)).filter(|all| !all.0.is_empty()),
            generated_code: done.generated_code,
            file_path: done.file_path,
            lines_of_code: done.lines_of_code,
            cyclomatic_complexity: done.cyclomatic_complexity,
            num_functions: done.num_functions,
            num_classes: done.num_classes,
            has_type_hints: done.has_type_hints,
            has_docstrings: done.has_docstrings,
            has_tests: done.has_tests,
            syntax_errors: done.syntax_errors,
            host_metrics: Some(done.host_metrics).filter(|all| !all.is_empty()),
            self_review_score: done.self_review_score,
            self_review_feedback: done.self_review_feedback,
            user_action: outcome.and_then(|o| o.user_action),
            feedback_reviewer_id: latest.as_ref().and_then(|f| f.reviewer_id.clone()),
            user_feedback: latest.as_ref().and_then(|f| f.user_feedback.clone()),
            modifications_requested: latest.and_then(|f| f.modifications_requested),
            final_quality_score: outcome.and_then(|o| o.final_quality_score),
            generation_time_seconds: done.generation_time_seconds,
            tokens_used: done.tokens_used,
            input_tokens: done.input_tokens,
            output_tokens: done.output_tokens,
            cache_read_tokens: done.cache_read_tokens,
            cache_write_tokens: done.cache_write_tokens,
            cost_usd: done.cost_usd,
            cost_from_prices: done.cost_from_prices.then_some(true),
            success: outcome.and_then(|o| o.success),
            approved,
            num_regenerations: done.num_regenerations,
            review_request: done.review,
            next_step: done.next_step,
            complexity_label: started.complexity_label,
            decision: started.decision,
            experiments: Some(started.experiments).filter(|all| !all.is_empty()),
            predictions: (!started.predictions.is_empty()).then_some(started.predictions),
            verdict: (differs && event.completion.is_some()).then_some(verdict),
            completion_columns: Some(GivenColumns(done.columns)).filter(|all| !all.0.is_empty()),
            completion_metadata: Some(done.metadata).filter(|m| !m.is_empty()),
            feedback: Some(full_feedback.collect::<Vec<_>>()).filter(|f| !f.is_empty()),
            metadata: started.metadata,
            unknown: Metadata::new(),
        }
    }
}
