//! The steps there are, and who chooses among them.

use super::state::RetryState;
use crate::error::Result;
use crate::event::Decision;
use crate::routing::draw;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What can be done after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAction {
    /// Try again with the same LLM.
    Retry,
    /// Try again with another LLM; which one is routing's choice.
    SwitchModel,
    /// Ask the human what is missing; another try may follow.
    AskHuman,
    /// Leave it as it is.
    Stop,
}

/// A way of choosing the next step that can always say its odds.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::{RetryAction, RetryState, RetryPolicy};
/// /// Asks at once whatever the agent itself found poor.
/// #[derive(Debug)]
/// struct AskEarly;
/// impl RetryPolicy for AskEarly {
///     fn name(&self) -> String {
///         "ask early 1".into()
///     }
///     fn propensities(&self, state: &RetryState) -> [f64; 4] {
///         if state.self_review.is_some_and(|score| score < 5.0) { [0.0, 0.0, 1.0, 0.0] } else { [1.0, 0.0, 0.0, 0.0] }
///     }
///     fn reason(&self, _: &RetryState, step: RetryAction) -> String {
///         format!("{step}, by the agent's own score")
///     }
/// }
/// assert_eq!(AskEarly.propensities(&RetryState::default())[0], 1.0);
/// ```
pub trait RetryPolicy: fmt::Debug + Send + Sync {
    /// Its name and version, as decisions record it.
    fn name(&self) -> String;

    /// The odds of each step in the order of [`RetryAction::ALL`], 0 to 1, together 1.
    fn propensities(&self, state: &RetryState) -> [f64; 4];

    /// Why `step`, in a sentence.
    fn reason(&self, state: &RetryState, step: RetryAction) -> String;
}

/// Draws the next step from the odds of `policy`; `at` is the host's random number from 0 to below 1.
/// The decision is to be stored with the judgement of the failed try.
///
/// ```
/// use devmatrix_ml::experimentation::retry_policy::{RetryAction, RetryState, BaselinePolicy, choose_action};
/// use devmatrix_ml::event::{Feedback, UserAction};
/// let rule = BaselinePolicy::retry_up_to(4)?.exploring(0.2)?;
/// let (step, decision) = choose_action(&rule, &RetryState::default(), 0.5)?;
/// assert_eq!((step, decision.propensity), (RetryAction::Retry, 0.85));
/// let mut feedback = Feedback::new(UserAction::Reject);
/// feedback.next_step = Some(decision);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` when the policy's odds do not add up to 1 or `at` is out of range.
pub fn choose_action(
    policy: &dyn RetryPolicy,
    state: &RetryState,
    at: f64,
) -> Result<(RetryAction, Decision)> {
    let propensities = policy.propensities(state);
    let place = draw(&propensities, at)?;
    let step = RetryAction::ALL[place];
    let names = RetryAction::ALL.iter().map(ToString::to_string).collect();
    let mut decision = Decision::drawn(policy.name(), names, propensities.to_vec(), place)?;
    decision.reason = Some(policy.reason(state, step));
    Ok((step, decision))
}

impl RetryAction {
    /// All steps; odds are in this order.
    pub const ALL: [Self; 4] = [Self::Retry, Self::SwitchModel, Self::AskHuman, Self::Stop];

    /// Its place in [`RetryAction::ALL`].
    pub(super) fn place(self) -> usize {
        self as usize
    }

    /// The step of that name in decisions.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
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
