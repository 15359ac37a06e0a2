//! Retry actions and the policies that choose among them.

use super::state::RetryState;
use crate::error::Result;
use crate::event::Decision;
use crate::routing::draw;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An action after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAction {
    /// Try again with the same LLM.
    Retry,
    /// Try again with another LLM; the router chooses which one.
    SwitchModel,
    /// Ask the human what is missing; another attempt may follow.
    AskHuman,
    /// Stop with what there is.
    Stop,
}

/// A policy over retry actions that states its propensities.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::{RetryAction, RetryState, RetryPolicy};
/// /// Asks at once where the agent itself scored its code low.
/// #[derive(Debug)]
/// struct AskEarly;
/// impl RetryPolicy for AskEarly {
///     fn name(&self) -> String {
///         "ask early 1".into()
///     }
///     fn propensities(&self, state: &RetryState) -> [f64; 4] {
///         if state.self_review.is_some_and(|score| score < 5.0) { [0.0, 0.0, 1.0, 0.0] } else { [1.0, 0.0, 0.0, 0.0] }
///     }
///     fn reason(&self, _: &RetryState, action: RetryAction) -> String {
///         format!("{action}, by the agent's own score")
///     }
/// }
/// assert_eq!(AskEarly.propensities(&RetryState::default())[0], 1.0);
/// ```
pub trait RetryPolicy: fmt::Debug + Send + Sync {
    /// Returns its name and version, as decisions record it.
    fn name(&self) -> String;

    /// Returns the probability of each action in the order of the variants of [`RetryAction`]; they add up to 1.
    fn propensities(&self, state: &RetryState) -> [f64; 4];

    /// Returns the reason for `action`, in a sentence.
    fn reason(&self, state: &RetryState, action: RetryAction) -> String;
}

/// Draws the next action from the propensities of `policy`; `at` is the host's random number from 0 to below 1. The
/// decision is to be stored with the feedback on the failed attempt.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::{RetryAction, RetryState, BaselinePolicy, choose_action};
/// use devmatrix_ml::event::{Feedback, UserAction};
/// let rule = BaselinePolicy::retry_up_to(4)?.exploring(0.2)?;
/// let (action, decision) = choose_action(&rule, &RetryState::default(), 0.5)?;
/// assert_eq!((action, decision.propensity), (RetryAction::Retry, 0.85));
/// let mut feedback = Feedback::new(UserAction::Reject);
/// feedback.next_step = Some(decision);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` when the policy's propensities do not add up to 1 or `at` is out of range.
pub fn choose_action(
    policy: &dyn RetryPolicy,
    state: &RetryState,
    at: f64,
) -> Result<(RetryAction, Decision)> {
    let propensities = policy.propensities(state);
    let index = draw(&propensities, at)?;
    let action = RetryAction::ALL[index];
    let names = RetryAction::ALL.iter().map(ToString::to_string).collect();
    let mut decision = Decision::drawn(policy.name(), names, propensities.to_vec(), index)?;
    decision.reason = Some(policy.reason(state, action));
    Ok((action, decision))
}

impl RetryAction {
    /// All actions; propensities are in this order.
    pub(crate) const ALL: [Self; 4] = [Self::Retry, Self::SwitchModel, Self::AskHuman, Self::Stop];

    /// Returns its index in [`RetryAction::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// Returns the action of that name in decisions.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::SwitchModel => "switch_model",
            Self::AskHuman => "ask_human",
            Self::Stop => "stop",
        }
    }
}

/// The name in decisions.
impl fmt::Display for RetryAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
