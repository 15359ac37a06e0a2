//! The state of a router beside its policy's, as it is written and read.

use super::budget::Budget;
use super::cost_model::CostModel;
use super::guard::Guard;
use super::leaderboard::Records;
use super::router::Router;
use super::session_cache::SessionCaches;
use super::sessions::Sessions;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::envelope;
use crate::verify::Verify;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind of its bytes.
const KIND: &str = "router-3";
/// Larger bytes are refused.
const MAX_BYTES: usize = 1 << 28;
/// No counter gets there.
pub(super) const MOST_COUNTED: u64 = 1 << 53;
/// The range of prices of a thousand tokens.
const PRICES: std::ops::RangeInclusive<f64> = 0.0..=1e6;

/// The state beside the policy's own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) decisions: u64,
    #[serde(alias = "meter")]
    pub(super) cost_model: CostModel,
    pub(super) records: Records,
    /// Families that the host assigned, by LLM.
    pub(super) families: BTreeMap<String, String>,
    pub(super) sessions: Sessions,
    pub(super) budget: Budget,
}

/// Prices and warm caches, written behind the rest: earlier states have none.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct CostState {
    /// US dollars for a thousand tokens that candidates gave, by LLM.
    pub(super) usd_per_1k_tokens: BTreeMap<String, f64>,
    pub(super) caches: SessionCaches,
    /// Generations of which neither cost nor tokens with a price were known.
    pub(super) unpriced: u64,
}

impl State {
    pub(super) fn note_family(&mut self, llm: &str, family: &str) {
        if self.families.get(llm).is_none_or(|known| known != family) {
            self.families.insert(llm.to_owned(), family.to_owned());
        }
    }
}

impl Verify for State {
    fn verify(&self) -> Result<()> {
        sound("the number of decisions", self.decisions <= MOST_COUNTED)?;
        self.cost_model.verify()?;
        self.records.verify()?;
        self.sessions.verify()?;
        self.budget.verify()
    }
}

impl Verify for CostState {
    fn verify(&self) -> Result<()> {
        sound("a price", self.usd_per_1k_tokens.values().all(|price| PRICES.contains(price)))?;
        sound("the number of unpriced generations", self.unpriced <= MOST_COUNTED)?;
        self.caches.verify()
    }
}

/// Refuses a part of a state that no router wrote.
pub(super) fn sound(what: &str, is_sound: bool) -> Result<()> {
    if is_sound { Ok(()) } else { Err(Error::corrupt(format!("the router's state: {what} is out of range"))) }
}

impl Router {
    /// Returns the state as bytes: policy, cost model, leaderboard, sessions and budget.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    pub fn save(&self) -> Result<Vec<u8>> {
        let saved =
            Saved { policy: self.policy.name().to_owned(), learned: self.policy.save()?, state: &self.state };
        let cannot = |e| Error::internal("the router cannot be written").with_source(e);
        let payload = postcard::to_stdvec(&saved).map_err(cannot)?;
        let payload = postcard::to_extend(&self.costs, payload).map_err(cannot)?;
        let payload = postcard::to_extend(&self.guard, payload).map_err(cannot)?;
        envelope::seal(KIND, &payload)
    }

    /// Restores the state that [`Router::save`] returned.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, or holds a number that no router writes; `Incompatible` when another policy wrote it.
    /// Nothing is changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let payload = envelope::open(bytes, KIND, MAX_BYTES).map_err(|e| match e.kind() {
            ErrorKind::Incompatible => e.context(
                "the router's state is of another release: open the router from its store to learn anew",
            ),
            _ => e,
        })?;
        let damaged = |e| Error::corrupt("the router's state cannot be read").with_source(e);
        let (saved, rest): (Saved<State>, _) = postcard::take_from_bytes(payload).map_err(damaged)?;
        let (costs, rest): (CostState, _) = if rest.is_empty() {
            (CostState::default(), rest)
        } else {
            postcard::take_from_bytes(rest).map_err(damaged)?
        };
        let guard: Guard =
            if rest.is_empty() { Guard::default() } else { postcard::from_bytes(rest).map_err(damaged)? };
        if saved.policy != self.policy.name() {
            return Err(Error::incompatible(format!(
                "the router's state is that of {:?}, its policy is {:?}: open the router from its store to \
                 learn anew",
                saved.policy,
                self.policy.name()
            )));
        }
        saved.state.verify()?;
        costs.verify()?;
        guard.verify()?;
        self.policy.restore(&saved.learned)?;
        (self.state, self.costs, self.guard) = (saved.state, costs, guard);
        Ok(())
    }
}

/// A router as it is stored.
#[derive(Serialize, Deserialize)]
struct Saved<S> {
    policy: String,
    #[serde(alias = "learn\u{74}")]
    learned: Vec<u8>,
    state: S,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Completion, SessionId, TaskContext, TaskId};
    use crate::routing::{Candidate, Request, RouterOptions, Thompson};
    use chrono::{DateTime, Utc};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    fn now() -> DateTime<Utc> {
        "2025-03-01T10:00:00Z".parse().unwrap()
    }

    fn task() -> TaskContext {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        (task.task_type, task.model_used) = (Some("fix".into()), Some("a".into()));
        task.session_id = Some(SessionId::new("s").unwrap());
        task
    }

    fn lived() -> Router {
        let mut options = RouterOptions::default();
        options.sticky_sessions = true;
        let mut router = Router::new(Box::new(Thompson::default()), options).unwrap();
        let candidates = ["a", "b"].map(|llm| Candidate::by_llm(llm).with_price(0.5));
        router.choose(&Request::new(&task(), &candidates, now())).unwrap();
        let mut done = Completion::default();
        (done.cost_usd, done.generation_time_seconds, done.tokens_used) = (Some(0.1), Some(9.0), Some(900));
        done.input_tokens = Some(500);
        router.completed(&task(), &done, now());
        router.state.records.learn(&task(), true);
        router
    }

    /// The bytes of a router whose state and costs went through JSON, in which `change` was made.
    fn forged(change: impl Fn(&mut Value, &mut Value)) -> Vec<u8> {
        let router = lived();
        let State { decisions, cost_model, sessions, budget, records, families } = router.state;
        let mut state = json!({ "decisions": decisions, "cost_model": cost_model, "sessions": sessions, "budget": budget });
        let mut costs = json!(router.costs);
        change(&mut state, &mut costs);
        let state = State {
            decisions: part(&state["decisions"]),
            cost_model: part(&state["cost_model"]),
            sessions: part(&state["sessions"]),
            budget: part(&state["budget"]),
            records,
            families,
        };
        Router { state, costs: part(&costs), ..router }.save().unwrap()
    }

    fn part<T: DeserializeOwned>(json: &Value) -> T {
        serde_json::from_value(json.clone()).unwrap()
    }

    #[test]
    fn a_state_that_no_router_writes_is_refused_and_changes_nothing() {
        type Change = fn(&mut Value, &mut Value);
        assert!(lived().restore(&forged(|_, _| ())).is_ok());
        let changes: [(&str, Change); 15] = [
            ("costs below 0", |s, _| each(&mut s["cost_model"]["groups"], &["cost", "sum"], -1.0)),
            ("endless seconds", |s, _| each(&mut s["cost_model"]["groups"], &["seconds", "sum"], 1e300)),
            ("negative counts", |s, _| each(&mut s["cost_model"]["groups"], &["tokens", "n"], -5.0)),
            ("a price below 0", |_, c| each(&mut c["usd_per_1k_tokens"], &[], -1.0)),
            ("a price too high", |_, c| each(&mut c["usd_per_1k_tokens"], &[], 1e9)),
            ("tokens below 0", |_, c| each(&mut c["caches"]["warm"], &["tokens"], -1.0)),
            ("unpriced", |_, c| c["unpriced"] = json!(u64::MAX)),
            ("decisions", |s, _| s["decisions"] = json!(u64::MAX)),
            ("spent", |s, _| each(&mut s["budget"]["days"], &["spent"], -1e9)),
            ("reserved", |s, _| {
                let open = json!([{ "key": 1, "at": 0, "usd": -1.0, "expected": 0.0 }]);
                each(&mut s["budget"]["days"], &["open"], open);
            }),
            ("tightness", |s, _| s["budget"]["tightness"] = json!(1e9)),
            ("day", |s, _| {
                s["budget"]["days"] =
                    json!({ "-9223372036854775808": { "spent": 0.0, "open": [], "changed": 0 } });
            }),
            ("propensities", |s, _| each(&mut s["sessions"]["drawn"], &["propensities"], [0.5, -0.5])),
            ("chosen", |s, _| each(&mut s["sessions"]["drawn"], &["chosen"], 7)),
            ("order", |s, _| s["sessions"]["order"] = json!([])),
        ];
        for (what, change) in changes {
            let mut router = lived();
            let before = router.save().unwrap();
            let error = router.restore(&forged(change)).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:#}");
            assert_eq!(router.save().unwrap(), before, "{what}");
        }
    }

    fn each(map: &mut Value, path: &[&str], value: impl Serialize) {
        let map = map.as_object_mut().unwrap();
        assert!(!map.is_empty());
        for part in map.values_mut() {
            let place = path.iter().fold(part, |part, key| &mut part[*key]);
            *place = json!(value);
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut router = lived();
            router.costs.usd_per_1k_tokens.insert("a".into(), bad);
            let bytes = router.save().unwrap();
            assert_eq!(lived().restore(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_request_that_is_refused_leaves_no_price_behind() {
        let mut router = lived();
        let before = router.save().unwrap();
        for price in [f64::NAN, -1.0, 1e300] {
            let candidates = [Candidate::by_llm("a").with_price(price)];
            assert!(router.choose(&Request::new(&task(), &candidates, now())).is_err());
            assert_eq!(router.save().unwrap(), before);
        }
    }
}
