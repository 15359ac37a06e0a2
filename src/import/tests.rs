//! Every importer on small inputs of its own; each trap of a format is a test.

mod fuzz;
mod github;
mod tables;
mod traces;
mod trajectories;

use super::{Format, ImportOptions, ImportReport, import};
use crate::event::GenerationEvent;
use crate::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder};
use futures_executor::block_on;
use serde_json::Value;
use std::collections::BTreeMap;

/// Events by id, and the report.
struct Imported {
    events: BTreeMap<String, GenerationEvent>,
    report: Value,
    text: String,
}

impl Imported {
    fn one(&self) -> &GenerationEvent {
        assert_eq!(self.events.len(), 1, "{:?} {}", self.events.keys(), self.text);
        self.events.values().next().unwrap()
    }

    /// Returns the flat form of an event.
    fn flat(&self, id: &str) -> Value {
        serde_json::to_value(
            self.events.get(id).unwrap_or_else(|| panic!("{id}: {:?} {}", self.events.keys(), self.text)),
        )
        .unwrap()
    }

    fn count(&self, field: &str) -> u64 {
        self.report[field].as_u64().or_else(|| self.report[field]["count"].as_u64()).unwrap()
    }
}

fn events_of(store: &dyn EventStore) -> BTreeMap<String, GenerationEvent> {
    let mut records = BTreeMap::<String, Vec<_>>::new();
    block_on(store.for_each(ScanOrder::Known, &mut |record| {
        records.entry(record.event_id().to_string()).or_default().push(record);
        Ok(())
    }))
    .unwrap();
    records.into_iter().filter_map(|(id, of)| Some((id, GenerationEvent::from_records(of)?))).collect()
}

fn read_into(
    store: &MemoryStore,
    format: Format,
    files: &[(&str, &str)],
    options: &ImportOptions,
) -> ImportReport {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes()));
    block_on(import(store, format, files, options)).unwrap()
}

/// Imports files, and the same again, which changes nothing; the way out and back is the identity.
fn read_all(format: Format, files: &[(&str, &str)], options: &ImportOptions) -> Imported {
    let store = MemoryStore::new();
    let report = read_into(&store, format, files, options);
    let events = events_of(&store);
    let again = serde_json::to_value(read_into(&store, format, files, options)).unwrap();
    assert_eq!(
        (&again["imported"], &again["updated"], &again["conflicts"]["count"]),
        (&0.into(), &0.into(), &0.into()),
        "{again}"
    );
    assert_eq!(events_of(&store), events, "imported twice");
    let lines: String = events.values().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    let back = MemoryStore::new();
    read_into(&back, Format::Jsonl, &[("back", &lines)], &ImportOptions::default());
    assert_eq!(events_of(&back), events, "written and imported");
    let text = report.to_string();
    Imported { events, report: serde_json::to_value(report).unwrap(), text }
}

fn read(format: Format, text: &str) -> Imported {
    read_all(format, &[("run/file.json", text)], &ImportOptions::default())
}

#[test]
fn a_newer_export_adds_what_is_new_and_names_what_differs() {
    let pull = |state: &str, title: &str| {
        format!(
            r#"{{"url":"https://github.example/o/r/pull/7","title":"{title}","author":{{"login":"app/copilot-swe-agent"}},"createdAt":"2026-11-01T10:00:00Z",{state}}}"#
        )
    };
    let (store, options) = (MemoryStore::new(), ImportOptions::default());
    let open = pull(r#""state":"OPEN","mergedAt":null,"closedAt":null"#, "a");
    let merged =
        pull(r#""state":"MERGED","mergedAt":"2026-11-02T10:00:00Z","closedAt":"2026-11-02T10:00:01Z""#, "a");
    let told = |text: &str| {
        serde_json::to_value(read_into(&store, Format::Github, &[("f", text)], &options)).unwrap()
    };
    assert_eq!(told(&open)["imported"], 1);
    let again = told(&merged);
    assert_eq!((&again["imported"], &again["updated"]), (&0.into(), &1.into()), "{again}");
    assert_eq!(events_of(&store).values().next().unwrap().outcome().unwrap().success, Some(true));
    let renamed = told(&merged.replace("\"a\"", "\"b\""));
    assert_eq!((&renamed["conflicts"]["count"], &renamed["unchanged"]), (&1.into(), &1.into()), "{renamed}");
    assert!(renamed["conflicts"]["examples"][0].as_str().unwrap().contains("pull/7: its start"), "{renamed}");
}

#[test]
fn a_file_of_another_format_is_left_soon_and_reading_that_fails_is_an_error() {
    let text = "{}\n".repeat(100_002);
    let files = [("f".to_owned(), text.as_bytes())];
    let error =
        block_on(import(&MemoryStore::new(), Format::Mlflow, files, &ImportOptions::default())).unwrap_err();
    assert!(error.to_string().contains("is it mlflow?"), "{error}");
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let files = [("f".to_owned(), std::io::BufReader::new(Broken))];
    let error =
        block_on(import(&MemoryStore::new(), Format::Mlflow, files, &ImportOptions::default())).unwrap_err();
    assert_eq!(
        (error.kind(), format!("{error:#}")),
        (crate::ErrorKind::Unavailable, "f: reading failed: the disk is gone".into())
    );
}

#[test]
fn clocks_that_are_ahead_are_named_and_their_events_kept() {
    let mut options = ImportOptions::default();
    options.now = Some("2026-11-30T00:00:00Z".parse().unwrap());
    let text = r#"[{"event_id":"a","task_id":"t","started_at":"2031-01-01T00:00:00Z"},
        {"event_id":"b","task_id":"t","started_at":"2026-11-01T00:00:00Z","completed_at":"2026-10-01T00:00:00Z"},
        {"event_id":"c","task_id":"t","started_at":"2026-11-01T00:00:00Z"}]"#;
    let imported = read_all(Format::Jsonl, &[("f", text)], &options);
    assert_eq!((imported.events.len(), imported.count("suspicious_clocks")), (3, 2), "{}", imported.text);
    assert!(
        imported.text.contains("a: started at 2031-01-01")
            && imported.text.contains("b: ended before it started")
    );
}

#[test]
fn the_report_says_what_was_skipped_and_where() {
    let text = "{\"event_id\":\"a\",\"task_id\":\"t\",\"cost_usd\":1.5,\"task_description\":\"x\"}\n{\"event_id\":\n{\"event_id\":\"b\",\"task_id\":\"t\",\"success\":true}\n{\"event_id\":\"b\",\"task_id\":\"t\",\"success\":true}\n{\"task_id\":\"t\"}\n";
    let imported = read(Format::Jsonl, text);
    assert_eq!((imported.count("read"), imported.count("imported"), imported.count("skipped")), (5, 2, 2));
    assert_eq!(imported.count("repeated"), 1);
    let skipped: Vec<_> =
        imported.report["skipped_examples"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert!(skipped[0].starts_with("run/file.json, line 2: the JSON ends before"), "{skipped:?}");
    assert!(skipped[1].starts_with("run/file.json, line 5: event_id is missing"), "{skipped:?}");
    assert_eq!(imported.report["outcomes"], serde_json::json!({"open": 1, "success": 1}));
    assert_eq!(
        (&imported.report["share_with_cost"], &imported.report["share_with_text"]),
        (&0.5.into(), &0.5.into())
    );
    assert_eq!(imported.report["fields"]["cost_usd"], 1);
}

#[test]
fn names_and_secrets_are_redacted_on_the_way() {
    let mut options = ImportOptions::default();
    options.redact = true;
    let text = r#"{"url":"https://github.example/o/r/pull/7","title":"Mail ann@example.org","author":{"login":"ann"},"headRefName":"codex/x",
        "createdAt":"2026-11-01T10:00:00Z","state":"MERGED","mergedAt":"2026-11-02T10:00:00Z",
        "reviews":[{"author":{"login":"bob"},"state":"APPROVED","submittedAt":"2026-11-02T09:00:00Z"}]}"#;
    let imported = read_all(Format::Github, &[("f", text)], &options);
    let flat = serde_json::to_string(imported.one()).unwrap();
    assert!(!flat.contains("ann") && !flat.contains("bob") && flat.contains("[email]"), "{flat}");
}
