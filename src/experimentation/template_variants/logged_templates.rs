//! Stored generations by template, with their propensities and outcomes.

use crate::error::Result;
use crate::event::{Decision, GenerationEvent, TemplateId};
use crate::experimentation::Unit;
use crate::routing::Candidate;
use crate::routing::logged::{attributed, check_span, for_each_generation};
use crate::stats::fnv;
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, HashMap};

/// Which stored generations are used, and how they are grouped.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedTemplatesOptions {
    /// The attribution window: outcomes count if they were known so long after the start, and generations that are
    /// older; above 0 and at most ten years.
    pub window: TimeDelta,
    /// Whose generations are correlated, where a decision does not name the unit of its draw.
    pub cluster: Unit,
    /// Whether tasks of another language are another context; by default only those of another type are.
    pub by_language: bool,
}

impl Default for LoggedTemplatesOptions {
    fn default() -> Self {
        Self { window: TimeDelta::days(14), cluster: Unit::Task, by_language: false }
    }
}

/// A labelled generation that used a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TemplateOutcome {
    /// Type of the task, and its language where contexts are by language.
    pub(super) context: String,
    pub(super) template: TemplateId,
    pub(super) success: bool,
    /// 0 to 10.
    pub(super) quality: Option<f64>,
    pub(super) seconds: Option<f64>,
    pub(super) cost_usd: Option<f64>,
    /// Templates of which every candidate could have been chosen, with the weight of the choice for the template (0
    /// where another one was chosen): the propensity of the candidate, were it chosen evenly among the template's,
    /// over its own. Empty where no propensities were stored.
    pub(super) weights: BTreeMap<TemplateId, f64>,
    /// Generations of one cluster are correlated.
    pub(super) cluster: u64,
}

/// Labelled generations by template, in the order of their starts.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LoggedTemplates {
    pub(super) outcomes: Vec<TemplateOutcome>,
    /// Generations with a template and without a label at the end of the attribution window. Missing feedback is no
    /// label.
    pub(super) unlabelled: usize,
    /// Generations with a template that are younger than the attribution window.
    pub(super) young: usize,
}

impl LoggedTemplates {
    /// Reads every generation of `store` that used a template. `candidates` are all that a decision may name: they
    /// tell which template each of them used.
    ///
    /// ```
    /// # use devmatrix_ml::{experimentation::template_variants::*, routing::Candidate, store::MemoryStore};
    /// # futures_executor::block_on(async {
    /// # let (store, candidates) = (MemoryStore::new(), Vec::<Candidate>::new());
    /// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
    /// # let registry = VariantRegistry::default();
    /// let logged = LoggedTemplates::read(&store, &candidates, &LoggedTemplatesOptions::default(), now).await?;
    /// println!("{}", registry.evaluate(&logged, &EvolutionOptions::default())?);
    /// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of reading the store; `InvalidInput` when an option is out of range.
    pub async fn read(
        store: &dyn EventStore,
        candidates: &[Candidate],
        options: &LoggedTemplatesOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        check_span("window", options.window)?;
        let named = candidates.iter().filter_map(|c| Some((c.name.as_str(), c.plan.template.as_ref()?)));
        let templates: HashMap<_, _> = named.collect();
        let mut logged = Self::default();
        for_each_generation(store, options.window, |event| {
            logged.add(&event, &templates, options, now);
            Ok(())
        })
        .await?;
        Ok(logged)
    }

    fn add(
        &mut self,
        event: &GenerationEvent,
        templates: &HashMap<&str, &TemplateId>,
        options: &LoggedTemplatesOptions,
        now: DateTime<Utc>,
    ) {
        let start = &event.started.value;
        let Some(template) = start.context.template_id.clone() else { return };
        let Some(outcome) = attributed(event, options.window, now) else {
            self.young += 1;
            return;
        };
        let Some(success) = outcome.success else {
            self.unlabelled += 1;
            return;
        };
        let decision = start.decision.as_ref();
        let own = decision.and_then(|d| d.unit.as_deref()).or_else(|| options.cluster.of(&start.context));
        let unit = own.unwrap_or(event.event_id.as_str());
        self.outcomes.push(TemplateOutcome {
            context: context(event, options.by_language),
            success,
            quality: outcome.quality,
            seconds: outcome.seconds,
            cost_usd: outcome.cost,
            weights: decision
                .filter(|decision| decision.verify().is_ok())
                .map(|decision| weights(decision, &template, templates))
                .unwrap_or_default(),
            cluster: fnv::hash(unit.as_bytes()),
            template,
        });
    }
}

/// Returns the type of the task, with its language where contexts are by language.
fn context(event: &GenerationEvent, by_language: bool) -> String {
    let task = &event.started.value.context;
    let kind = task.task_type.as_deref().unwrap_or("of unknown type");
    match task.language.as_deref().filter(|_| by_language) {
        Some(language) => format!("{kind}, {language}"),
        None => kind.to_owned(),
    }
}

fn weights(
    decision: &Decision,
    used: &TemplateId,
    templates: &HashMap<&str, &TemplateId>,
) -> BTreeMap<TemplateId, f64> {
    let mut counts = BTreeMap::<&TemplateId, Option<f64>>::new();
    for (name, p) in decision.candidates.iter().zip(&decision.propensities) {
        let Some(template) = templates.get(name.as_str()) else { continue };
        // A template one of whose candidates could not be chosen cannot be evaluated as a whole.
        let count = counts.entry(template).or_insert(Some(0.0));
        *count = count.filter(|_| *p > 0.0).map(|count| count + 1.0);
    }
    // Where the host used another template than was drawn, the propensities are not those of what was done.
    let chosen = templates.get(decision.chosen.as_str()).copied().filter(|template| *template == used);
    if chosen.is_none() {
        return BTreeMap::new();
    }
    let known = counts.into_iter().filter_map(|(template, count)| Some((template, count?)));
    let weight = |(template, count): (&TemplateId, f64)| {
        let own = chosen == Some(template);
        (template.clone(), if own { 1.0 / count / decision.propensity } else { 0.0 })
    };
    known.map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_counts_for_its_template_by_the_propensity_of_its_candidate() {
        let id = |name: &str| TemplateId::new(name).unwrap();
        let (house, other, never) = (id("house"), id("other"), id("never"));
        let templates = HashMap::from([("a/h", &house), ("b/h", &house), ("a/o", &other), ("a/n", &never)]);
        let names = ["a/h", "b/h", "a/o", "a/n", "unknown"].map(str::to_owned).to_vec();
        let decision = Decision::drawn("p 1", names, vec![0.4, 0.2, 0.3, 0.0, 0.1], 1).unwrap();
        let found = weights(&decision, &house, &templates);
        // Half of the house's choices would have been this one, with a propensity of 0.2.
        assert_eq!(found, BTreeMap::from([(house.clone(), 2.5), (other.clone(), 0.0)]));
        assert!(
            weights(&decision, &other, &templates).is_empty(),
            "the host used another template than was drawn"
        );
    }
}
