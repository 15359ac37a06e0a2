//! What is remembered of generations between their start and their judgement.

use crate::event::{EventId, Started};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap, HashSet};

/// State of a collector between calls.
#[derive(Debug, Default)]
pub(super) struct State {
    /// LLMs whose generations could not be priced, each said once.
    pub(super) unpriced: HashSet<Option<String>>,
    /// Judged generations whose features are not written yet.
    pub(super) buffer: Vec<EventId>,
    /// Generations whose features were written before they ended.
    unended: HashSet<EventId>,
    /// Since when the oldest of them waits.
    pub(super) waiting_since: Option<DateTime<Utc>>,
    /// Generations in flight, by the moment of their start.
    in_flight: BTreeMap<DateTime<Utc>, InFlight>,
    started: HashMap<EventId, DateTime<Utc>>,
}

/// A generation that has started.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: EventId,
    pub(super) features: Vec<f32>,
    pub(super) language: Option<String>,
    pub(super) priced: PricedBy,
}

/// By what the tokens of a generation are priced.
#[derive(Debug, Clone, Default)]
pub(super) struct PricedBy {
    pub(super) llm: Option<String>,
    /// US dollars for a thousand tokens, as the chosen candidate has it.
    pub(super) usd_per_1k_tokens: Option<f64>,
}

impl PricedBy {
    pub(super) fn of(started: &Started) -> Self {
        let usd_per_1k_tokens = started.decision.as_ref().and_then(|decision| decision.usd_per_1k_tokens);
        Self { llm: started.context.model_used.clone(), usd_per_1k_tokens }
    }
}

impl State {
    /// Remembers a start; of more than `most`, the oldest is forgotten.
    pub(super) fn remember(&mut self, at: DateTime<Utc>, generation: InFlight, most: usize) {
        self.started.insert(generation.id.clone(), at);
        self.in_flight.insert(at, generation);
        while self.in_flight.len() > most {
            if let Some((_, oldest)) = self.in_flight.pop_first() {
                self.started.remove(&oldest.id);
            }
        }
    }

    pub(super) fn get(&self, id: &EventId) -> Option<&InFlight> {
        self.in_flight.get(self.started.get(id)?)
    }

    /// Remembers that features were written before the generation ended; of more than `most`, none: the store knows them.
    pub(super) fn note_unended(&mut self, id: &EventId, most: usize) {
        if self.unended.len() >= most {
            self.unended.clear();
        }
        self.unended.insert(id.clone());
    }

    /// Returns whether features were written before the generation ended.
    pub(super) fn was_unended(&mut self, id: &EventId) -> bool {
        self.unended.remove(id)
    }

    pub(super) fn forget(&mut self, id: &EventId) {
        if let Some(started) = self.started.remove(id) {
            self.in_flight.remove(&started);
        }
    }
}
