//! The one table of all features: what each is called, what it means, how it is made.

use super::inputs::Inputs;
use crate::event::Completion;
use crate::history::{GroupKey, GroupStatistics};
use crate::text::Flag;
use serde::{Deserialize, Serialize};

/// What kind of number a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// A category's code: a stable number with no order.
    Category,
    /// A whole number from 0, usually with a long tail.
    Count,
    /// A success rate, 0 to 1.
    Rate,
    /// Any other number.
    Number,
}

/// When a feature's value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KnownWhen {
    /// Before the generation starts.
    Before,
    /// Once the generation has ended.
    After,
}

/// What a feature is about; reasons are grouped by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Topic {
    /// The task's kind.
    Task,
    /// The task's description.
    Description,
    /// The retrieved examples.
    Examples,
    /// The LLM and how it is set.
    Model,
    /// The agent.
    Agent,
    /// The project.
    Project,
    /// The person who asked.
    User,
    /// When it happens.
    Time,
    /// How much is going on.
    Load,
    /// The generated code.
    Code,
}

/// One feature.
#[derive(Debug)]
#[non_exhaustive]
pub struct Feature {
    /// Its name, as the design gives it where it does.
    pub name: &'static str,
    /// What it counts in.
    pub unit: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// When it is known.
    pub known: KnownWhen,
    /// What it is about.
    pub topic: Topic,
    pub(super) make: Make,
}

/// How a feature is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Make {
    /// From the task and its past.
    Before(fn(&Inputs<'_>) -> f32),
    /// From the generated code.
    After(fn(&Completion) -> f32),
}

const fn feature(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    topic: Topic,
    make: fn(&Inputs<'_>) -> f32,
) -> Feature {
    Feature { name, unit, kind, known: KnownWhen::Before, topic, make: Make::Before(make) }
}

/// A metric of the generated code.
const fn code(name: &'static str, unit: &'static str, kind: Kind, make: fn(&Completion) -> f32) -> Feature {
    Feature { name, unit, kind, known: KnownWhen::After, topic: Topic::Code, make: Make::After(make) }
}

/// A mean over the past of one scope.
macro_rules! mean {
    ($name:literal, $unit:literal, $topic:ident, $scope:ident, $field:ident) => {
        feature($name, $unit, Kind::Number, Topic::$topic, |i| i.mean(GroupKey::$scope, |e| e.$field))
    };
}

/// A smoothed success rate.
macro_rules! rate {
    ($name:literal, $topic:ident, $field:ident) => {
        feature($name, "share of outcomes", Kind::Rate, Topic::$topic, |i| i.rates.$field as f32)
    };
}

/// A number read from the evidence of one scope.
macro_rules! evidence {
    ($name:literal, $unit:literal, $topic:ident, $scope:ident, $read:expr) => {
        feature($name, $unit, Kind::Count, Topic::$topic, |i| {
            let read: fn(&GroupStatistics) -> f64 = $read;
            i.evidence(GroupKey::$scope, read)
        })
    };
}

/// A number from the description.
macro_rules! text {
    ($name:literal, $unit:literal, $field:ident) => {
        feature($name, $unit, Kind::Count, Topic::Description, |i| i.text.$field as f32)
    };
}

/// Whether the description mentions something.
macro_rules! mention {
    ($name:literal, $flag:ident) => {
        feature($name, "1 = yes", Kind::Number, Topic::Description, |i| {
            Inputs::flag(Some(i.text.has(Flag::$flag)))
        })
    };
}

/// Every feature, in the order of a row's values.
#[allow(clippy::redundant_closure_for_method_calls)] // a method's path does not coerce here
pub static FEATURES: &[Feature] = &[
    feature("task_type_encoded", "code", Kind::Category, Topic::Task, |i| {
        Inputs::category(i.task.task_type.as_deref())
    }),
    feature("language_encoded", "code", Kind::Category, Topic::Task, |i| {
        Inputs::category(i.task.language.as_deref())
    }),
    feature("framework_encoded", "code", Kind::Category, Topic::Task, |i| {
        Inputs::category(i.task.framework.as_deref())
    }),
    feature("agent_type_encoded", "code", Kind::Category, Topic::Agent, |i| {
        Inputs::category(i.task.agent_type.as_deref())
    }),
    feature("model_used_encoded", "code", Kind::Category, Topic::Model, |i| {
        Inputs::category(i.task.model_used.as_deref())
    }),
    feature("task_complexity_score", "0 to 10", Kind::Number, Topic::Description, |i| {
        i.text.task_complexity(i.task.task_type.as_deref()) as f32
    }),
    text!("task_description_length", "characters", length),
    text!("num_requirements", "requirements", num_requirements),
    text!("num_technical_terms", "terms", num_technical_terms),
    text!("num_words", "words", num_words),
    text!("num_lines", "lines", num_lines),
    text!("title_length", "bytes", title_length),
    text!("num_headings", "headings", num_headings),
    text!("num_backticks", "backticks", num_backticks),
    text!("num_links", "links", num_links),
    text!("num_numbers", "numbers", num_numbers),
    rate!("overall_success_rate", Task, global),
    rate!("similar_tasks_success_rate", Task, similar),
    rate!("task_type_success_rate", Task, task_type),
    rate!("language_success_rate", Task, language),
    rate!("task_success_rate", Task, task),
    rate!("agent_past_performance", Agent, agent),
    rate!("agent_type_success_rate", Agent, agent_type),
    rate!("agent_language_success_rate", Agent, agent_language),
    rate!("task_agent_success_rate", Agent, task_agent),
    rate!("model_past_performance", Model, model),
    rate!("agent_model_success_rate", Model, agent_model),
    rate!("task_model_success_rate", Model, task_model),
    rate!("project_success_rate", Project, project),
    rate!("project_agent_success_rate", Project, project_agent),
    rate!("project_type_success_rate", Project, project_type),
    rate!("user_success_rate", User, user),
    rate!("user_project_success_rate", User, user_project),
    rate!("template_success_rate", Examples, template),
    rate!("nearest_tasks_success_rate", Task, nearest),
    evidence!("overall_outcomes", "outcomes", Task, Global, |e| e.all.n),
    evidence!("similar_tasks_outcomes", "outcomes", Task, TypeLanguageFramework, |e| e.all.n),
    evidence!("task_outcomes", "outcomes", Task, Task, |e| e.all.n),
    evidence!("task_agent_outcomes", "outcomes", Task, TaskAgent, |e| e.all.n),
    evidence!("task_model_outcomes", "outcomes", Task, TaskModel, |e| e.all.n),
    evidence!("agent_outcomes", "outcomes", Agent, Agent, |e| e.all.n),
    evidence!("agent_recent_outcomes", "outcomes", Agent, Agent, |e| e.month.n),
    evidence!("model_outcomes", "outcomes", Model, Model, |e| e.all.n),
    evidence!("project_outcomes", "outcomes", Project, Project, |e| e.all.n),
    evidence!("project_recent_outcomes", "outcomes", Project, Project, |e| e.month.n),
    evidence!("project_agent_outcomes", "outcomes", Project, ProjectAgent, |e| e.all.n),
    evidence!("project_agent_recent_outcomes", "outcomes", Project, ProjectAgent, |e| e.month.n),
    evidence!("user_outcomes", "outcomes", User, User, |e| e.all.n),
    evidence!("user_recent_outcomes", "outcomes", User, User, |e| e.month.n),
    evidence!("project_open", "generations", Load, Project, |e| e.open),
    evidence!("project_open_a_day", "generations", Load, Project, |e| e.open_day),
    evidence!("project_agent_open", "generations", Load, ProjectAgent, |e| e.open),
    evidence!("project_agent_open_a_day", "generations", Load, ProjectAgent, |e| e.open_day),
    evidence!("user_open", "generations", Load, User, |e| e.open),
    feature("nearest_tasks_outcomes", "outcomes", Kind::Count, Topic::Task, |i| i.nearest_outcomes() as f32),
    feature("nearest_task_similarity", "0 to 1", Kind::Number, Topic::Task, |i| {
        i.view.nearest().first().map_or(0.0, |task| task.similarity as f32)
    }),
    feature("nearest_tasks_avg_time", "ln(1 + seconds)", Kind::Number, Topic::Task, |i| {
        i.nearest_mean(|task| task.seconds.map(f64::ln_1p))
    }),
    feature("nearest_tasks_avg_quality", "0 to 10", Kind::Number, Topic::Task, |i| {
        i.nearest_mean(|task| task.quality)
    }),
    mean!("similar_tasks_avg_quality", "0 to 10", Task, TypeLanguageFramework, quality),
    mean!("similar_tasks_avg_time", "ln(1 + seconds)", Task, TypeLanguageFramework, log_seconds),
    mean!("task_avg_time", "ln(1 + seconds)", Task, Task, log_seconds),
    mean!("agent_avg_quality", "0 to 10", Agent, Agent, quality),
    feature("rag_examples_count", "examples", Kind::Count, Topic::Examples, |i| i.rag_count()),
    feature("rag_avg_quality", "0 to 10", Kind::Number, Topic::Examples, |i| i.rag_quality()),
    feature("rag_avg_similarity", "cosine", Kind::Number, Topic::Examples, |i| {
        Inputs::number(i.task.rag_avg_similarity)
    }),
    feature("temperature", "0 to 2", Kind::Number, Topic::Model, |i| Inputs::number(i.task.temperature)),
    feature("max_tokens", "tokens", Kind::Count, Topic::Model, |i| {
        Inputs::number(i.task.max_tokens.map(f64::from))
    }),
    feature("attempt", "earlier tries", Kind::Count, Topic::Task, |i| i.task.attempt as f32),
    feature("hour_of_day", "hour, local", Kind::Number, Topic::Time, |i| i.hour()),
    feature("day_of_week", "0 Monday to 6", Kind::Number, Topic::Time, |i| i.weekday()),
    feature("project_maturity_days", "days", Kind::Count, Topic::Project, |i| {
        i.view.get(GroupKey::Project).age_days.map_or(f32::NAN, |days| days as f32)
    }),
    feature("current_queue_size", "generations", Kind::Count, Topic::Load, |i| {
        Inputs::number(i.task.current_queue_size.map(f64::from))
    }),
    feature("system_load", "1 = full", Kind::Number, Topic::Load, |i| Inputs::number(i.task.system_load)),
    mean!("agent_avg_generation_time", "ln(1 + seconds)", Agent, Agent, log_seconds),
    mean!("model_avg_latency", "ln(1 + seconds)", Model, Model, log_seconds),
    mean!("agent_model_avg_time", "ln(1 + seconds)", Agent, AgentModel, log_seconds),
    mean!("project_avg_time", "ln(1 + seconds)", Project, Project, log_seconds),
    mean!("task_agent_avg_time", "ln(1 + seconds)", Task, TaskAgent, log_seconds),
    mean!("task_model_avg_time", "ln(1 + seconds)", Task, TaskModel, log_seconds),
    feature("expected_time", "ln(1 + seconds)", Kind::Number, Topic::Task, |i| i.expected(|e| e.log_seconds)),
    feature("expected_time_untried", "ln(1 + seconds)", Kind::Number, Topic::Task, |i| {
        i.expected_untried(|e| e.log_seconds)
    }),
    feature("avg_tokens_per_task", "ln(1 + tokens)", Kind::Number, Topic::Model, |i| {
        i.mean(GroupKey::Model, |e| e.tokens).ln_1p()
    }),
    feature("task_avg_tokens", "ln(1 + tokens)", Kind::Number, Topic::Task, |i| {
        i.mean(GroupKey::Task, |e| e.tokens).ln_1p()
    }),
    mean!("task_avg_quality", "0 to 10", Task, Task, quality),
    mean!("task_agent_avg_quality", "0 to 10", Task, TaskAgent, quality),
    mean!("task_model_avg_quality", "0 to 10", Task, TaskModel, quality),
    mean!("model_avg_quality", "0 to 10", Model, Model, quality),
    mean!("agent_model_avg_quality", "0 to 10", Agent, AgentModel, quality),
    mean!("project_avg_quality", "0 to 10", Project, Project, quality),
    feature("expected_quality", "0 to 10", Kind::Number, Topic::Task, |i| i.expected(|e| e.quality)),
    feature("expected_quality_untried", "0 to 10", Kind::Number, Topic::Task, |i| {
        i.expected_untried(|e| e.quality)
    }),
    feature("avg_complexity_for_type", "0 to 10", Kind::Number, Topic::Task, |i| {
        Inputs::complexity(i.mean(GroupKey::TaskType, |e| e.complexity))
    }),
    feature("similar_tasks_complexity", "0 to 10", Kind::Number, Topic::Task, |i| {
        Inputs::complexity(i.mean(GroupKey::TypeLanguageFramework, |e| e.complexity))
    }),
    feature("project_avg_complexity", "0 to 10", Kind::Number, Topic::Project, |i| {
        Inputs::complexity(i.mean(GroupKey::Project, |e| e.complexity))
    }),
    feature("expected_complexity", "0 to 10", Kind::Number, Topic::Task, |i| {
        Inputs::complexity(i.expected(|e| e.complexity))
    }),
    feature("expected_complexity_untried", "0 to 10", Kind::Number, Topic::Task, |i| {
        Inputs::complexity(i.expected_untried(|e| e.complexity))
    }),
    feature("task_timed", "generations", Kind::Count, Topic::Task, |i| {
        i.evidence(GroupKey::Task, |e| e.log_seconds.n)
    }),
    feature("task_scored", "generations", Kind::Count, Topic::Task, |i| {
        i.evidence(GroupKey::Task, |e| e.quality.n)
    }),
    feature("num_files_to_generate", "files", Kind::Count, Topic::Task, |i| {
        Inputs::number(i.task.num_files_to_generate.map(f64::from))
    }),
    feature("estimated_lines_of_code", "lines", Kind::Count, Topic::Task, |i| {
        Inputs::number(i.task.estimated_lines_of_code.map(f64::from))
    }),
    feature("num_dependencies", "dependencies", Kind::Count, Topic::Task, |i| {
        Inputs::number(i.task.num_dependencies.map(f64::from))
    }),
    feature("framework_complexity", "0 to 10", Kind::Number, Topic::Task, |i| i.framework_complexity()),
    text!("num_entities", "entities", num_entities),
    text!("num_relationships", "relationships", num_relationships),
    text!("num_constraints", "constraints", num_constraints),
    mention!("has_authentication", Authentication),
    mention!("has_authorization", Authorization),
    mention!("has_validation", Validation),
    mention!("has_database", Database),
    mention!("has_api_integration", ApiIntegration),
    mention!("has_file_upload", FileUpload),
    mention!("has_real_time", RealTime),
    code("lines_of_code", "lines", Kind::Count, |c| Inputs::number(c.lines_of_code.map(f64::from))),
    code("cyclomatic_complexity", "paths", Kind::Count, |c| Inputs::number(c.cyclomatic_complexity)),
    code("num_functions", "functions", Kind::Count, |c| Inputs::number(c.num_functions.map(f64::from))),
    code("num_classes", "classes", Kind::Count, |c| Inputs::number(c.num_classes.map(f64::from))),
    code("has_type_hints", "1 = yes", Kind::Number, |c| Inputs::flag(c.has_type_hints)),
    code("has_docstrings", "1 = yes", Kind::Number, |c| Inputs::flag(c.has_docstrings)),
    code("has_tests", "1 = yes", Kind::Number, |c| Inputs::flag(c.has_tests)),
    code("syntax_errors", "places", Kind::Count, |c| Inputs::number(c.syntax_errors.map(f64::from))),
    code("self_review_score", "0 to 10", Kind::Number, |c| Inputs::number(c.self_review_score)),
];

/// The place of the feature called `name` in a row.
pub fn index_of(name: &str) -> Option<usize> {
    FEATURES.iter().position(|f| f.name == name)
}
