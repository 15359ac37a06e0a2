//! The reference pages agree with the code: every field of an event, every feature. `DEVMATRIX_WRITE_DOCS=1` rewrites the pages.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use devmatrix_ml::event::GenerationEvent;
use devmatrix_ml::experimentation::ab_tests::AnalysisOptions;
use devmatrix_ml::experimentation::active_learning::LabelSamplerOptions;
use devmatrix_ml::experimentation::off_policy::OffPolicyOptions;
use devmatrix_ml::features::FEATURES;
use devmatrix_ml::models::{RegressionParams, SuccessParams, TemplateParams};
use devmatrix_ml::monitoring::MonitorOptions;
use devmatrix_ml::routing::RouterOptions;
use devmatrix_ml::training::{TrainingOptions, TrainingSchedule};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

fn schema() -> Value {
    serde_json::from_str(include_str!("../docs/reference/events.schema.json")).unwrap()
}

fn properties(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().unwrap()
}

/// Returns a value that the schema allows.
fn example(of: &Value) -> Value {
    if let Some(example) = of["examples"].get(0).or_else(|| of["enum"].get(0)) {
        return example.clone();
    }
    let kind = of["type"].as_str().or_else(|| of["type"][0].as_str()).unwrap();
    match kind {
        "string" if of["format"] == "date-time" => "2026-01-02T03:04:05Z".into(),
        "string" => "word".into(),
        "number" => of["maximum"].as_f64().unwrap_or(1.0).min(1.0).into(),
        "integer" => of["examples"][0].as_i64().unwrap_or(1).into(),
        "boolean" => true.into(),
        "array" => {
            Value::Array(if of["items"]["properties"].is_object() || of["items"]["type"] != "object" {
                vec![example(&of["items"])]
            } else {
                Vec::new()
            })
        }
        "object" => {
            let empty = Map::new();
            let mut all: Map<_, _> = of["properties"]
                .as_object()
                .unwrap_or(&empty)
                .iter()
                .filter(|(name, _)| *name != "next_step" && *name != "versions")
                .map(|(name, of)| (name.clone(), example(of)))
                .collect();
            if all.contains_key("candidates") {
                all.insert("chosen".into(), "word".into());
                all.insert("propensities".into(), vec![1.0].into());
            }
            all.into()
        }
        other => panic!("{other}"),
    }
}

fn full_event() -> Value {
    let schema = schema();
    properties(&schema).iter().map(|(name, of)| (name.clone(), example(of))).collect::<Map<_, _>>().into()
}

#[test]
fn every_field_of_the_schema_is_read() {
    let full = full_event();
    let event = GenerationEvent::from_json(&full.to_string()).unwrap();
    assert!(event.started.value.metadata.is_empty(), "not read: {:?}", event.started.value.metadata);
    event.into_records().unwrap();
}

#[test]
fn every_field_that_is_written_is_in_the_schema() {
    let schema = schema();
    let event = GenerationEvent::from_json(&full_event().to_string()).unwrap();
    let written: Value = serde_json::to_value(&event).unwrap();
    let known: BTreeSet<_> = properties(&schema).keys().collect();
    for name in written.as_object().unwrap().keys() {
        assert!(known.contains(name), "{name} is missing in docs/reference/events.schema.json");
    }
    assert!(written.as_object().unwrap().len() > 60);
}

#[test]
fn the_page_of_events_is_the_schema_in_words() {
    let schema = schema();
    let mut page = String::from(
        "# Events: the flat form\n\nOne JSON object a generation, one a line. `event_id` and `task_id` are required; what is not known is absent or `null`;\nunknown fields go into `metadata`. Times are RFC 3339. Also as a [JSON Schema](events.schema.json).\n",
    );
    for group in ["identity", "before the start", "at the end", "feedback"] {
        let mut heading = group.to_owned();
        heading[..1].make_ascii_uppercase();
        let _ = write!(page, "\n## {heading}\n\n| Field | Type | Meaning |\n|---|---|---|\n");
        for (name, of) in properties(&schema).iter().filter(|(_, of)| of["x-group"] == group) {
            let kind = of["type"].as_str().or_else(|| of["type"][0].as_str()).unwrap();
            let range = match (of["minimum"].as_f64(), of["maximum"].as_f64()) {
                (Some(low), Some(high)) => format!(", {low} to {high}"),
                (Some(low), None) if kind == "number" => format!(", at least {low}"),
                _ => String::new(),
            };
            let _ = writeln!(page, "| `{name}` | {kind}{range} | {} |", of["description"].as_str().unwrap());
        }
    }
    agrees("docs/reference/events.md", &page);
}

#[test]
fn the_page_of_features_is_the_table() {
    let mut page = format!(
        "# Features\n\nAll {} features in their order, from the table in `src/features/table.rs`. Not known is missing (NaN). Beside them the\nmodels see hashed n-grams of the description. In a phrase `{{}}` stands for the value, `{{one|other}}` for the form by number.\n\n| Feature | Unit | Kind | Known | Topic | Phrase |\n|---|---|---|---|---|---|\n",
        FEATURES.len()
    );
    for feature in FEATURES {
        let phrase = feature.phrase.replace('|', "\\|");
        let (kind, known, topic) = (feature.kind, feature.known, feature.topic);
        let _ = writeln!(
            page,
            "| `{}` | {} | {kind:?} | {known:?} | {topic:?} | {phrase} |",
            feature.name, feature.unit
        );
    }
    agrees("docs/reference/features.md", &page);
}

fn options<T: Serialize + Default>(page: &mut String, name: &str, what: &str) {
    let _ = write!(page, "\n## `{name}`\n\n{what}\n\n| Key | Default |\n|---|---|\n");
    let all = serde_json::to_value(T::default()).unwrap();
    for (key, default) in all.as_object().unwrap() {
        let default = if default.is_null() { "none".to_owned() } else { format!("`{default}`") };
        let _ = writeln!(page, "| `{key}` | {default} |");
    }
}

#[test]
fn the_page_of_options_has_their_defaults() {
    let mut page = String::from(
        "# Configuration\n\nOptions are plain structs with `Default` and `serde`; every key may be left out, and a value out of range is an error. A key that does not exist is an\nerror that names it and the nearest right one. Units and ranges are in the documentation of the fields (`cargo doc --open`).\n",
    );
    let all = &mut page;
    options::<RouterOptions>(
        all,
        "routing::RouterOptions",
        "Objective, exploration, safety and budget of the router.",
    );
    options::<TrainingOptions>(
        all,
        "training::TrainingOptions",
        "Evaluation, gate, promotion and limits of training.",
    );
    options::<TrainingSchedule>(all, "training::TrainingSchedule", "When a training cycle is due.");
    options::<MonitorOptions>(
        all,
        "monitoring::MonitorOptions",
        "Windows, slices and thresholds of the monitor.",
    );
    options::<SuccessParams>(all, "models::SuccessParams", "Hyperparameters of the success model.");
    options::<RegressionParams>(
        all,
        "models::RegressionParams",
        "Hyperparameters of time, quality and complexity.",
    );
    options::<TemplateParams>(all, "models::TemplateParams", "Hyperparameters of template ranking.");
    options::<AnalysisOptions>(all, "experimentation::ab_tests::AnalysisOptions", "Analysis of an A/B test.");
    options::<OffPolicyOptions>(
        all,
        "experimentation::off_policy::OffPolicyOptions",
        "Off-policy evaluation.",
    );
    options::<LabelSamplerOptions>(
        all,
        "experimentation::active_learning::LabelSamplerOptions",
        "Which labels to request.",
    );
    agrees("docs/reference/configuration.md", &page);
}

/// Compares a page with what the code says; writes it where asked to.
fn agrees(path: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("DEVMATRIX_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "{} is not current: run DEVMATRIX_WRITE_DOCS=1 cargo test --test reference",
        path.display()
    );
}
