//! Work of the paths that run for every generation, in instructions of the processor: `benches/instructions.sh` counts them.
//!
//! `instructions train FOLDER` fits the served models, `instructions run FOLDER NAME` does one piece of work and prints by how
//! much its count is to be divided. A profiler counts what happens within [`counted`].
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

mod common;

use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::code_metrics::{CodeOptions, analyze_with};
use devmatrix_ml::dataset::DatasetBuilder;
use devmatrix_ml::event::{Fact, GenerationEvent, Record, TaskContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::models::TemplateCatalogue;
use devmatrix_ml::registry::DiskRegistry;
use devmatrix_ml::routing::{Candidate, Plan, Request, Router, RouterOptions, Thompson};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::Generation;
use devmatrix_ml::store::{EventStore, MemoryStore};
use devmatrix_ml::training::Training;
use futures_executor::block_on;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Events of a replay.
const EVENTS: usize = 5_000;
/// Generations that the served models have seen.
const KNOWN: usize = 2_000;
/// Bytes of code that are measured.
const CODE: usize = 64 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["train", folder, ..] => train(folder),
        ["run", folder, name, ..] => run(folder, name),
        _ => println!("counted by benches/instructions.sh"),
    }
}

/// All that is counted happens in here.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Prints by how much the instructions of `work` are to be divided.
fn count(units: usize, mut work: impl FnMut()) {
    println!("{units}");
    counted(&mut work);
}

fn train(folder: &str) {
    let records = common::records(KNOWN);
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let (store, registry) = (MemoryStore::new(), DiskRegistry::open(folder).unwrap());
    block_on(store.append(records)).unwrap();
    let engineer = FeatureEngineer::default();
    block_on(Training::new(&store, &registry, &engineer, &clock).run_all()).unwrap();
}

fn run(folder: &str, name: &str) {
    match name {
        "features_event" => replay(&long_texts()),
        "replay_generation" => replay(&common::records(EVENTS)),
        "analyze_python_kb" => code("py"),
        "analyze_javascript_kb" => code("js"),
        _ => serve(folder, name),
    }
}

fn serve(folder: &str, name: &str) {
    let records = common::records(KNOWN);
    let tasks: Vec<_> = common::tasks(&records).into_iter().rev().take(50).collect();
    let clock = ManualClock::at(records.last().unwrap().known_at());
    let history = SharedHistory::new();
    history.apply(&records);
    let templates = TemplateCatalogue::from(&common::simulator(KNOWN));
    let service =
        PredictionService::new(Arc::new(history), FeatureEngineer::default(), Arc::new(clock.clone()));
    let service = service.with_templates(templates);
    block_on(service.reload(&DiskRegistry::open(folder).unwrap())).unwrap();
    match name {
        "predict_all" => predict(&service.without_explanations(), &tasks),
        "predict_all_explained" => predict(&service, &tasks[..10]),
        "choose_20" => choose(&service.without_explanations(), 20, &tasks[..10], &clock),
        "choose_1000" => choose(&service.without_explanations(), 1_000, &tasks[..1], &clock),
        _ => panic!("nothing is called {name}"),
    }
}

/// Replays facts into training rows.
fn replay(records: &[Record]) {
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    count(EVENTS, || records.iter().for_each(|record| builder.apply(record)));
}

/// Returns the facts of events with descriptions of 970 bytes on average, a third of which were seen before.
fn long_texts() -> Vec<Record> {
    let mut events: Vec<GenerationEvent> =
        common::simulator(EVENTS).take(EVENTS).map(Generation::into_event).collect();
    let texts: Vec<String> =
        events.iter().map(|e| e.started.value.context.task_description.clone()).collect();
    for at in 0..events.len() {
        let context = if at % 3 == 2 {
            let seen = at - 1 - 3 * (at * 7 % 100).min(at / 3);
            let TaskContext { task_id, task_description, .. } = &events[seen].started.value.context;
            (task_id.clone(), task_description.clone())
        } else {
            let bytes = 490 + at * 389 % 961;
            let mut text = String::new();
            for part in 0.. {
                text.push_str(&texts[(at + part * 631) % texts.len()]);
                text.push_str([". ", "\n- ", "; "][part % 3]);
                if text.len() >= bytes {
                    break;
                }
            }
            text.truncate(text.floor_char_boundary(bytes));
            (events[at].started.value.context.task_id.clone(), text)
        };
        (events[at].started.value.context.task_id, events[at].started.value.context.task_description) =
            context;
    }
    let mut records: Vec<_> = events.into_iter().flat_map(|event| event.into_records().unwrap()).collect();
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    let bytes: usize = records.iter().map(description).sum();
    assert!((960..980).contains(&(bytes / EVENTS)), "{}", bytes / EVENTS);
    records
}

fn description(record: &Record) -> usize {
    match record.fact() {
        Fact::Started(started) => started.context.task_description.len(),
        _ => 0,
    }
}

fn predict(service: &PredictionService, tasks: &[TaskContext]) {
    service.predict_all(&tasks[0]).unwrap(); // tables that are made once
    count(tasks.len(), || {
        tasks.iter().for_each(|task| drop(black_box(service.predict_all(task).unwrap())));
    });
}

fn choose(service: &PredictionService, most: usize, tasks: &[TaskContext], clock: &ManualClock) {
    let llms = ["claude-sonnet-4.5", "deepseek-v3", "gpt-4.1-mini", "claude-opus-5"];
    let agents = ["backend", "frontend", "implementation", "generalist", "testing"];
    let candidates: Vec<_> = (0..most)
        .map(|at| {
            let mut plan = Plan::by_llm(llms[at % 4]);
            plan.agent = Some(agents[at / 4 % 5].into());
            plan.temperature = (at >= 20).then(|| (at / 20) as f64 / 100.0);
            Candidate::new(format!("candidate {at}"), plan)
        })
        .collect();
    let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default()).unwrap();
    for event in common::simulator(KNOWN).take(KNOWN).map(Generation::into_event) {
        router.feedback(&event);
    }
    count(tasks.len(), || {
        for task in tasks {
            let request = Request::new(task, &candidates, clock.now());
            black_box(router.choose_predicted(service, &request).unwrap());
        }
    });
}

/// Measures the simulator's programs in the language of `ending`.
fn code(ending: &str) {
    let mut code = String::new();
    for generation in common::simulator(KNOWN).cycle().take(100_000) {
        let done = generation.completion;
        if done.file_path.is_some_and(|path| path.ends_with(&format!(".{ending}"))) {
            code.push_str(&done.generated_code.unwrap_or_default());
        }
        if code.len() >= CODE {
            break;
        }
    }
    assert!(code.len() >= CODE, "{} bytes of {ending}", code.len());
    let mut options = CodeOptions::default();
    options.time_budget = Duration::from_hours(1); // under a profiler all takes fifty times as long
    drop(analyze_with(&options, &code[..1_000], Some(ending))); // tables that are made once
    count(code.len() >> 10, || drop(black_box(analyze_with(&options, &code, Some(ending)))));
}
