//! Features beside events: written some at a time, made again where a process died.

use super::DataCollector;
use super::telemetry;
use crate::clock::Clock;
use crate::dataset::DatasetBuilder;
use crate::error::Result;
use crate::event::FeatureVector;
use crate::event::{EventId, GenerationEvent, Record};
use crate::features::FeatureEngineer;
use crate::store::{EventStore, EventStoreExt, ScanOrder};
use std::collections::HashSet;

impl DataCollector {
    /// Writes the feature vectors that wait; how many were written.
    ///
    /// # Errors
    /// Those of the store; what waits goes on waiting.
    pub async fn flush(&self) -> Result<usize> {
        let ids = {
            let mut state = self.state();
            state.waiting_since = None;
            std::mem::take(&mut state.buffer)
        };
        let written = self.write_features(&ids).await;
        if let Ok(written) = &written {
            telemetry::vectors_written(*written);
        } else {
            let mut state = self.state();
            state.buffer.splice(0..0, ids);
            state.waiting_since.get_or_insert(self.timeline.now());
        }
        written
    }

    /// Writes them when enough wait or the oldest has waited long enough; a host without steady
    /// traffic calls it now and then.
    ///
    /// # Errors
    /// Those of [`DataCollector::flush`].
    pub async fn flush_if_due(&self) -> Result<usize> {
        let due = {
            let state = self.state();
            let aged =
                state.waiting_since.is_some_and(|since| self.timeline.now() - since >= self.options.max_age);
            aged || state.buffer.len() >= self.options.buffer_size.max(1)
        };
        if due { self.flush().await } else { Ok(0) }
    }

    /// Makes the feature vectors of judged generations that have none, from the store; how many.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn recover(&self) -> Result<usize> {
        let mut missing = HashSet::new();
        let mut after = None;
        loop {
            let page = self.store.without_features(after.as_ref(), RECOVER_PAGE).await?;
            after = page.last().cloned();
            let full = page.len() == RECOVER_PAGE;
            missing.extend(page);
            if !full {
                break;
            }
        }
        if missing.is_empty() {
            return Ok(0);
        }
        let rows = replay_rows(self.store.as_ref(), &self.engineer, &missing).await?;
        for chunk in rows.chunks(RECOVER_PAGE) {
            let ids: Vec<_> = chunk.iter().map(|(id, _)| id.clone()).collect();
            let events = self.store.get(&ids).await?;
            let vectors =
                chunk.iter().zip(events).map(|((id, values), event)| self.vector(id, values, event.as_ref()));
            self.store.put_features(vectors.collect()).await?;
        }
        Ok(rows.len())
    }

    pub(super) async fn buffer(&self, id: &EventId) -> Result<()> {
        {
            let mut state = self.state();
            if !state.buffer.contains(id) {
                state.buffer.push(id.clone());
            }
            let now = self.timeline.now();
            state.waiting_since.get_or_insert(now);
        }
        // The feedback itself is durable: a failure here only makes its features wait.
        if let Err(error) = self.flush_if_due().await {
            tracing::warn!(error = %format_args!("{error:#}"), "feature vectors could not be written: they wait");
        }
        Ok(())
    }

    /// Writes the vectors whose features are at hand; the others are left for `recover`.
    async fn write_features(&self, ids: &[EventId]) -> Result<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        let events = self.store.get(ids).await?;
        let stored = self.store.features(ids).await?;
        let mut vectors = Vec::with_capacity(ids.len());
        for ((id, event), stored) in ids.iter().zip(events).zip(stored) {
            let made = self.state().get(id).map(|g| self.vector(id, &g.features, event.as_ref()));
            let revised = stored.map(|vector| self.revised(vector, event.as_ref()));
            vectors.extend(revised.or(made));
            if event.is_none_or(|event| event.completion.is_none()) {
                self.state().note_unended(id, self.options.max_in_flight);
            }
        }
        let written = vectors.len();
        self.store.put_features(vectors).await?;
        let mut state = self.state();
        ids.iter().for_each(|id| state.forget(id));
        Ok(written)
    }

    /// Returns a stored vector with what has become known since.
    fn revised(&self, vector: FeatureVector, event: Option<&GenerationEvent>) -> FeatureVector {
        if vector.schema != self.engineer.fingerprint() {
            return with_targets(vector, event);
        }
        let values: Vec<f32> = vector.values.iter().map(|value| value.unwrap_or(f32::NAN)).collect();
        self.vector(&vector.event_id, &values, event)
    }

    fn vector(&self, id: &EventId, values: &[f32], event: Option<&GenerationEvent>) -> FeatureVector {
        let mut values = values.to_vec();
        if let Some(completion) = event.and_then(|e| e.completion.as_ref()) {
            self.engineer.add_after(&mut values, &completion.value);
        }
        with_targets(FeatureVector::new(id.clone(), self.engineer.fingerprint(), &values), event)
    }
}

/// Vectors made again at a time.
const RECOVER_PAGE: usize = 1000;

/// The features of `wanted`, by a replay of the store.
async fn replay_rows(
    store: &dyn EventStore,
    engineer: &FeatureEngineer,
    wanted: &HashSet<EventId>,
) -> Result<Vec<(EventId, Vec<f32>)>> {
    let mut builder = DatasetBuilder::new(engineer.clone());
    let mut rows = Vec::new();
    let mut each = |record: Record| {
        builder.apply(&record);
        if let Some(example) = builder.take_last()
            && wanted.contains(&example.event_id)
        {
            rows.push((example.event_id, example.features.as_ref().clone().into_values()));
        }
        Ok(())
    };
    store.for_each(ScanOrder::Known, &mut each).await?;
    Ok(rows)
}

fn with_targets(mut vector: FeatureVector, event: Option<&GenerationEvent>) -> FeatureVector {
    let outcome = event.and_then(GenerationEvent::outcome);
    vector.target_success = outcome.as_ref().and_then(|o| o.success);
    vector.target_quality_score = outcome.and_then(|o| o.final_quality_score);
    vector.target_time_seconds =
        event.and_then(|e| e.completion.as_ref()).and_then(|c| c.value.generation_time_seconds);
    vector
}
