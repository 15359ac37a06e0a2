//! The same task done another way.

use super::outcome::{self, SearchBudget};
use super::random::{Draw, Purpose};
use super::{Generation, Simulator};
use crate::event::{Decision, TaskContext};

/// The truth about a generation before it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Expected {
    /// The probability of success.
    pub success: f64,
    /// US dollars on average.
    pub cost_usd: f64,
    /// Seconds on average.
    pub seconds: f64,
    /// Quality on average, 0 to 10.
    pub quality: f64,
}

impl Expected {
    /// Seconds of generating until approval, were it tried in the same way until then.
    pub fn seconds_to_approval(&self) -> f64 {
        self.seconds / self.success
    }
}

impl Simulator {
    /// What to expect of `generation` had its context been `context`; it draws nothing.
    ///
    /// ```
    /// use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
    /// let mut world = Simulator::new(SimulatorOptions::default())?;
    /// let generation = world.next().unwrap();
    /// let mut cheaper = generation.context.clone();
    /// cheaper.model_used = Some("deepseek-v3".into());
    /// let [as_it_was, cheaper] = [&generation.context, &cheaper].map(|c| world.expected(&generation, c));
    /// assert!(cheaper.cost_usd <= as_it_was.cost_usd);
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    pub fn expected(&self, generation: &Generation, context: &TaskContext) -> Expected {
        let success = self.probability(generation, context);
        let effort = SearchBudget::of(context, generation.difficulty, &generation.completion);
        let (cost_usd, seconds) = effort.expected();
        Expected { success, cost_usd, seconds, quality: outcome::quality(success, generation.difficulty) }
    }

    /// `generation` as it goes when a host decides for `context` instead: the same task at the same
    /// moment, with the same luck. What comes later in the world does not hang on it.
    pub fn act(&self, generation: &Generation, context: TaskContext, decision: Decision) -> Generation {
        let number = generation.number;
        let start = context.started_at.or(generation.context.started_at).unwrap_or(self.options.start);
        let probability = self.probability(generation, &context);
        let success = Draw::new(self.options.seed, Purpose::Outcome, number).chance(probability);
        let effort = SearchBudget::of(&context, generation.difficulty, &generation.completion);
        let written = generation.completion.clone();
        let completion = effort.complete(&self.options, number, start, success, written);
        let ended = completion.completed_at.unwrap_or(start);
        let asked = completion.review.as_ref().is_some_and(|review| review.requested);
        let feedback = outcome::judge(&self.options, number, generation.difficulty, ended, (success, asked));
        Generation { context, decision, probability, completion, feedback, ..generation.clone() }
    }
}
