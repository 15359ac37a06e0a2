//! The one table of all features: name, phrase, unit, kind, topic and computation.

use super::inputs::Inputs;
use crate::event::{Completion, ProjectId, effort};
use crate::history::{GroupKey, GroupStatistics};
use crate::text::Flag;
use serde::{Deserialize, Serialize};

/// Kind of number of a feature.
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

/// Moment from which a feature's value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KnownWhen {
    /// Before the generation starts.
    Before,
    /// Once the generation has ended.
    After,
}

/// Part of the task that a feature describes; explanations are grouped by it.
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
    /// The person who judges.
    Reviewer,
    /// When it happens.
    Time,
    /// How much is going on.
    Load,
    /// The generated code.
    Code,
    /// Columns of the host's own.
    Host,
}

/// One feature.
#[derive(Debug)]
#[non_exhaustive]
pub struct Feature {
    /// Name, also that of the Parquet column.
    pub name: &'static str,
    /// Sentence about a value: `{}` stands for the value, `{one|other}` for the first form where the
    /// value is 1 (or yes), else for the second.
    pub phrase: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// Kind of number.
    pub kind: Kind,
    /// When the value is known.
    pub known: KnownWhen,
    /// Part of the task that it describes; explanations are grouped by it.
    pub topic: Topic,
    pub(crate) id: FeatureId,
    /// True for the description's form, which every model reads.
    shape: bool,
    pub(super) make: Make,
}

/// A feature without its names.
#[derive(Clone, Copy)]
struct Column {
    unit: &'static str,
    kind: Kind,
    known: KnownWhen,
    topic: Topic,
    shape: bool,
    make: Make,
}

/// Computation of a feature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Make {
    /// From the task and its past.
    Before(fn(&Inputs<'_>) -> f32),
    /// From the generated code.
    After(fn(&Completion) -> f32),
}

const fn feature(unit: &'static str, kind: Kind, topic: Topic, make: fn(&Inputs<'_>) -> f32) -> Column {
    Column { unit, kind, known: KnownWhen::Before, topic, shape: false, make: Make::Before(make) }
}

/// A number of the description's form: every model reads it.
const fn shape(unit: &'static str, kind: Kind, make: fn(&Inputs<'_>) -> f32) -> Column {
    Column { shape: true, ..feature(unit, kind, Topic::Description, make) }
}

/// A metric of the generated code.
const fn code(unit: &'static str, kind: Kind, make: fn(&Completion) -> f32) -> Column {
    Column { unit, kind, known: KnownWhen::After, topic: Topic::Code, shape: false, make: Make::After(make) }
}

/// A mean over the past of one scope.
macro_rules! mean {
    ($unit:literal, $topic:ident, $scope:ident, $field:ident) => {
        feature($unit, Kind::Number, Topic::$topic, |i| i.mean(GroupKey::$scope, |e| e.$field))
    };
}

/// A smoothed success rate.
macro_rules! rate {
    ($topic:ident, $field:ident) => {
        feature("share of outcomes", Kind::Rate, Topic::$topic, |i| i.rates.$field as f32)
    };
}

/// A number read from the evidence of one scope.
macro_rules! evidence {
    ($unit:literal, $topic:ident, $scope:ident, $read:expr) => {
        feature($unit, Kind::Count, Topic::$topic, |i| {
            let read: fn(&GroupStatistics) -> f64 = $read;
            i.evidence(GroupKey::$scope, read)
        })
    };
}

/// A count of the description's form.
macro_rules! text {
    ($unit:literal, $field:ident) => {
        shape($unit, Kind::Count, |i| i.text.$field as f32)
    };
}

/// A number of concepts that the description names.
macro_rules! concepts {
    ($unit:literal, $field:ident) => {
        feature($unit, Kind::Count, Topic::Description, |i| i.text.$field as f32)
    };
}

/// `true` if the description mentions something.
macro_rules! mention {
    ($flag:ident) => {
        feature("1 = yes", Kind::Number, Topic::Description, |i| Inputs::flag(Some(i.text.has(Flag::$flag))))
    };
}

/// Declares the ids and the table together, so that an id is the index of its row.
macro_rules! features {
    ($($id:ident $name:literal $phrase:literal => $column:expr;)*) => {
        /// A feature's id; `id as usize` is its index in [`FEATURES`] and in a row's values.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FeatureId {
            $(
                #[doc = concat!("`", $name, "`")]
                $id,
            )*
        }

        #[allow(clippy::redundant_closure_for_method_calls)] // a method's path does not coerce here
        const TABLE: &[Feature] = &[$(Feature::new(FeatureId::$id, $name, $phrase, $column)),*];

        /// Every feature, in the order of a row's values.
        pub static FEATURES: &[Feature] = TABLE;
    };
}

/// The names of the features of the description's form.
pub(crate) const SHAPE: &[&str] = &{
    let mut names = [""; shapes(&mut [])];
    shapes(&mut names);
    names
};

/// Counts the features of the description's form and writes the names of as many as there is room for.
const fn shapes(names: &mut [&str]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < TABLE.len() {
        if TABLE[at].shape {
            if count < names.len() {
                names[count] = TABLE[at].name;
            }
            count += 1;
        }
        at += 1;
    }
    count
}

features! {
    TaskTypeEncoded "task_type_encoded" "the task is of this type" =>
        feature("code", Kind::Category, Topic::Task, |i| {
            Inputs::category(i.task.task_type.as_deref())
        });
    LanguageEncoded "language_encoded" "the task is in this language" =>
        feature("code", Kind::Category, Topic::Task, |i| {
            Inputs::category(i.task.language.as_deref())
        });
    FrameworkEncoded "framework_encoded" "the task uses this framework" =>
        feature("code", Kind::Category, Topic::Task, |i| {
            Inputs::category(i.task.framework.as_deref())
        });
    AgentTypeEncoded "agent_type_encoded" "the task goes to this agent" =>
        feature("code", Kind::Category, Topic::Agent, |i| {
            Inputs::category(i.task.agent_type.as_deref())
        });
    ModelUsedEncoded "model_used_encoded" "the task goes to this LLM at this effort" =>
        feature("code", Kind::Category, Topic::Model, |i| Inputs::model(i.task));
    TaskComplexityScore "task_complexity_score" "the description suggests a complexity of {} out of 10" =>
        shape("0 to 10", Kind::Number, |i| {
            i.text.task_complexity(i.task.task_type.as_deref()) as f32
        });
    TaskDescriptionLength "task_description_length" "the description has {} {character|characters}" =>
        text!("characters", length);
    NumRequirements "num_requirements" "the description lists {} {requirement|requirements}" =>
        text!("requirements", num_requirements);
    NumTechnicalTerms "num_technical_terms" "the description names {} technical {term|terms}" =>
        text!("terms", num_technical_terms);
    NumWords "num_words" "the description has {} {word|words}" => text!("words", num_words);
    NumLines "num_lines" "the description has {} {line|lines}" => text!("lines", num_lines);
    TitleLength "title_length" "the title has {} {byte|bytes}" => text!("bytes", title_length);
    NumHeadings "num_headings" "the description has {} {heading|headings}" => text!("headings", num_headings);
    NumBackticks "num_backticks" "the description has {} {backtick|backticks}" =>
        text!("backticks", num_backticks);
    NumLinks "num_links" "the description has {} {link|links}" => text!("links", num_links);
    NumNumbers "num_numbers" "the description has {} {number|numbers}" => text!("numbers", num_numbers);
    OverallSuccessRate "overall_success_rate" "{} of all generations were approved unmodified" =>
        rate!(Task, global);
    SimilarTasksSuccessRate "similar_tasks_success_rate" "{} of generations for similar tasks were approved unmodified" =>
        rate!(Task, similar);
    TaskTypeSuccessRate "task_type_success_rate" "{} of generations for this type of task were approved unmodified" =>
        rate!(Task, task_type);
    LanguageSuccessRate "language_success_rate" "{} of generations in this language were approved unmodified" =>
        rate!(Task, language);
    TaskSuccessRate "task_success_rate" "{} of earlier attempts at this task were approved unmodified" =>
        rate!(Task, task);
    AgentPastPerformance "agent_past_performance" "{} of this agent's generations were approved unmodified" =>
        rate!(Agent, agent);
    AgentTypeSuccessRate "agent_type_success_rate" "{} of this agent's generations for this type of task were approved unmodified" =>
        rate!(Agent, agent_type);
    AgentLanguageSuccessRate "agent_language_success_rate" "{} of this agent's generations in this language were approved unmodified" =>
        rate!(Agent, agent_language);
    TaskAgentSuccessRate "task_agent_success_rate" "{} of this agent's attempts at this task were approved unmodified" =>
        rate!(Agent, task_agent);
    ModelPastPerformance "model_past_performance" "{} of this LLM's generations were approved unmodified" =>
        rate!(Model, model);
    AgentModelSuccessRate "agent_model_success_rate" "{} of this agent's generations with this LLM were approved unmodified" =>
        rate!(Model, agent_model);
    TaskModelSuccessRate "task_model_success_rate" "{} of this LLM's attempts at this task were approved unmodified" =>
        rate!(Model, task_model);
    ProjectSuccessRate "project_success_rate" "{} of generations in this project were approved unmodified" =>
        rate!(Project, project);
    ProjectAgentSuccessRate "project_agent_success_rate" "{} of this agent's generations in this project were approved unmodified" =>
        rate!(Project, project_agent);
    ProjectTypeSuccessRate "project_type_success_rate" "{} of generations for this type of task in this project were approved unmodified" =>
        rate!(Project, project_type);
    UserSuccessRate "user_success_rate" "{} of this user's generations were approved unmodified" =>
        rate!(User, user);
    UserProjectSuccessRate "user_project_success_rate" "{} of this user's generations in this project were approved unmodified" =>
        rate!(User, user_project);
    ReviewerSuccessRate "reviewer_success_rate" "{} of what this reviewer judged was approved unmodified" =>
        rate!(Reviewer, reviewer);
    TemplateSuccessRate "template_success_rate" "{} of generations from this template were approved unmodified" =>
        rate!(Examples, template);
    NearestTasksSuccessRate "nearest_tasks_success_rate" "{} of generations for tasks with similar descriptions were approved unmodified" =>
        rate!(Task, nearest);
    OverallOutcomes "overall_outcomes" "{} past {generation has|generations have} an outcome" =>
        evidence!("outcomes", Task, Global, |e| e.all.n);
    SimilarTasksOutcomes "similar_tasks_outcomes" "{} {generation|generations} for similar tasks {has|have} an outcome" =>
        evidence!("outcomes", Task, TypeLanguageFramework, |e| e.all.n);
    TaskOutcomes "task_outcomes" "{} earlier {attempt|attempts} at this task {has|have} an outcome" =>
        evidence!("outcomes", Task, Task, |e| e.all.n);
    TaskAgentOutcomes "task_agent_outcomes" "{} of this agent's attempts at this task {has|have} an outcome" =>
        evidence!("outcomes", Task, TaskAgent, |e| e.all.n);
    TaskModelOutcomes "task_model_outcomes" "{} of this LLM's attempts at this task {has|have} an outcome" =>
        evidence!("outcomes", Task, TaskModel, |e| e.all.n);
    AgentOutcomes "agent_outcomes" "{} of this agent's generations {has|have} an outcome" =>
        evidence!("outcomes", Agent, Agent, |e| e.all.n);
    AgentRecentOutcomes "agent_recent_outcomes" "{} of this agent's recent generations {has|have} an outcome" =>
        evidence!("outcomes", Agent, Agent, |e| e.month.n);
    ModelOutcomes "model_outcomes" "{} of this LLM's generations {has|have} an outcome" =>
        evidence!("outcomes", Model, Model, |e| e.all.n);
    ProjectOutcomes "project_outcomes" "{} {generation|generations} in this project {has|have} an outcome" =>
        evidence!("outcomes", Project, Project, |e| e.all.n);
    ProjectRecentOutcomes "project_recent_outcomes" "{} recent {generation|generations} in this project {has|have} an outcome" =>
        evidence!("outcomes", Project, Project, |e| e.month.n);
    ProjectAgentOutcomes "project_agent_outcomes" "{} of this agent's generations in this project {has|have} an outcome" =>
        evidence!("outcomes", Project, ProjectAgent, |e| e.all.n);
    ProjectAgentRecentOutcomes "project_agent_recent_outcomes" "{} of this agent's recent generations in this project {has|have} an outcome" =>
        evidence!("outcomes", Project, ProjectAgent, |e| e.month.n);
    UserOutcomes "user_outcomes" "{} of this user's generations {has|have} an outcome" =>
        evidence!("outcomes", User, User, |e| e.all.n);
    UserRecentOutcomes "user_recent_outcomes" "{} of this user's recent generations {has|have} an outcome" =>
        evidence!("outcomes", User, User, |e| e.month.n);
    ReviewerOutcomes "reviewer_outcomes" "this reviewer has judged {} {generation|generations}" =>
        evidence!("outcomes", Reviewer, Reviewer, |e| e.all.n);
    ProjectOpen "project_open" "{} {generation|generations} in this project {waits|wait} for feedback" =>
        evidence!("generations", Load, Project, |e| e.open);
    ProjectOpenADay "project_open_a_day" "{} {generation|generations} in this project {has|have} waited for feedback for over a day" =>
        evidence!("generations", Load, Project, |e| e.open_day);
    ProjectAgentOpen "project_agent_open" "{} of this agent's generations in this project {waits|wait} for feedback" =>
        evidence!("generations", Load, ProjectAgent, |e| e.open);
    ProjectAgentOpenADay "project_agent_open_a_day" "{} of this agent's generations in this project {has|have} waited for feedback for over a day" =>
        evidence!("generations", Load, ProjectAgent, |e| e.open_day);
    UserOpen "user_open" "{} of this user's generations {waits|wait} for feedback" =>
        evidence!("generations", Load, User, |e| e.open);
    NearestTasksOutcomes "nearest_tasks_outcomes" "{} {generation|generations} for tasks with similar descriptions {has|have} an outcome" =>
        feature("outcomes", Kind::Count, Topic::Task, |i| i.nearest_outcomes() as f32);
    NearestTaskSimilarity "nearest_task_similarity" "the most similar past task has a similarity of {} out of 1" =>
        feature("0 to 1", Kind::Number, Topic::Task, |i| {
            i.view.nearest().first().map_or(0.0, |task| task.similarity as f32)
        });
    NearestTasksAvgTime "nearest_tasks_avg_time" "tasks with similar descriptions took {}" =>
        feature("ln(1 + seconds)", Kind::Number, Topic::Task, |i| {
            i.nearest_mean(|task| task.seconds.map(f64::ln_1p))
        });
    NearestTasksAvgQuality "nearest_tasks_avg_quality" "tasks with similar descriptions reached a quality of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| {
            i.nearest_mean(|task| task.quality)
        });
    SimilarTasksAvgQuality "similar_tasks_avg_quality" "similar tasks reached a quality of {} out of 10" =>
        mean!("0 to 10", Task, TypeLanguageFramework, quality);
    SimilarTasksAvgTime "similar_tasks_avg_time" "similar tasks took {}" =>
        mean!("ln(1 + seconds)", Task, TypeLanguageFramework, log_seconds);
    TaskAvgTime "task_avg_time" "earlier attempts at this task took {}" =>
        mean!("ln(1 + seconds)", Task, Task, log_seconds);
    AgentAvgQuality "agent_avg_quality" "this agent's generations reach a quality of {} out of 10" =>
        mean!("0 to 10", Agent, Agent, quality);
    RagExamplesCount "rag_examples_count" "{} {example was|examples were} retrieved" =>
        feature("examples", Kind::Count, Topic::Examples, |i| i.rag_count());
    RagAvgQuality "rag_avg_quality" "the retrieved examples have a quality of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Examples, |i| i.rag_quality());
    RagAvgSimilarity "rag_avg_similarity" "the retrieved examples have a similarity of {}" =>
        feature("cosine", Kind::Number, Topic::Examples, |i| {
            Inputs::number(i.task.rag_avg_similarity)
        });
    Temperature "temperature" "the temperature is {}" =>
        feature("0 to 2", Kind::Number, Topic::Model, |i| Inputs::number(i.task.temperature));
    EffortLevel "effort_level" "the level of reasoning effort is {}" =>
        feature("0 none to 5 max, or the host's number", Kind::Number, Topic::Model, |i| {
            effort::level(i.task.effort.as_deref())
        });
    MaxTokens "max_tokens" "the limit is {} {token|tokens}" =>
        feature("tokens", Kind::Count, Topic::Model, |i| {
            Inputs::number(i.task.max_tokens.map(f64::from))
        });
    Attempt "attempt" "there {was|were} {} earlier {attempt|attempts} at this task" =>
        feature("earlier tries", Kind::Count, Topic::Task, |i| i.task.attempt as f32);
    HourOfDay "hour_of_day" "the task starts at hour {} of the day" =>
        feature("hour, local", Kind::Number, Topic::Time, |i| i.hour());
    DayOfWeek "day_of_week" "the task starts on day {} of the week, counted from Monday as 0" =>
        feature("0 Monday to 6", Kind::Number, Topic::Time, |i| i.weekday());
    ProjectMaturityDays "project_maturity_days" "the project is {} {day|days} old" =>
        feature("days", Kind::Count, Topic::Project, |i| {
            i.view.get(GroupKey::Project).age_days.map_or(f32::NAN, |days| days as f32)
        });
    CurrentQueueSize "current_queue_size" "{} {generation is|generations are} in the queue" =>
        feature("generations", Kind::Count, Topic::Load, |i| {
            Inputs::number(i.task.current_queue_size.map(f64::from))
        });
    SystemLoad "system_load" "the system's load is {}, where 1 is full" =>
        feature("1 = full", Kind::Number, Topic::Load, |i| Inputs::number(i.task.system_load));
    AgentAvgGenerationTime "agent_avg_generation_time" "this agent's generations take {}" =>
        mean!("ln(1 + seconds)", Agent, Agent, log_seconds);
    ModelAvgLatency "model_avg_latency" "this LLM's generations take {}" =>
        mean!("ln(1 + seconds)", Model, Model, log_seconds);
    AgentModelAvgTime "agent_model_avg_time" "this agent's generations with this LLM take {}" =>
        mean!("ln(1 + seconds)", Agent, AgentModel, log_seconds);
    ProjectAvgTime "project_avg_time" "generations in this project take {}" =>
        mean!("ln(1 + seconds)", Project, Project, log_seconds);
    TaskAgentAvgTime "task_agent_avg_time" "this agent's attempts at this task took {}" =>
        mean!("ln(1 + seconds)", Task, TaskAgent, log_seconds);
    TaskModelAvgTime "task_model_avg_time" "this LLM's attempts at this task took {}" =>
        mean!("ln(1 + seconds)", Task, TaskModel, log_seconds);
    ExpectedTime "expected_time" "the history of this task, agent and LLM suggests {}" =>
        feature("ln(1 + seconds)", Kind::Number, Topic::Task, |i| i.expected(|e| e.log_seconds));
    ExpectedTimeUntried "expected_time_untried" "the history of similar tasks, this agent and this LLM suggests {}" =>
        feature("ln(1 + seconds)", Kind::Number, Topic::Task, |i| {
            i.expected_untried(|e| e.log_seconds)
        });
    AvgTokensPerTask "avg_tokens_per_task" "this LLM's generations use {} tokens" =>
        feature("ln(1 + tokens)", Kind::Number, Topic::Model, |i| {
            i.mean(GroupKey::Model, |e| e.tokens).ln_1p()
        });
    TaskAvgTokens "task_avg_tokens" "earlier attempts at this task used {} tokens" =>
        feature("ln(1 + tokens)", Kind::Number, Topic::Task, |i| {
            i.mean(GroupKey::Task, |e| e.tokens).ln_1p()
        });
    TaskAvgQuality "task_avg_quality" "earlier attempts at this task reached a quality of {} out of 10" =>
        mean!("0 to 10", Task, Task, quality);
    TaskAgentAvgQuality "task_agent_avg_quality" "this agent's attempts at this task reached a quality of {} out of 10" =>
        mean!("0 to 10", Task, TaskAgent, quality);
    TaskModelAvgQuality "task_model_avg_quality" "this LLM's attempts at this task reached a quality of {} out of 10" =>
        mean!("0 to 10", Task, TaskModel, quality);
    ModelAvgQuality "model_avg_quality" "this LLM's generations reach a quality of {} out of 10" =>
        mean!("0 to 10", Model, Model, quality);
    AgentModelAvgQuality "agent_model_avg_quality" "this agent's generations with this LLM reach a quality of {} out of 10" =>
        mean!("0 to 10", Agent, AgentModel, quality);
    ProjectAvgQuality "project_avg_quality" "generations in this project reach a quality of {} out of 10" =>
        mean!("0 to 10", Project, Project, quality);
    ExpectedQuality "expected_quality" "the history of this task, agent and LLM suggests a quality of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| i.expected(|e| e.quality));
    ExpectedQualityUntried "expected_quality_untried" "the history of similar tasks, this agent and this LLM suggests a quality of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| {
            i.expected_untried(|e| e.quality)
        });
    AvgComplexityForType "avg_complexity_for_type" "tasks of this type have a complexity of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| {
            Inputs::complexity(i.mean(GroupKey::TaskType, |e| e.complexity))
        });
    SimilarTasksComplexity "similar_tasks_complexity" "similar tasks have a complexity of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| {
            Inputs::complexity(i.mean(GroupKey::TypeLanguageFramework, |e| e.complexity))
        });
    ProjectAvgComplexity "project_avg_complexity" "tasks in this project have a complexity of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Project, |i| {
            Inputs::complexity(i.mean(GroupKey::Project, |e| e.complexity))
        });
    ExpectedComplexity "expected_complexity" "the history of this task, agent and LLM suggests a complexity of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| {
            Inputs::complexity(i.expected(|e| e.complexity))
        });
    ExpectedComplexityUntried "expected_complexity_untried" "the history of similar tasks, this agent and this LLM suggests a complexity of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| {
            Inputs::complexity(i.expected_untried(|e| e.complexity))
        });
    TaskTimed "task_timed" "{} earlier {attempt|attempts} at this task {was|were} timed" =>
        feature("generations", Kind::Count, Topic::Task, |i| {
            i.evidence(GroupKey::Task, |e| e.log_seconds.n)
        });
    TaskScored "task_scored" "{} earlier {attempt|attempts} at this task {was|were} scored for quality" =>
        feature("generations", Kind::Count, Topic::Task, |i| {
            i.evidence(GroupKey::Task, |e| e.quality.n)
        });
    NumFilesToGenerate "num_files_to_generate" "the task is to generate {} {file|files}" =>
        feature("files", Kind::Count, Topic::Task, |i| {
            Inputs::number(i.task.num_files_to_generate.map(f64::from))
        });
    EstimatedLinesOfCode "estimated_lines_of_code" "the task is estimated at {} {line|lines} of code" =>
        feature("lines", Kind::Count, Topic::Task, |i| {
            Inputs::number(i.task.estimated_lines_of_code.map(f64::from))
        });
    NumDependencies "num_dependencies" "the task depends on {} other {part|parts}" =>
        feature("dependencies", Kind::Count, Topic::Task, |i| {
            Inputs::number(i.task.num_dependencies.map(f64::from))
        });
    FrameworkComplexity "framework_complexity" "the framework has a complexity of {} out of 10" =>
        feature("0 to 10", Kind::Number, Topic::Task, |i| i.framework_complexity());
    NumEntities "num_entities" "the description names {} {entity|entities}" =>
        concepts!("entities", num_entities);
    NumRelationships "num_relationships" "the description names {} {relationship|relationships}" =>
        concepts!("relationships", num_relationships);
    NumConstraints "num_constraints" "the description names {} {constraint|constraints}" =>
        concepts!("constraints", num_constraints);
    HasAuthentication "has_authentication" "the description {mentions|does not mention} authentication" =>
        mention!(Authentication);
    HasAuthorization "has_authorization" "the description {mentions|does not mention} authorization" =>
        mention!(Authorization);
    HasValidation "has_validation" "the description {mentions|does not mention} validation" =>
        mention!(Validation);
    HasDatabase "has_database" "the description {mentions|does not mention} a database" => mention!(Database);
    HasApiIntegration "has_api_integration" "the description {mentions|does not mention} an API integration" =>
        mention!(ApiIntegration);
    HasFileUpload "has_file_upload" "the description {mentions|does not mention} a file upload" =>
        mention!(FileUpload);
    HasRealTime "has_real_time" "the description {mentions|does not mention} real-time behavior" =>
        mention!(RealTime);
    LinesOfCode "lines_of_code" "the code has {} {line|lines}" =>
        code("lines", Kind::Count, |c| Inputs::number(c.lines_of_code.map(f64::from)));
    CyclomaticComplexity "cyclomatic_complexity" "the code has a cyclomatic complexity of {}" =>
        code("paths", Kind::Count, |c| Inputs::number(c.cyclomatic_complexity));
    NumFunctions "num_functions" "the code has {} {function|functions}" =>
        code("functions", Kind::Count, |c| Inputs::number(c.num_functions.map(f64::from)));
    NumClasses "num_classes" "the code has {} {class|classes}" =>
        code("classes", Kind::Count, |c| Inputs::number(c.num_classes.map(f64::from)));
    HasTypeHints "has_type_hints" "the code has {type|no type} hints" =>
        code("1 = yes", Kind::Number, |c| Inputs::flag(c.has_type_hints));
    HasDocstrings "has_docstrings" "the code has {docstrings|no docstrings}" =>
        code("1 = yes", Kind::Number, |c| Inputs::flag(c.has_docstrings));
    HasTests "has_tests" "the code has {tests|no tests}" =>
        code("1 = yes", Kind::Number, |c| Inputs::flag(c.has_tests));
    SyntaxErrors "syntax_errors" "the code has {} syntax {error|errors}" =>
        code("places", Kind::Count, |c| Inputs::number(c.syntax_errors.map(f64::from)));
    SelfReviewScore "self_review_score" "the agent's review of its own code gave {} out of 10" =>
        code("0 to 10", Kind::Number, |c| Inputs::number(c.self_review_score));
    ProjectEncoded "project_encoded" "the task is in this project" =>
        feature("code", Kind::Category, Topic::Project, |i| {
            Inputs::category(i.task.project_id.as_ref().map(ProjectId::as_str))
        });
    ExpectedCost "expected_cost" "the history of this task, agent and LLM suggests a cost of {}" =>
        feature("ln(dollars)", Kind::Number, Topic::Model, |i| i.expected_amount(|e| e.log_cost, true));
    ExpectedCostUntried "expected_cost_untried" "the history of similar tasks, this agent and this LLM suggests a cost of {}" =>
        feature("ln(dollars)", Kind::Number, Topic::Model, |i| i.expected_amount(|e| e.log_cost, false));
    ModelAvgCost "model_avg_cost" "this LLM's generations cost {}" =>
        mean!("ln(dollars)", Model, Model, log_cost);
    AgentModelAvgCost "agent_model_avg_cost" "this agent's generations with this LLM cost {}" =>
        mean!("ln(dollars)", Agent, AgentModel, log_cost);
    ProjectAvgCost "project_avg_cost" "generations in this project cost {}" =>
        mean!("ln(dollars)", Project, Project, log_cost);
    TaskAvgCost "task_avg_cost" "earlier attempts at this task cost {}" =>
        mean!("ln(dollars)", Task, Task, log_cost);
    TaskModelAvgCost "task_model_avg_cost" "this LLM's attempts at this task cost {}" =>
        mean!("ln(dollars)", Task, TaskModel, log_cost);
    NearestTasksRelativeCost "nearest_tasks_relative_cost" "tasks with similar descriptions cost {} times the average" =>
        feature("ln(ratio)", Kind::Number, Topic::Task, |i| {
            i.nearest_relative(|task| task.cost_usd, |e| e.log_cost)
        });
    TaskPriced "task_priced" "the cost of {} earlier {attempt|attempts} at this task is known" =>
        feature("generations", Kind::Count, Topic::Task, |i| {
            i.evidence(GroupKey::Task, |e| e.log_cost.n)
        });
    ExpectedTokens "expected_tokens" "the history of this task, agent and LLM suggests {} tokens" =>
        feature("ln(tokens)", Kind::Number, Topic::Model, |i| i.expected_amount(|e| e.log_tokens, true));
    ExpectedTokensUntried "expected_tokens_untried" "the history of similar tasks, this agent and this LLM suggests {} tokens" =>
        feature("ln(tokens)", Kind::Number, Topic::Model, |i| i.expected_amount(|e| e.log_tokens, false));
    ModelAvgTokens "model_avg_tokens" "this LLM's generations use typically {} tokens" =>
        mean!("ln(tokens)", Model, Model, log_tokens);
    AgentModelAvgTokens "agent_model_avg_tokens" "this agent's generations with this LLM use {} tokens" =>
        mean!("ln(tokens)", Agent, AgentModel, log_tokens);
    ProjectAvgTokens "project_avg_tokens" "generations in this project use {} tokens" =>
        mean!("ln(tokens)", Project, Project, log_tokens);
    TaskTypicalTokens "task_typical_tokens" "earlier attempts at this task used typically {} tokens" =>
        mean!("ln(tokens)", Task, Task, log_tokens);
    TaskModelAvgTokens "task_model_avg_tokens" "this LLM's attempts at this task used {} tokens" =>
        mean!("ln(tokens)", Task, TaskModel, log_tokens);
    NearestTasksRelativeTokens "nearest_tasks_relative_tokens" "tasks with similar descriptions used {} times the average tokens" =>
        feature("ln(ratio)", Kind::Number, Topic::Task, |i| {
            i.nearest_relative(|task| task.tokens, |e| e.log_tokens)
        });
    TaskMetered "task_metered" "the tokens of {} earlier {attempt|attempts} at this task are known" =>
        feature("generations", Kind::Count, Topic::Task, |i| {
            i.evidence(GroupKey::Task, |e| e.log_tokens.n)
        });
}

impl FeatureId {
    /// Returns the feature called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        FEATURES.iter().find(|feature| feature.name == name).map(|feature| feature.id)
    }
}

impl Feature {
    const fn new(id: FeatureId, name: &'static str, phrase: &'static str, column: Column) -> Self {
        let Column { unit, kind, known, topic, shape, make } = column;
        Self { name, phrase, unit, kind, known, topic, id, shape, make }
    }

    /// Returns the sentence about a value that is written as `shown`.
    pub(crate) fn sentence(&self, value: f64, shown: &str) -> String {
        fill(self.phrase, value, shown)
    }
}

/// Fills `phrase`: `{}` with `shown`, `{one|other}` with the first form where `value` is 1, else the second.
pub(super) fn fill(phrase: &str, value: f64, shown: &str) -> String {
    let (mut text, mut rest) = (String::new(), phrase);
    while let Some((before, slot, after)) = next_slot(rest) {
        text.push_str(before);
        text.push_str(match slot.split_once('|') {
            Some((one, _)) if value == 1.0 => one,
            Some((_, other)) => other,
            None => shown,
        });
        rest = after;
    }
    text + rest
}

/// Splits a phrase at its first `{...}`.
fn next_slot(phrase: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = phrase.split_once('{')?;
    let (slot, after) = rest.split_once('}')?;
    Some((before, slot, after))
}

/// Returns the index in a row of the feature called `name`.
pub(crate) fn index_of(name: &str) -> Option<usize> {
    FeatureId::named(name).map(|id| id as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_id_is_the_index_of_its_row() {
        for (index, feature) in FEATURES.iter().enumerate() {
            assert_eq!((feature.id as usize, FeatureId::named(feature.name)), (index, Some(feature.id)));
        }
        assert_eq!(FeatureId::named("unheard"), None);
    }

    #[test]
    fn every_phrase_is_a_sentence_of_its_own() {
        let phrases: HashSet<_> = FEATURES.iter().map(|feature| feature.phrase).collect();
        assert_eq!(phrases.len(), FEATURES.len());
        for feature in FEATURES {
            let (phrase, name) = (feature.phrase, feature.name);
            let [one, two] = [1.0, 2.0].map(|value| feature.sentence(value, "7"));
            assert!(phrase.contains(' ') && !phrase.ends_with('.') && !phrase.contains('_'), "{name}");
            for text in [&one, &two] {
                assert!(!text.contains(['{', '}', '|']) && !text.contains("  "), "{name}: {text}");
            }
            let (flag, category) = (feature.unit == "1 = yes", feature.kind == Kind::Category);
            assert_eq!(one.contains('7'), !flag && !category, "{name}: {one}");
            let counted = feature.kind == Kind::Count && name != "cyclomatic_complexity";
            if flag || counted {
                assert_ne!(one, two, "{name}");
            }
        }
    }

    #[test]
    fn a_phrase_takes_the_value_and_the_form_that_fits_it() {
        let sentence = |id: FeatureId, value: f64| FEATURES[id as usize].sentence(value, &value.to_string());
        assert_eq!(sentence(FeatureId::NumRequirements, 1.0), "the description lists 1 requirement");
        assert_eq!(sentence(FeatureId::NumRequirements, 3.0), "the description lists 3 requirements");
        assert_eq!(sentence(FeatureId::HasTests, 0.0), "the code has no tests");
    }
}
