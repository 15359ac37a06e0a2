//! The events that the suite writes.

use crate::error::Result;
use crate::event::{
    Assignment, Columns, Completion, Decision, EventId, Fact, Feedback, FeedbackId, GenerationEvent, Known,
    Metadata, MetricField, ProjectId, Record, ReviewRequest, SessionId, ShownPrediction, Started,
    TaskContext, TaskId, TemplateId, UserAction, UserId,
};
use crate::store::Subject;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub(super) fn event_id(id: &str) -> EventId {
    valid(EventId::new(id))
}

pub(super) fn user(id: &str) -> Subject {
    Subject::User(valid(UserId::new(id)))
}

pub(super) fn project(id: &str) -> Subject {
    Subject::Project(valid(ProjectId::new(id)))
}

/// The suite's own values are valid; where they are not, the suite is at fault.
fn valid<T>(value: Result<T>) -> T {
    value.unwrap_or_else(|error| panic!("the suite itself is wrong: {error:#}"))
}

pub(super) fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_740_000_000_000_000 + micros).unwrap_or_default()
}

pub(super) fn task(description: &str) -> TaskContext {
    let mut context = TaskContext::new(valid(TaskId::new("task")));
    description.clone_into(&mut context.task_description);
    context
}

fn start(id: &str, micros: i64, context: TaskContext) -> Record {
    valid(Record::new(event_id(id), at(micros), Fact::Started(Box::new(context.into()))))
}

pub(super) fn started(id: &str, micros: i64, description: &str) -> Record {
    start(id, micros, task(description))
}

pub(super) fn owned(id: &str, micros: i64, owner: &Subject) -> Record {
    let mut context = task("owned");
    match owner {
        Subject::User(user) => context.user_id = Some(user.clone()),
        Subject::Project(project) => context.project_id = Some(project.clone()),
    }
    start(id, micros, context)
}

pub(super) fn completed(id: &str, micros: i64, seconds: f64) -> Record {
    let completion = Completion { generation_time_seconds: Some(seconds), ..Completion::default() };
    valid(Record::new(event_id(id), at(micros), Fact::Completed(Box::new(completion))))
}

pub(super) fn feedback(id: &str, micros: i64, part: &str, action: UserAction) -> Record {
    let mut feedback = Feedback::new(action);
    feedback.feedback_id = Some(valid(FeedbackId::new(part)));
    valid(Record::new(event_id(id), at(micros), Fact::Feedback(Box::new(feedback))))
}

/// The feedback of a person.
pub(super) fn judged_by(id: &str, micros: i64, judge: &str) -> Record {
    let mut feedback = Feedback::new(UserAction::Approve);
    feedback.feedback_id = Some(valid(FeedbackId::new("judged")));
    feedback.reviewer_id = Some(valid(UserId::new(judge)));
    valid(Record::new(event_id(id), at(micros), Fact::Feedback(Box::new(feedback))))
}

/// The start of a generation that a person is to judge.
pub(super) fn to_be_judged_by(id: &str, micros: i64, reviewer: &str) -> Record {
    let mut context = task("owned");
    context.reviewer_id = Some(valid(UserId::new(reviewer)));
    start(id, micros, context)
}

pub(super) fn hostile_record(id: &EventId, text: &str) -> Record {
    let mut context = task(text);
    context.language = Some(text.to_owned());
    context.rag_examples_ids = vec![text.to_owned(), String::new()];
    let mut start = Started::from(context);
    start.metadata.insert(text.to_owned(), Value::from(text));
    valid(Record::new(id.clone(), at(1), Fact::Started(Box::new(start))))
}

pub(super) fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<_> = [
        "nul \0 inside",
        "\u{202E}right to left עברית العربية",
        "emoji 👩‍👩‍👧‍👦 🇪🇺 and a lone joiner \u{200D}",
        "quotes ' '' \" \\ ` $1 ?1 :a @b {} %s",
        "'; DROP TABLE facts; --",
        "\r\n\t\u{1}\u{7F}\u{85}\u{2028}",
        "\u{FEFF}mark, \u{FFFF} and \u{10FFFF}",
        "e\u{301} is not é",
        "null",
        " ",
        "trailing blank ",
        "../../etc/passwd",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("long ".repeat(200_000));
    texts
}

/// An event with a value in every field.
pub(super) fn full_event(id: &str) -> GenerationEvent {
    let mut event = GenerationEvent::new(event_id(id), at(1), full_start());
    event.completion = Some(Known { known_at: at(2), value: full_completion() });
    let judge = |micros, part, action| {
        let record = feedback(id, micros, part, action);
        let Fact::Feedback(mut value) = record.into_parts().2 else { panic!("the suite itself is wrong") };
        value.given_at = Some(at(micros - 1));
        value.reviewer_id = Some(valid(UserId::new("reviewer-2")));
        value.user_feedback = Some("looks good".into());
        value.modifications_requested = Some("rename it".into());
        value.final_quality_score = Some(8.3);
        (value.success, value.approved) = (Some(false), Some(true));
        Known { known_at: at(micros), value: *value }
    };
    event.feedback = vec![judge(10, "f1", UserAction::Reject), judge(20, "f0", UserAction::Modify)];
    event
}

fn full_start() -> Started {
    let context = TaskContext {
        task_id: valid(TaskId::new("task-1")),
        project_id: Some(valid(ProjectId::new("project-1"))),
        user_id: Some(valid(UserId::new("user-1"))),
        reviewer_id: Some(valid(UserId::new("reviewer-1"))),
        session_id: Some(valid(SessionId::new("session-1"))),
        started_at: Some(at(0)),
        task_type: Some("backend".into()),
        task_description: "Add a REST endpoint for orders".into(),
        language: Some("python".into()),
        framework: Some("fastapi".into()),
        agent_type: Some("coder".into()),
        model_used: Some("model-3".into()),
        temperature: Some(0.7),
        effort: Some("high".into()),
        max_tokens: Some(4096),
        rag_enabled: Some(true),
        rag_examples_count: Some(2),
        rag_examples_ids: vec!["x".into(), "y".into()],
        rag_avg_similarity: Some(0.1 + 0.2),
        rag_avg_quality: Some(8.25),
        template_id: Some(valid(TemplateId::new("template-1"))),
        num_files_to_generate: Some(3),
        estimated_lines_of_code: Some(120),
        num_dependencies: Some(4),
        current_queue_size: Some(5),
        system_load: Some(0.35),
        regeneration_of: Some(event_id("earlier")),
        attempt: 2,
        columns: full_columns(),
    };
    let mut start = Started::from(context);
    let candidates = vec!["model-3".to_owned(), "model-4".to_owned()];
    start.decision = Some(valid(Decision::new("thompson-2", candidates, "model-3", 1.0 / 3.0)));
    start.experiments = vec![valid(Assignment::new("short-prompt", "short", "user-1", 0.25))];
    start.predictions = vec![ShownPrediction::new("success", 0.61, (0.4, 0.8), "Calibrated", 12)];
    start.complexity_label = Some(6.5);
    start.metadata = nested_metadata();
    start
}

/// One of each kind.
fn full_columns() -> Columns {
    [
        ("coverage".to_owned(), 0.1.into()),
        ("design".to_owned(), true.into()),
        ("prio é".to_owned(), "🚀".into()),
    ]
    .into()
}

fn full_completion() -> Completion {
    Completion {
        completed_at: Some(at(1)),
        columns: full_columns(),
        generated_code: Some("def f():\n    return 1\n".into()),
        file_path: Some("src/orders.py".into()),
        lines_of_code: Some(2),
        cyclomatic_complexity: Some(1.5),
        syntax_errors: Some(0),
        host_metrics: vec![MetricField::LinesOfCode, MetricField::CyclomaticComplexity],
        num_functions: Some(1),
        num_classes: Some(0),
        has_type_hints: Some(false),
        has_docstrings: Some(true),
        has_tests: Some(false),
        self_review_score: Some(7.75),
        self_review_feedback: Some("short".into()),
        generation_time_seconds: Some(12.345_678_9),
        tokens_used: Some(u64::MAX),
        input_tokens: Some(900),
        output_tokens: Some(u64::MAX - 1_000_000),
        cache_read_tokens: Some(0),
        cache_write_tokens: Some(50),
        cost_from_prices: true,
        cost_usd: Some(0.000_1),
        success: Some(true),
        approved: Some(true),
        final_quality_score: Some(9.1),
        num_regenerations: Some(1),
        review: Some(valid(ReviewRequest::new(true, 0.05, "audit"))),
        next_step: Some(valid(Decision::new("rule 1", vec!["retry".into(), "stop".into()], "retry", 0.9))),
        metadata: object(json!({ "host": "a" })),
    }
}

/// As deep as metadata may be, with every kind of value.
fn nested_metadata() -> Metadata {
    let mut deep = json!([null, true, 1, -1, 0.5, "text", {}, []]);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    object(json!({ "deep": deep, "": "an empty key", "nested": { "a": { "b": [1, { "c": null }] } } }))
}

pub(super) fn object(value: Value) -> Metadata {
    match value {
        Value::Object(map) => map,
        _ => Metadata::new(),
    }
}
