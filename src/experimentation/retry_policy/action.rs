//! The steps there are, and who chooses among them.

use super::situation::Situation;
use crate::decide::draw;
use crate::error::Result;
use crate::event::Decision;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What can be done after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
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
/// use devmatrix_ml::decide::episodes::{NextStep, Situation, StepPolicy};
/// /// Asks at once whatever the agent itself found poor.
/// #[derive(Debug)]
/// struct AskEarly;
/// impl StepPolicy for AskEarly {
///     fn name(&self) -> String {
///         "ask early 1".into()
///     }
///     fn odds(&self, situation: &Situation) -> [f64; 4] {
///         if situation.self_review.is_some_and(|score| score < 5.0) { [0.0, 0.0, 1.0, 0.0] } else { [1.0, 0.0, 0.0, 0.0] }
///     }
///     fn reason(&self, _: &Situation, step: NextStep) -> String {
///         format!("{step}, by the agent's own score")
///     }
/// }
/// assert_eq!(AskEarly.odds(&Situation::default())[0], 1.0);
/// ```
pub trait StepPolicy: fmt::Debug + Send + Sync {
    /// Its name and version, as decisions record it.
    fn name(&self) -> String;

    /// The odds of each step in the order of [`NextStep::ALL`], 0 to 1, together 1.
    fn odds(&self, situation: &Situation) -> [f64; 4];

    /// Why `step`, in a sentence.
    fn reason(&self, situation: &Situation, step: NextStep) -> String;
}

/// Draws the next step from the odds of `policy`; `at` is the host's random number from 0 to below 1.
/// The decision is to be stored with the judgement of the failed try.
///
/// ```
/// use devmatrix_ml::decide::episodes::{NextStep, Situation, StepRule, choose_step};
/// use devmatrix_ml::event::{Feedback, UserAction};
/// let rule = StepRule::retry_up_to(4)?.exploring(0.2)?;
/// let (step, decision) = choose_step(&rule, &Situation::default(), 0.5)?;
/// assert_eq!((step, decision.propensity), (NextStep::Retry, 0.85));
/// let mut feedback = Feedback::new(UserAction::Reject);
/// feedback.next_step = Some(decision);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` when the policy's odds do not add up to 1 or `at` is out of range.
pub fn choose_step(policy: &dyn StepPolicy, situation: &Situation, at: f64) -> Result<(NextStep, Decision)> {
    let odds = policy.odds(situation);
    let place = draw(&odds, at)?;
    let step = NextStep::ALL[place];
    let names = NextStep::ALL.iter().map(ToString::to_string).collect();
    let mut decision = Decision::drawn(policy.name(), names, odds.to_vec(), place)?;
    decision.reason = Some(policy.reason(situation, step));
    Ok((step, decision))
}

impl NextStep {
    /// All steps; odds are in this order.
    pub const ALL: [Self; 4] = [Self::Retry, Self::SwitchModel, Self::AskHuman, Self::Stop];

    /// Its place in [`NextStep::ALL`].
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
impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
