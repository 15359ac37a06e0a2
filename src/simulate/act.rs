//! Counterfactual outcomes of a simulated task.

use super::outcome::{self, SearchBudget};
use super::random::{Draw, Purpose};
use super::{Generation, Simulator};
use crate::event::{Decision, TaskContext};

/// True expected outcomes of a generation before it starts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Expected {
    /// Probability of success.
    pub success: f64,
    /// Expected cost in US dollars.
    pub cost_usd: f64,
    /// Expected seconds.
    pub seconds: f64,
    /// Expected quality, 0 to 10.
    pub(crate) quality: f64,
}

impl Simulator {
    /// Returns the true expected outcomes of `generation` under `context`; it consumes no random draws.
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

    /// Returns the counterfactual outcome of `generation` under `context`: the same task, time and random draws.
    /// Later events of the world do not depend on it.
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
