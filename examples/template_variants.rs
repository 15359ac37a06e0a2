//! Template variants: proposed, tried on a share of the tasks, and promoted when they are significantly better.
//!
//! `cargo run --release --features simulate --example template_variants`

#[path = "common/out.rs"]
#[macro_use]
mod out;

use chrono::TimeDelta;
use devmatrix_ml::Result;
use devmatrix_ml::event::{Decision, TemplateId};
use devmatrix_ml::experimentation::template_variants::{
    EvolutionOptions, LoggedTemplates, LoggedTemplatesOptions, SettingsSpace, TemplateSettings, Variant,
    VariantRegistry, VariantStatus,
};
use devmatrix_ml::models::TemplateCatalogue;
use devmatrix_ml::routing::{Candidate, Plan, draw};
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::{EventStoreExt, MemoryStore};
use futures_executor::block_on;
use rand::{RngExt, SeedableRng};

fn main() -> Result<()> {
    let mut options = SimulatorOptions::default();
    (options.days, options.per_day, options.drift_day) = (40, 200.0, None);
    let world = Simulator::new(options.clone())?;
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);

    // A template of the host, hot and with a single example.
    let (root, start) = (TemplateId::new("house")?, options.start);
    let catalogue = TemplateCatalogue::from_json(r#"[{"template_id": "house", "task_types": ["backend"]}]"#)?;
    let mut settings = TemplateSettings::default().with_temperature(1.0);
    settings.max_examples = Some(1);
    let mut registry = VariantRegistry::of(&catalogue, |_| settings.clone(), start)?;
    let mut plan = Plan::by_llm("claude-sonnet-4.5");
    plan.template = Some(root.clone());
    let base = Candidate::new("sonnet", plan);

    let (store, mut known) = (MemoryStore::new(), Vec::<Candidate>::new());
    for (number, generation) in world.clone().enumerate() {
        let Some(now) = generation.context.started_at else { continue };
        if number % 1000 == 0 {
            nightly(&mut registry, &store, &known, &root, now)?;
        }
        let candidates = registry.candidates(&base);
        known.extend(
            candidates
                .iter()
                .filter(|new| !known.iter().any(|old| old.name == new.name))
                .cloned()
                .collect::<Vec<_>>(),
        );
        // A policy without preference; variants on trial get 30 % of the tasks.
        let even = vec![1.0 / candidates.len() as f64; candidates.len()];
        let propensities = registry.trial_propensities(&candidates, &even, 0.3)?;
        let chosen = draw(&propensities, random.random_range(0.0..1.0))?;
        let names = candidates.iter().map(|candidate| candidate.name.clone()).collect();
        let decision = Decision::drawn("even 1", names, propensities, chosen)?;
        let task = candidates[chosen].plan.apply(&generation.context);
        let event = world.act(&generation, task, decision).into_event();
        block_on(store.append_all(event.into_records()?))?;
    }
    registry
        .iter()
        .filter(|variant| variant.status() != VariantStatus::Proposed)
        .for_each(|v: &Variant| println!("{v}"));
    println!("{} templates to rank", registry.catalogue(&catalogue)?.iter().count());
    Ok(())
}

/// Evaluates the variants, applies the verdicts and proposes a further variant of the active template.
fn nightly(
    registry: &mut VariantRegistry,
    store: &MemoryStore,
    candidates: &[Candidate],
    root: &TemplateId,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<()> {
    let mut options = LoggedTemplatesOptions::default();
    options.window = TimeDelta::days(3);
    let logged = block_on(LoggedTemplates::read(store, candidates, &options, now))?;
    let report = registry.evaluate(&logged, &EvolutionOptions::default())?;
    for changed in registry.apply(&report, now)? {
        println!("{changed}: {report}");
    }
    if let Some(active) = registry.active(root).map(|variant| variant.id.clone())
        && let Some(new) =
            registry.propose(&active, &SettingsSpace::default(), now, now.timestamp() as u64)?
    {
        registry.start_trial(&new, now)?;
    }
    Ok(())
}
