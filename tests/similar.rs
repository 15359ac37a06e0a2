//! Similar past tasks, found by text or by embeddings.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::event::{Completion, EventId, Fact, Feedback, Record, TaskContext, TaskId, UserAction};
use devmatrix_ml::features::{FEATURES, FeatureEngineer, Topic};
use devmatrix_ml::history::{NearestTask, SharedHistory};
use devmatrix_ml::models::{Attribution, English, Locale};
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::similarity::{EmbeddedTasks, Embedder};
use devmatrix_ml::{Error, ErrorKind, Result};
use std::sync::Arc;

const PAST: [(&str, &str, UserAction); 4] = [
    ("login-1", "Add a login page with a password form", UserAction::Approve),
    ("login-2", "Login page: remember the password of a client", UserAction::Approve),
    ("login-3", "The login page must show a password error", UserAction::Reject),
    ("orders", "Migrate the table of orders to the warehouse", UserAction::Reject),
];

fn task(id: &str, description: &str) -> TaskContext {
    let mut task = TaskContext::new(TaskId::new(id).unwrap());
    task.task_description = description.into();
    task
}

/// Builds a history of one generation per task, each with its outcome.
fn history() -> SharedHistory {
    let history = SharedHistory::new();
    let at = |minute: i64| chrono::DateTime::from_timestamp(1_740_000_000 + 60 * minute, 0).unwrap();
    for (i, (id, description, action)) in PAST.into_iter().enumerate() {
        let event = EventId::new(format!("e-{id}")).unwrap();
        let mut done = Completion::default();
        done.generation_time_seconds = Some(60.0);
        let started = Fact::Started(Box::new(task(id, description).into()));
        let facts =
            [started, Fact::Completed(Box::new(done)), Fact::Feedback(Box::new(Feedback::new(action)))];
        for (minute, fact) in facts.into_iter().enumerate() {
            let known_at = at((10 * i + minute) as i64);
            history.apply(&[Record::new(event.clone(), known_at, fact).unwrap()]);
        }
    }
    history
}

fn service() -> PredictionService {
    let clock = ManualClock::at("2025-03-01T10:00:00Z".parse().unwrap());
    PredictionService::new(Arc::new(history()), FeatureEngineer::default(), Arc::new(clock))
}

fn names(tasks: &[NearestTask]) -> Vec<&str> {
    tasks.iter().map(|task| task.task_id.as_str()).collect()
}

#[test]
fn similar_tasks_come_with_their_outcomes() {
    let new_task = task("new", "A login page with a password for clients");
    let found = service().similar_tasks(&new_task, 10).unwrap();
    let mut similar = names(&found.tasks);
    similar.sort_unstable();
    assert_eq!(similar, ["login-1", "login-2", "login-3"]);
    assert_eq!(found.text, "3 past tasks are similar: 2 of their 3 generations approved unmodified");
    assert!(found.tasks.is_sorted_by(|a, b| a.similarity >= b.similarity));
    assert!(found.tasks.iter().all(|t| t.outcomes.n == 1.0 && (t.seconds.unwrap() - 60.0).abs() < 1e-3));
    assert_eq!(service().similar_tasks(&new_task, 1).unwrap().tasks.len(), 1);
}

#[test]
fn a_task_is_not_similar_to_itself_and_no_match_is_reported() {
    let again = task("login-1", PAST[0].1);
    let found = service().similar_tasks(&again, 10).unwrap();
    assert!(!names(&found.tasks).contains(&"login-1"), "{found:?}");
    for other in ["", "xylophone quartz"] {
        let found = service().similar_tasks(&task("new", other), 10).unwrap();
        assert!(found.tasks.is_empty());
        assert_eq!(found.text, "no past task is similar");
    }
    let mut bad = task("new", "A login page");
    bad.temperature = Some(f64::NAN);
    assert_eq!(service().similar_tasks(&bad, 3).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn similar_tasks_are_features_and_explanations_of_a_prediction() {
    let new_task = task("new", "A login page with a password for clients");
    let row = service().features(&new_task).unwrap();
    let at = |name| row.values[FEATURES.iter().position(|feature| feature.name == name).unwrap()];
    assert_eq!(at("nearest_tasks_outcomes"), 3.0);
    assert!(at("nearest_task_similarity") > 0.3);
    assert!((at("nearest_tasks_avg_time") - 61_f32.ln()).abs() < 1e-4);
    // Two of three succeeded here, one of two elsewhere in the past.
    assert!(at("nearest_tasks_success_rate") > at("similar_tasks_success_rate"));
    assert!(at("nearest_tasks_avg_quality").is_nan()); // no quality score was given
    let explained = service().predict_success(&new_task).unwrap();
    assert_eq!(explained.similar_tasks.unwrap(), service().similar_tasks(&new_task, 10).unwrap());
    assert!(service().without_explanations().predict_success(&new_task).unwrap().similar_tasks.is_none());
}

/// Embeds like a host's model that knows that signing in is logging in.
#[derive(Debug)]
struct Meaning;

impl Embedder for Meaning {
    fn embed(&self, description: &str) -> Result<Vec<f32>> {
        let about = |words: &[&str]| f32::from(words.iter().any(|w| description.to_lowercase().contains(w)));
        match description {
            "" => Err(Error::new(ErrorKind::InvalidInput, "nothing to embed")),
            _ => Ok(vec![about(&["login", "sign in"]), about(&["orders"]), 0.01]),
        }
    }
}

#[test]
fn custom_embeddings_find_tasks_without_common_words() {
    let tasks = Arc::new(EmbeddedTasks::new(Arc::new(Meaning)));
    for (i, (id, description, _)) in PAST.iter().enumerate() {
        tasks.insert(&TaskId::new(*id).unwrap(), i as i64, description).unwrap();
    }
    let new_task = task("new", "Sign in with passkeys");
    assert!(service().similar_tasks(&new_task, 3).unwrap().tasks.is_empty());
    let service = service().with_embedded_tasks(tasks);
    let found = service.similar_tasks(&new_task, 3).unwrap();
    assert_eq!(names(&found.tasks), ["login-1", "login-2", "login-3"]);
    assert_eq!(found.text, "3 past tasks are similar: 2 of their 3 generations approved unmodified");
    let error = service.similar_tasks(&task("new", ""), 3).unwrap_err();
    assert!(format!("{error:#}").contains("nothing to embed"));
}

#[derive(Debug)]
struct Spanish;

impl Locale for Spanish {
    fn sentence(&self, reason: &Attribution) -> String {
        English.sentence(reason)
    }

    fn topic(&self, topic: Topic) -> String {
        English.topic(topic)
    }

    fn similar(&self, tasks: &[NearestTask]) -> String {
        format!("{} tareas parecidas", tasks.len())
    }
}

#[test]
fn similar_tasks_are_worded_by_the_locale() {
    let service = service().with_locale(Arc::new(Spanish));
    let found = service.similar_tasks(&task("new", "A login page with a password"), 2).unwrap();
    assert_eq!(found.text, "2 tareas parecidas");
}
