//! Active learning: a daily budget of label requests with known propensities, and an unbiased success rate from them.
//!
//! `cargo run --release --features simulate --example active_learning`

#[path = "common/out.rs"]
#[macro_use]
mod out;

use devmatrix_ml::Result;
use devmatrix_ml::experimentation::active_learning::{
    AcquisitionSignals, AcquisitionWeights, LabelSampler, LabelSamplerOptions,
};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use std::collections::HashMap;

fn main() -> Result<()> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.new_model_day) = (40, 80.0, Some(20));
    options.feedback_share = 1.0;

    let mut sampling = LabelSamplerOptions::default();
    (sampling.per_day, sampling.generations_per_day) = (12.0, 80.0);
    let mut weights = AcquisitionWeights::default();
    weights.novelty = 2.0; // rare agents and LLMs first
    sampling.weights = weights;
    let mut sampler = LabelSampler::new(sampling)?;

    let mut seen = HashMap::<String, u32>::new();
    let (mut requests, mut rare) = (0_u32, 0_u32);
    let (mut weighted, mut weight, mut truth, mut generations) = (0.0, 0.0, 0.0, 0.0);
    for generation in Simulator::new(options)? {
        let Some(now) = generation.context.started_at else { continue };
        let llm = generation.context.model_used.clone().unwrap_or_default();
        let labels = seen.entry(llm).or_default();
        // With a model in production: `AcquisitionSignals::of(&prediction, &features)`.
        let mut signals = AcquisitionSignals::default();
        signals.novelty = 1.0 / (1.0 + f64::from(*labels) / 10.0);
        let request = sampler.consider(&generation.event_id, &signals, now)?;
        truth += generation.probability;
        generations += 1.0;
        if request.requested
            && let Some((_, feedback)) = &generation.feedback
        {
            *labels += 1;
            requests += 1;
            rare += u32::from(signals.novelty > 0.3);
            // Inverse propensity weighting makes up for the selection.
            weighted += f64::from(u8::from(feedback.succeeded())) / request.propensity;
            weight += 1.0 / request.propensity;
        }
    }
    println!(
        "{requests} labels of {generations} generations, {rare} of them of LLMs with fewer than 24 labels"
    );
    println!("success rate: estimated {:.3}, true {:.3}", weighted / weight, truth / generations);
    Ok(())
}
