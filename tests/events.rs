//! The flat JSON format: events round-trip, and errors name the field.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::anything;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::event::{GenerationEvent, UserAction, read_jsonl};
use flate2::bufread::GzDecoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::BufReader;
use std::path::Path;

fn rejection(json: &str) -> String {
    let error = GenerationEvent::from_json(json).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{json}: {error}");
    format!("{error:#}")
}

/// Returns the smallest event with one more field.
fn with(field: &str, value: &Value) -> String {
    let mut event = json!({"event_id": "e", "task_id": "t"});
    event[field] = value.clone();
    event.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn events_round_trip_through_json(event in anything::event()) {
        let json = serde_json::to_string(&event).unwrap();
        prop_assert!(!json.contains('\n'));
        let back = GenerationEvent::from_json(&json);
        prop_assert!(back.is_ok(), "{:?} of {}", back, json);
        let back = back.unwrap();
        prop_assert_eq!(back.outcome(), event.outcome());
        prop_assert_eq!(back, event);
    }

    #[test]
    fn an_event_is_restored_from_its_facts(event in anything::event()) {
        // Two feedbacks without an id at one time are one; here there are none.
        let records = event.into_records().unwrap();
        let whole = GenerationEvent::from_records(records.clone()).unwrap();
        let again = GenerationEvent::from_records(whole.clone().into_records().unwrap()).unwrap();
        prop_assert_eq!(&whole, &again);
        let back = GenerationEvent::from_json(&serde_json::to_string(&whole).unwrap()).unwrap();
        prop_assert_eq!(back, whole);
    }

    #[test]
    fn malformed_json_is_an_error_without_a_panic(text in anything::text(), cut in 0..400_usize, event in anything::event()) {
        let _ = GenerationEvent::from_json(&text);
        let json = serde_json::to_string(&event).unwrap();
        let cut = json.floor_char_boundary(cut.min(json.len() - 1));
        prop_assert!(GenerationEvent::from_json(&json[..cut]).is_err());
        let _ = read_jsonl(text.as_bytes(), true).unwrap();
    }
}

#[test]
fn unknown_fields_go_to_metadata_and_nulls_are_missing() {
    let event = GenerationEvent::from_json(
        r#"{"event_id":"e","task_id":"t","stars":12,"unknown":{"a":[null]},"nothing":null,"temperature":null,
            "metadata":{"stars":"kept"},"attempt":null,"feedback":null,"verdict":null,"rag_examples_ids":null}"#,
    )
    .unwrap();
    let metadata = &event.started.value.metadata;
    assert_eq!(Value::Object(metadata.clone()), json!({"stars": "kept", "unknown": {"a": [null]}}));
    assert_eq!(event.started.value.context.temperature, None);
    assert_eq!((event.started.value.context.attempt, event.outcome()), (0, None));
    assert!(GenerationEvent::from_json(r#"{"event_id":"e","task_id":"t","metadata":null}"#).is_ok());
}

#[test]
fn missing_fields_are_named() {
    assert!(rejection("{}").contains("event_id is missing"));
    assert!(rejection(r#"{"event_id":null,"task_id":"t"}"#).contains("event_id is missing"));
    let error = rejection(r#"{"event_id":"e7"}"#);
    assert!(error.contains("e7") && error.contains("task_id is missing"), "{error}");
}

#[test]
fn wrong_types_are_named() {
    for (field, value) in [
        ("temperature", json!("hot")),
        ("effort", json!(true)),
        ("effort", json!({"level": "high"})),
        ("reviewer_id", json!("")),
        ("feedback_reviewer_id", json!(7)),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(4_294_967_296_u64)),
        ("attempt", json!(1.5)),
        ("success", json!("yes")),
        ("started_at", json!("yesterday")),
        ("started_at", json!("2025-02-30T00:00:00Z")),
        ("completed_at", json!(1_700_000_000)),
        ("user_action", json!("shrug")),
        ("rag_examples_ids", json!("a")),
        ("rag_examples_ids", json!([1])),
        ("metadata", json!([1])),
        ("metadata", json!("x")),
        ("project_id", json!("")),
        ("user_id", json!("a\nb")),
        ("session_id", json!(7)),
        ("decision", json!({"chosen": "a"})),
        ("predictions", json!([{"target": "success"}])),
        ("feedback", json!([{"user_action": "approve"}])),
        ("feedback", json!([null])),
        ("generated_code", json!({"a": 1})),
        ("tokens_used", json!(-3)),
        ("schema_version", json!("one")),
    ] {
        let error = rejection(&with(field, &value));
        assert!(error.contains(field), "{field} = {value}: {error}");
    }
    let error = rejection(r#"{"event_id":"e","event_id":"f","task_id":"t"}"#);
    assert!(error.contains("event_id"), "{error}");
}

#[test]
fn whole_numbers_may_be_written_as_pandas_writes_them() {
    let whole = |text: &str| {
        format!(
            r#"{{"event_id":"e","task_id":"t","tokens_used":{text},"lines_of_code":{text},"max_tokens":{text},
            "attempt":{text},"num_regenerations":{text},"schema_version":1.0,"predictions":[{{"target":"success",
            "value":1,"lower":0,"upper":1.0,"status":"Prior","model_version":{text}}}]}}"#
        )
    };
    let read = |text: &str| GenerationEvent::from_json(&whole(text));
    assert_eq!(read("1234.0").unwrap(), read("1234").unwrap());
    assert_eq!(read("1e3").unwrap(), read("1000").unwrap());
    assert_eq!(read("1.5e1").unwrap(), read("15").unwrap());
    for bad in ["1234.5", "-1.0", "1e-3", "1e40"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let kept = GenerationEvent::from_json(&with("stars", &json!(2.0))).unwrap();
    assert_eq!(kept.started.value.metadata["stars"], json!(2.0), "the host's own pairs stay as they are");
}

#[test]
fn what_stands_in_a_part_of_an_event_is_read_as_strictly_as_the_event() {
    let unit = json!({"requested": true, "propensity": 1.0, "becuase": "x"});
    let said = json!([{"known_at": "2025-03-01T11:00:00Z", "user_action": "approve", "score": 7}]);
    let chosen = json!({"candidates": ["a"], "chosen": "a", "propensity": 1.0, "policy": "p", "polcy": "q"});
    for (field, value, path) in [
        ("review_request", unit, "review_request.becuase"),
        ("feedback", said, "feedback.0.score"),
        ("decision", chosen, "decision.polcy"),
    ] {
        let error = rejection(&with(field, &value));
        assert!(error.contains(&format!("there is no field `{path}`")), "{error}");
    }
    for (json, path) in [
        (r#"{"event_id":"e","task_id":"t","metadata":{"a":1,"a":2}}"#, "metadata.a"),
        (r#"{"event_id":"e","task_id":"t","own":1,"own":2}"#, "own"),
        (r#"{"event_id":"e","task_id":"t","columns":{"a":1,"b":2,"a":1}}"#, "columns.a"),
    ] {
        let error = rejection(json);
        assert!(error.contains(&format!("`{path}` is given twice")), "{error}");
    }
}

#[test]
fn an_end_before_the_start_is_known_from_the_start_on() {
    let json = r#"{"event_id":"e","task_id":"t","started_at":"2025-03-01T10:00:00Z",
        "completed_at":"2025-02-01T10:00:00Z","user_action":"approve","approved_at":"2025-02-02T10:00:00Z"}"#;
    let event = GenerationEvent::from_json(json).unwrap();
    assert_eq!(event.outcome().unwrap().known_at, event.started.known_at);
    let completion = event.completion.unwrap();
    assert_eq!(completion.known_at, event.started.known_at);
    assert_eq!(completion.value.completed_at.unwrap().to_rfc3339(), "2025-02-01T10:00:00+00:00", "as given");
}

#[test]
fn numbers_out_of_range_are_named_by_line() {
    for (field, value) in [
        ("temperature", json!(2.5)),
        ("effort", json!("x".repeat(257))),
        ("temperature", json!(-0.1)),
        ("rag_avg_similarity", json!(1.01)),
        ("rag_avg_quality", json!(10.5)),
        ("system_load", json!(-1e-9)),
        ("cost_usd", json!(1e300)),
        ("generation_time_seconds", json!(-1)),
        ("cyclomatic_complexity", json!(-5)),
        ("self_review_score", json!(11)),
        ("final_quality_score", json!(99)),
        ("complexity_label", json!(-1)),
        ("started_at", json!("1899-12-31T23:59:59Z")),
        ("completed_at", json!("+10000-01-01T00:00:00Z")),
        ("decision", json!({"candidates": ["a"], "chosen": "b", "propensity": 0.5, "policy": "p"})),
        ("decision", json!({"candidates": ["a"], "chosen": "a", "propensity": 0.0, "policy": "p"})),
        ("experiments", json!([{"experiment": "x", "arm": "a", "unit": "u", "probability": 0.0}])),
        ("experiments", json!([{"experiment": "", "arm": "a", "unit": "u", "probability": 0.5}])),
        ("review_request", json!({"asked": true, "propensity": 0.0})),
        ("review_request", json!({"asked": false, "propensity": 1.5})),
        ("schema_version", json!(2)),
        ("schema_version", json!(0)),
    ] {
        let lines = format!("{}\n{}\n", with("language", &json!("rust")), with(field, &value));
        let error = read_jsonl(lines.as_bytes(), false).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(field), "{field} = {value}: {error}");
    }
}

#[test]
fn malformed_json_is_rejected_with_its_position() {
    for json in ["", "{", "[]", "7", "null", "\"e\"", "{}}", r#"{"event_id":"e","task_id":"t",}"#, "{'a':1}"]
    {
        rejection(json);
    }
    let error = rejection(r#"{"event_id":"e","task_id":"t","temperature":NaN}"#);
    assert!(error.contains("column 45"), "{error}");
    let deep =
        format!(r#"{{"event_id":"e","task_id":"t","x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(rejection(&deep).contains("recursion"), "an attack on the stack");
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    let event = GenerationEvent::from_json(
        r#"{"event_id":"e","task_id":"t","task_description":"a\ud83d b\ude00 \ud83d\ude00 \\ud800",
            "\udc00":"\uD800\uD800\uDC00"}"#,
    )
    .unwrap();
    assert_eq!(event.started.value.context.task_description, "a\u{FFFD} b\u{FFFD} 😀 \\ud800");
    assert_eq!(event.started.value.metadata["\u{FFFD}"], "\u{FFFD}\u{10000}");
}

#[test]
fn an_automatic_verdict_is_not_turned_into_feedback() {
    let json = r#"{"event_id":"e","task_id":"t","completed_at":"2025-03-01T10:00:00Z","success":true}"#;
    let event = GenerationEvent::from_json(json).unwrap();
    assert_eq!(event.completion.as_ref().unwrap().value.approved, None);
    let back = GenerationEvent::from_json(&serde_json::to_string(&event).unwrap()).unwrap();
    assert_eq!(back, event, "no approval is invented");
}

#[test]
fn an_approval_without_an_action_is_known_at_its_time() {
    let json = r#"{"event_id":"e","task_id":"t","started_at":"2025-03-01T09:00:00Z","success":true,
        "completed_at":"2025-03-01T10:00:00Z","approved_at":"2025-03-05T10:00:00Z"}"#;
    let outcome = GenerationEvent::from_json(json).unwrap().outcome().unwrap();
    assert_eq!(outcome.known_at.to_rfc3339(), "2025-03-05T10:00:00+00:00");
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let good = with("user_action", &json!("approve"));
    let text = format!("\u{FEFF}{good}\r\n\r\n  \t\n{good}\n\n{{\"event_id\":\r\n{good}");
    let error = read_jsonl(text.as_bytes(), false).unwrap_err();
    assert!(format!("{error:#}").starts_with("line 6: "), "{error}");
    let read = read_jsonl(text.as_bytes(), true).unwrap();
    assert_eq!((read.events.len(), read.bad.len(), read.bad[0].0), (3, 1, 6));
    let actions = read.events.iter().map(|e| e.outcome().unwrap().user_action);
    assert!(actions.into_iter().all(|a| a == Some(UserAction::Approve)));
    assert!(read_jsonl("".as_bytes(), false).unwrap().events.is_empty());
    assert!(read_jsonl("\u{FEFF}\n\n".as_bytes(), false).unwrap().events.is_empty());
}

#[test]
fn invalid_utf8_is_one_bad_line() {
    let good = with("language", &json!("python"));
    let mut bytes = good.clone().into_bytes();
    bytes.extend_from_slice(b"\n{\"event_id\":\"\xff\xfe\"}\n\x00\x01\n");
    bytes.extend_from_slice(good.as_bytes());
    let read = read_jsonl(bytes.as_slice(), true).unwrap();
    assert_eq!(read.events.len(), 2);
    assert_eq!(read.bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    assert!(read.bad[0].1.to_string().contains("UTF-8"));
}

#[test]
fn a_read_error_names_the_line() {
    struct Broken(u8);
    impl std::io::Read for Broken {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the disk is gone"));
            }
            self.0 -= 1;
            out[0] = b'\n';
            Ok(1)
        }
    }
    let error = read_jsonl(BufReader::new(Broken(4)), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        format!("{error:#}").contains("line 5") && format!("{error:#}").contains("disk is gone"),
        "{error}"
    );
}

/// Reads published data sets, where they are available.
#[test]
fn published_events_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    for (name, lines) in [("agent_prs", 4637), ("terminal_tasks", 5200), ("story_points", 16_844)] {
        let Ok(file) = std::fs::File::open(folder.join(format!("{name}.jsonl.gz"))) else {
            println!("skipped: {name} is not available");
            continue;
        };
        let read = read_jsonl(BufReader::new(GzDecoder::new(BufReader::new(file))), false).unwrap();
        assert_eq!(read.events.len(), lines, "{name}");
        for event in &read.events[..500] {
            let json = serde_json::to_string(event).unwrap();
            assert_eq!(&GenerationEvent::from_json(&json).unwrap(), event);
        }
    }
}
