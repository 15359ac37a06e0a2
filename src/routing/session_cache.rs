//! What leaving an LLM costs whose cache holds the session.

use super::state::sound;
use crate::error::Result;
use crate::event::{Completion, Prices, TaskContext};
use crate::verify::Verify;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The caches of the newest sessions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SessionCaches {
    warm: BTreeMap<String, Warm>,
    order: VecDeque<String>,
}

/// The LLM of a session's last generation, and the tokens that its cache then held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Warm {
    llm: String,
    tokens: f64,
    /// Microseconds since 1970.
    at: i64,
}

/// Sessions at most, a megabyte.
const MOST_SESSIONS: usize = 10_000;

/// A cache is cold so long after its last use: the providers' usual five minutes.
const WARM: TimeDelta = TimeDelta::minutes(5);

impl SessionCaches {
    /// Notes that a generation of a session has ended with what it had read.
    pub(super) fn note(&mut self, task: &TaskContext, done: &Completion, now: DateTime<Utc>) {
        let (Some(session), Some(llm)) = (&task.session_id, &task.model_used) else { return };
        let read = [done.input_tokens, done.cache_read_tokens, done.cache_write_tokens];
        if read.iter().all(Option::is_none) {
            return;
        }
        let tokens = read.iter().flatten().map(|tokens| *tokens as f64).sum();
        let warm = Warm { llm: llm.clone(), tokens, at: now.timestamp_micros() };
        let session = session.as_str().to_owned();
        if self.warm.insert(session.clone(), warm).is_none() {
            self.order.push_back(session);
        }
        if self.order.len() > MOST_SESSIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.warm.remove(&oldest);
        }
    }

    /// Returns the US dollars that reading the session anew costs more than reading it from the cache, where `task` would go
    /// to another LLM than the last of its session; 0 where the cache is cold or a price is not known.
    pub(super) fn switch_usd(&self, task: &TaskContext, prices: &Prices, now: DateTime<Utc>) -> f64 {
        let (Some(session), Some(llm)) = (&task.session_id, &task.model_used) else { return 0.0 };
        let Some(warm) = self.warm.get(session.as_str()).filter(|warm| warm.llm != *llm) else { return 0.0 };
        let age = now.timestamp_micros().saturating_sub(warm.at);
        let (Some(new), true) =
            (prices.on(llm, now), (0..=WARM.num_microseconds().unwrap_or(0)).contains(&age))
        else {
            return 0.0;
        };
        let [_, _, read, write] = new.of_parts();
        warm.tokens * (write - read).max(0.0) / 1e6
    }
}

impl Verify for SessionCaches {
    fn verify(&self) -> Result<()> {
        let known = self.order.iter().filter(|session| self.warm.contains_key(*session)).count();
        let sizes = [self.order.len(), self.warm.len()];
        sound("the order of warm sessions", sizes == [known; 2] && known <= MOST_SESSIONS)?;
        sound(
            "the tokens of a warm session",
            self.warm.values().all(|warm| (0.0..=f64::MAX).contains(&warm.tokens)),
        )
    }
}
