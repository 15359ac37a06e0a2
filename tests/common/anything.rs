//! Strategies of arbitrary valid values, and hostile texts.

use chrono::{DateTime, Utc};
use devmatrix_ml::event::{
    Completion, Decision, EventId, Feedback, FeedbackId, GenerationEvent, Known, Metadata, ProjectId,
    SessionId, ShownPrediction, Started, TaskContext, TaskId, TemplateId, UserAction, UserId,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;

/// Returns texts that have broken programs before.
pub fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\u{202E}txet desrever\u{202C} \u{200F}שלום مرحبا",
        "👩‍👩‍👧‍👦🏳️‍🌈🇪🇸 must",
        "a\0b\0\0- must\0",
        "'; DROP TABLE facts; --",
        "\"\\\"'`$(rm -rf /)${x}%s%n{}",
        "\u{FEFF}\u{FFFE}\u{FFFF}\u{10FFFF}",
        "\r\n\r\n\t\x0b\x0c\x1b[31m\x7f\u{85}\u{2028}\u{2029}",
        "e\u{301}\u{302}\u{303}\u{304}",
        "NaN Infinity -0 1e999 null undefined",
        r#"\ud800 \u0000 {"event_id":null}"#,
        "İıſẞßΣς",
    ]
    .map(str::to_owned)
    .into();
    texts.push("- must have x\n".repeat(100_000));
    texts.push("1. ".repeat(50_000));
    texts.push("s".repeat(200_000));
    texts.push("machine-learning/".repeat(20_000));
    texts.push("z̸̢̛".repeat(30_000));
    texts
}

/// Any text.
pub fn text() -> BoxedStrategy<String> {
    let hostile: Vec<_> = hostile_texts().into_iter().filter(|t| t.len() < 1000).collect();
    prop_oneof![
        3 => any::<String>(),
        2 => "[a-zA-Z0-9 .*#`-]{0,60}",
        2 => vec(any::<char>(), 0..30).prop_map(String::from_iter),
        1 => prop::sample::select(hostile),
    ]
    .boxed()
}

/// Returns any identifier.
pub fn id<T: std::fmt::Debug + 'static>(make: fn(String) -> devmatrix_ml::Result<T>) -> BoxedStrategy<T> {
    "\\PC{1,16}".prop_map(move |name| make(name).unwrap()).boxed()
}

/// Any moment that can be recorded, to the nanosecond.
pub fn time() -> BoxedStrategy<DateTime<Utc>> {
    let near = (1_700_000_000..1_800_000_000_i64, 0..1_000_000_000_u32);
    let far = (-2_208_988_800..253_402_300_800_i64, 0..1_000_000_000_u32);
    prop_oneof![3 => near, 1 => far].prop_map(|(s, n)| DateTime::from_timestamp(s, n).unwrap()).boxed()
}

/// Returns numbers in a range, often its ends.
pub fn number(low: f64, high: f64) -> BoxedStrategy<f64> {
    prop_oneof![6 => low..=high, 1 => Just(low), 1 => Just(high)].boxed()
}

/// Any pairs, nested a few levels.
pub fn metadata() -> BoxedStrategy<Metadata> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number(-1e300, 1e300).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    });
    vec((text(), value), 0..4).prop_map(|pairs| pairs.into_iter().collect()).boxed()
}

/// Any task.
pub fn context() -> BoxedStrategy<TaskContext> {
    let ids = (
        id(TaskId::new),
        of(id(ProjectId::new)),
        of((id(UserId::new), id(UserId::new))),
        of(id(SessionId::new)),
        of(id(TemplateId::new)),
        of(id(EventId::new)),
    );
    let words =
        (text(), of(text()), of(word()), of(text()), of(word()), of(word()), vec(text(), 0..4), of(word()));
    let reals = (
        of(number(0.0, 2.0)),
        of(number(-1.0, 1.0)),
        of(number(0.0, 10.0)),
        of(number(0.0, 1e6)),
        of(time()),
    );
    let whole = || of(any::<u32>());
    let wholes = (whole(), of(any::<bool>()), whole(), whole(), whole(), whole(), whole(), any::<u32>());
    (ids, words, reals, wholes)
        .prop_map(|(ids, words, reals, wholes)| {
            let mut task = TaskContext::new(ids.0);
            (task.project_id, task.session_id) = (ids.1, ids.3);
            (task.user_id, task.reviewer_id) = ids.2.unzip();
            (task.template_id, task.regeneration_of) = (ids.4, ids.5);
            (task.task_description, task.task_type, task.language) = (words.0, words.1, words.2);
            (task.framework, task.agent_type, task.model_used) = (words.3, words.4, words.5);
            (task.rag_examples_ids, task.effort) = (words.6, words.7);
            (task.temperature, task.rag_avg_similarity, task.rag_avg_quality) = (reals.0, reals.1, reals.2);
            (task.system_load, task.started_at) = (reals.3, reals.4);
            (task.max_tokens, task.rag_enabled, task.rag_examples_count) = (wholes.0, wholes.1, wholes.2);
            (task.num_files_to_generate, task.estimated_lines_of_code) = (wholes.3, wholes.4);
            (task.num_dependencies, task.current_queue_size) = (wholes.5, wholes.6);
            task.attempt = wholes.7;
            task
        })
        .boxed()
}

/// Returns categories: known to the simulator, or any text.
fn word() -> BoxedStrategy<String> {
    let known = vec!["python", "rust", "backend", "frontend", "claude-opus-5"];
    prop_oneof![prop::sample::select(known).prop_map(str::to_owned), text()].boxed()
}

/// Any choice.
fn decision() -> BoxedStrategy<Decision> {
    (vec(text(), 1..4), number(1e-9, 1.0), text())
        .prop_map(|(mut all, p, policy)| {
            let mut seen = std::collections::HashSet::new();
            all.retain(|name| seen.insert(name.clone()));
            Decision::new(policy, all.clone(), all[0].clone(), p).unwrap()
        })
        .boxed()
}

/// Anything that can be recorded at a start.
pub fn started() -> BoxedStrategy<Started> {
    let shown = (text(), number(-1e9, 1e9), (number(0.0, 1.0), number(0.0, 1.0)), text(), any::<u64>())
        .prop_map(|(target, value, ends, status, version)| {
            ShownPrediction::new(target, value, ends, status, version)
        });
    let names = || ".{0,8}".prop_map(|name: String| format!("x{name}"));
    let arm = (names(), names(), names(), number(1e-9, 1.0)).prop_map(|(experiment, arm, unit, p)| {
        let all = serde_json::json!({ "experiment": experiment, "arm": arm, "unit": unit, "probability": p });
        serde_json::from_value(all).unwrap()
    });
    let chosen = (of(decision()), vec(arm, 0..3));
    (context(), chosen, vec(shown, 0..3), of(number(0.0, 10.0)), metadata())
        .prop_map(|(task, (decision, experiments), predictions, label, metadata)| {
            let mut started = Started::from(task);
            (started.decision, started.experiments) = (decision, experiments);
            started.predictions = predictions;
            (started.complexity_label, started.metadata) = (label, metadata);
            started
        })
        .boxed()
}

/// Any end.
pub fn completion() -> BoxedStrategy<Completion> {
    let words = (of(time()), of(text()), of(text()), of(text()), metadata());
    let whole = || of(any::<u32>());
    let wholes = (whole(), whole(), whole(), of(any::<u64>()), whole());
    let yes = || of(any::<bool>());
    let yeses = (yes(), yes(), yes(), yes(), yes());
    let reals = (
        of(number(0.0, 1e9)),
        of(number(0.0, 10.0)),
        of(number(0.0, 1e9)),
        of(number(0.0, 1e9)),
        of(number(0.0, 10.0)),
    );
    let review = (any::<bool>(), number(1e-9, 1.0), text()).prop_map(|(asked, p, why)| {
        serde_json::from_value(serde_json::json!({ "requested": asked, "propensity": p, "why": why }))
            .unwrap()
    });
    (words, wholes, yeses, reals, of(review), of(decision()))
        .prop_map(|(words, wholes, yeses, reals, review, next_step)| {
            let mut done = Completion::default();
            (done.review, done.next_step) = (review, next_step);
            (done.completed_at, done.generated_code, done.file_path) = (words.0, words.1, words.2);
            (done.self_review_feedback, done.metadata) = (words.3, words.4);
            (done.lines_of_code, done.num_functions, done.num_classes) = (wholes.0, wholes.1, wholes.2);
            done.syntax_errors = wholes.2;
            (done.tokens_used, done.num_regenerations) = (wholes.3, wholes.4);
            (done.has_type_hints, done.has_docstrings, done.has_tests) = (yeses.0, yeses.1, yeses.2);
            (done.success, done.approved) = (yeses.3, yeses.4);
            (done.cyclomatic_complexity, done.self_review_score) = (reals.0, reals.1);
            (done.generation_time_seconds, done.cost_usd) = (reals.2, reals.3);
            done.final_quality_score = reals.4;
            done
        })
        .boxed()
}

/// Any feedback.
pub fn feedback() -> BoxedStrategy<Feedback> {
    let action = prop::sample::select(vec![UserAction::Approve, UserAction::Modify, UserAction::Reject]);
    let values = (of(text()), of(text()), of(number(0.0, 10.0)), of(any::<bool>()), of(any::<bool>()));
    (action, of(id(FeedbackId::new)), of(time()), values, of(decision()), of(id(UserId::new)))
        .prop_map(|(action, id, given_at, values, next_step, reviewer)| {
            let mut feedback = Feedback::new(action);
            feedback.reviewer_id = reviewer;
            feedback.next_step = next_step;
            (feedback.feedback_id, feedback.given_at) = (id, given_at);
            (feedback.user_feedback, feedback.modifications_requested) = (values.0, values.1);
            feedback.final_quality_score = values.2;
            (feedback.success, feedback.approved) = (values.3, values.4);
            feedback
        })
        .boxed()
}

/// Any generation.
pub fn event() -> BoxedStrategy<GenerationEvent> {
    let parts = (of((time(), completion())), vec((time(), feedback()), 0..4));
    (id(EventId::new), time(), started(), parts)
        .prop_map(|(id, at, started, (done, values))| {
            let mut event = GenerationEvent::new(id, at, started);
            event.completion = done.map(|(known_at, value)| Known { known_at, value });
            event.feedback = values.into_iter().map(|(known_at, value)| Known { known_at, value }).collect();
            event
        })
        .boxed()
}
