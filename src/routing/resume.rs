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
    /// Not in the store, and so begun anew: families that a host gave to LLMs that were never chosen, until
    /// they are given again.
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
        // Stable: of one moment, what started comes before what ended, and that before what was judged.
        news.sort_by_key(|(at, ..)| *at);
        for (at, news, event) in news {
            let started = &event.started.value;
            match (news, &started.decision, &event.completion) {
                (News::Started, Some(decision), _) => {
                    router.drew(decision, started.context.model_used.as_deref(), at);
                }
                (News::Ended, _, Some(done)) => router.completed(&started.context, &done.value, at),
                (News::Judged, ..) => drop(router.judged(event)),
                _ => {}
            }
        }
        Ok(router)
    }
}

/// What became known of a generation.
#[derive(Debug, Clone, Copy)]
enum News {
    Started,
    Ended,
    Judged,
}

/// When a generation started, ended and was judged last, which may have come with its end.
fn news_of(event: &GenerationEvent) -> impl Iterator<Item = (DateTime<Utc>, News, &GenerationEvent)> {
    let ended = event.completion.as_ref().map(|done| done.known_at);
    let judged = event.feedback.iter().map(|said| said.known_at).max().or(ended);
    let news = [(Some(event.started.known_at), News::Started), (ended, News::Ended), (judged, News::Judged)];
    news.into_iter().filter_map(move |(at, news)| Some((at?, news, event)))
}
