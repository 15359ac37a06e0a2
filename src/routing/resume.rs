//! A router that takes up where an earlier one ended, from the store alone.

use super::logged::generations;
use super::options::RouterOptions;
use super::policies::Policy;
use super::router::Router;
use crate::error::Result;
use crate::event::GenerationEvent;
use crate::store::EventStore;
use chrono::{DateTime, Utc};

impl Router {
    /// A router that has learned all that `store` holds, in the order in which it became known: what a
    /// host calls at its start, so that no outcome is lost and none counts twice. Takes about as long
    /// as learning did, a fraction of a millisecond an outcome; with very many,
    /// [`Router::save`] and [`Router::restore`] are quicker.
    ///
    /// Not in the store, and so begun anew: families that a host gave to its LLMs, until they are given
    /// again.
    ///
    /// # Errors
    /// Those of [`Router::new`] and of reading the store.
    pub async fn open(
        policy: Box<dyn Policy>,
        options: RouterOptions,
        store: &dyn EventStore,
    ) -> Result<Self> {
        let mut router = Self::new(policy, options)?;
        let events = generations(store).await?;
        let mut news: Vec<_> = events.iter().flat_map(news_of).collect();
        // Stable: of one moment, what ended comes before what was judged.
        news.sort_by_key(|(at, ..)| *at);
        for (at, is_judged, event) in news {
            if is_judged {
                router.judged(event);
            } else if let Some(done) = &event.completion {
                router.completed(&event.started.value.context, &done.value, at);
            }
        }
        let decisions = events.iter().filter_map(|event| event.started.value.decision.as_ref());
        decisions.for_each(|decision| router.drew(decision));
        Ok(router)
    }
}

/// When a generation ended and when it was judged last, which may have come with its end.
fn news_of(event: &GenerationEvent) -> impl Iterator<Item = (DateTime<Utc>, bool, &GenerationEvent)> {
    let ended = event.completion.as_ref().map(|done| done.known_at);
    let judged = event.feedback.iter().map(|said| said.known_at).max().or(ended);
    ended.map(|at| (at, false, event)).into_iter().chain(judged.map(|at| (at, true, event)))
}
