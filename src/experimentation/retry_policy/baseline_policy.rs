//! Fixed rules.

use super::action::{RetryAction, RetryPolicy};
use super::state::RetryState;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A fixed action after each failed attempt, whatever the state; after the last one it stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct BaselinePolicy {
    steps: Vec<RetryAction>,
    explore: f64,
}

impl BaselinePolicy {
    /// Creates a rule of these actions after the first, second … failed attempt.
    ///
    /// ```
    /// use devmatrix_ml::experimentation::retry_policy::{RetryAction, RetryState, RetryPolicy, BaselinePolicy};
    /// let rule = BaselinePolicy::new([RetryAction::Retry, RetryAction::SwitchModel])?;
    /// let mut state = RetryState::default();
    /// state.tries = 2;
    /// assert_eq!(rule.propensities(&state), [0.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for more than 64 actions.
    pub fn new(steps: impl IntoIterator<Item = RetryAction>) -> Result<Self> {
        Self::try_from(Raw { steps: steps.into_iter().collect(), explore: 0.0 })
    }

    /// Creates a rule that retries until a task has had `tries` attempts.
    ///
    /// # Errors
    /// `InvalidInput` where these are not 1 to 65.
    pub fn retry_up_to(tries: u32) -> Result<Self> {
        match tries {
            0 => Err(Error::invalid("a retry rule of 0 attempts: give at least 1")),
            _ => Self::new((1..tries).map(|_| RetryAction::Retry)),
        }
    }

    /// Sets the share of actions that are drawn evenly from all four, so that there is something to learn from; after
    /// the last action it stops as before.
    ///
    /// # Errors
    /// `InvalidInput` where the share is not 0 to 1.
    pub fn exploring(self, share: f64) -> Result<Self> {
        Self::try_from(Raw { steps: self.steps, explore: share })
    }
}

impl RetryPolicy for BaselinePolicy {
    fn name(&self) -> String {
        match self.explore {
            0.0 => "retry rule 1".to_owned(),
            share => format!("retry rule 1, exploring {share}"),
        }
    }

    fn propensities(&self, state: &RetryState) -> [f64; 4] {
        let mut propensities = [0.0; 4];
        match self.steps.get((state.tries as usize).saturating_sub(1)) {
            Some(step) => {
                propensities = [self.explore / 4.0; 4];
                // Written so that the four add up to 1 up to rounding.
                propensities[step.index()] = 1.0 - 0.75 * self.explore;
            }
            None => propensities[RetryAction::Stop.index()] = 1.0,
        }
        propensities
    }

    fn reason(&self, state: &RetryState, action: RetryAction) -> String {
        let tries = state.tries;
        match self.steps.get((tries as usize).saturating_sub(1)) {
            Some(planned) if *planned == action => {
                format!("{action}: the rule after {tries} failed attempts")
            }
            Some(planned) => format!("{action}, to explore; the rule is {planned}"),
            None => format!("{action}: the rule ends after {} actions", self.steps.len()),
        }
    }
}

/// A rule as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    steps: Vec<RetryAction>,
    #[serde(default)]
    explore: f64,
}

impl TryFrom<Raw> for BaselinePolicy {
    type Error = Error;
    fn try_from(Raw { steps, explore }: Raw) -> Result<Self> {
        if steps.len() > super::trajectory::MOST_STEPS {
            return Err(Error::invalid(format!(
                "a retry rule of {} actions, expected at most 64",
                steps.len()
            )));
        }
        if !(0.0..=1.0).contains(&explore) {
            return Err(Error::invalid(format!("the retry rule explores {explore}, expected 0 to 1")));
        }
        Ok(Self { steps, explore })
    }
}

impl From<BaselinePolicy> for Raw {
    fn from(BaselinePolicy { steps, explore }: BaselinePolicy) -> Self {
        Self { steps, explore }
    }
}
