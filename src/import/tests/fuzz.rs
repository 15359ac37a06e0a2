//! Damaged files: no panic, bounded time, a reason with its place.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Mutations of each input; `DEVMATRIX_FUZZ` sets another number.
const MUTATIONS: usize = 200;

/// Inputs with the keys that the readers look for.
fn seeds() -> Vec<(Format, String)> {
    let own = [
        (Format::Github, include_str!("seeds/github.json")),
        (Format::Langfuse, include_str!("seeds/langfuse.json")),
        (Format::Otlp, include_str!("seeds/otlp.json")),
        (Format::Mlflow, include_str!("seeds/mlflow.json")),
        (Format::Tensorzero, include_str!("seeds/tensorzero.json")),
        (Format::Trajectories, include_str!("seeds/trajectories.json")),
        (Format::Litellm, include_str!("seeds/litellm.csv")),
        (Format::Matrix, "task,arm,success,cost\nt1,small,1,0.002\nt2,large,,\n"),
        (Format::Matrix, "sample_id,small,large,small|total_cost\nq1,1.0,False,0.0001\n"),
        (Format::Csv, "task_id,success,started_at,cost_usd\nt,1,2026-11-01T10:00:00Z,0.5\n"),
        (
            Format::Jsonl,
            r#"[{"event_id":"e","task_id":"t","started_at":"2026-11-01T10:00:00Z","user_action":"approve"}]"#,
        ),
    ];
    own.into_iter().map(|(format, text)| (format, text.to_owned())).collect()
}

/// Values that a field of any kind may have.
const WRONG: [&str; 14] = [
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "-1",
    "1e308",
    "18446744073709551616",
    "[]",
    "{}",
    "[[[[]]]]",
    "\"0001-01-01T00:00:00Z\"",
    "\"\\ud800\"",
    "NaN",
    "\"2026-11-01\"",
];

fn mutated(text: &str, random: &mut Pcg64) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        if bytes.is_empty() {
            break;
        }
        match random.random_range(0..6) {
            0 => bytes[at] = random.random_range(0..=255),
            1 => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.random_range(1..200)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                // Another value after a colon or comma.
                let starts: Vec<_> = (0..bytes.len()).filter(|i| matches!(bytes[*i], b':' | b',')).collect();
                let Some(start) = starts.get(random.random_range(0..starts.len().max(1))) else { continue };
                let rest = &bytes[start + 1..];
                let end =
                    rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b'\n')).unwrap_or(rest.len());
                let wrong = WRONG[random.random_range(0..WRONG.len())];
                bytes.splice(start + 1..start + 1 + end, wrong.bytes());
            }
        }
    }
    bytes
}

#[test]
fn damaged_files_are_read_as_far_as_they_go() {
    let mutations = std::env::var("DEVMATRIX_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTATIONS);
    let mut random = Pcg64::seed_from_u64(7);
    let mut options = ImportOptions::default();
    options.mapping.insert("project_id".into(), "=p".into());
    for (format, text) in seeds() {
        let whole = read_all(format, &[("seed", &text)], &options);
        assert!(!whole.events.is_empty(), "{format}: {}", whole.text);
        for round in 0..mutations {
            let bytes = mutated(&text, &mut random);
            options.redact = round % 4 == 0;
            let store = MemoryStore::new();
            let files = || [("seed".to_owned(), bytes.as_slice())];
            let report = match block_on(import(&store, format, files(), &options)) {
                Ok(report) => serde_json::to_value(report).unwrap(),
                Err(error) => {
                    assert!(error.to_string().starts_with("seed"), "{format}: {error}");
                    continue;
                }
            };
            for example in report["skipped_examples"].as_array().unwrap() {
                assert!(example.as_str().unwrap().contains(", line "), "{format}: {example}");
            }
            // What is stored can be written and read again.
            let events = events_of(&store);
            for event in events.values() {
                let flat = serde_json::to_string(event).unwrap();
                assert_eq!(&GenerationEvent::from_json(&flat).unwrap(), event, "{format}");
            }
        }
    }
}
