//! Predictions that the router asks for.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

#[cfg(test)]
use super::PredictionService;
use crate::ErrorKind;
use crate::clock::Clock;
use crate::common::world::store_of;
use crate::dataset::Target;
use crate::event::{TaskContext, TaskId};
use crate::features::FeatureEngineer;
use crate::history::SharedHistory;
use crate::models::{Predictor, SuccessTrainer, Trainer};
use crate::registry::{MemoryRegistry, ModelRegistry, NewVersion, envelope};
use crate::training::replay;
use futures_executor::block_on;
use std::sync::Arc;

/// Reading the task once changes nothing.
#[test]
fn candidates_of_one_task_are_predicted_as_each_alone() {
    let (store, clock) = store_of(12, 60.0, 1);
    let (engineer, registry) = (FeatureEngineer::default(), MemoryRegistry::new());
    let data = block_on(replay(store.as_ref(), &engineer, Target::Success, clock.now(), 10_000)).unwrap();
    let model = SuccessTrainer::default().fit(&data).unwrap();
    let sealed = envelope::seal("success", &model.to_bytes().unwrap()).unwrap();
    block_on(registry.register(NewVersion::new("success", sealed))).unwrap();
    block_on(registry.promote("success", 1, None)).unwrap();
    let history = Arc::new(block_on(SharedHistory::open(store.as_ref())).unwrap());
    let service = PredictionService::new(history, engineer, Arc::new(clock));
    block_on(service.reload(&registry)).unwrap();
    let task = TaskContext::new(TaskId::new("TASK-1").unwrap());
    let candidate = |llm: &str, agent: &str| {
        let mut candidate = task.clone();
        candidate.task_description = "Add an endpoint with JWT authentication.\n- It must be quick.".into();
        (candidate.model_used, candidate.agent_type) = (Some(llm.into()), Some(agent.into()));
        candidate
    };
    let candidates = [
        candidate("claude-sonnet-4.5", "backend"),
        candidate("gpt-4.1-mini", "frontend"),
        candidate("new\0one", "backend"),
    ];
    let text = service.read(&candidates[0]);
    let (together, quick) =
        (service.predict_candidates(&candidates, &text).unwrap(), service.without_explanations());
    for (candidate, found) in candidates.iter().zip(&together) {
        let alone = quick.predict_all(candidate).unwrap();
        assert_eq!((&found.success, &found.time), (&alone.success, &alone.time));
        assert_eq!(found.success.model_version, 1);
    }
    assert_ne!(together[0].success.success_probability, together[1].success.success_probability);
    assert!(service.predict_candidates(&[], &text).unwrap().is_empty());
    let error = service
        .predict_candidates(&[candidates[0].clone(), TaskContext::new(TaskId::new("TASK-2").unwrap())], &text)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
