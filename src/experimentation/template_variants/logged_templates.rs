//! What came of templates, and with which odds they were chosen.

use crate::error::Result;
use crate::event::{Decision, GenerationEvent, TemplateId};
use crate::experimentation::Unit;
use crate::routing::Candidate;
use crate::routing::logged::{check_span, generations, matured};
use crate::stats::fnv;
use crate::store::EventStore;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, HashMap};

/// Which stored generations are looked at, and how.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoggedTemplatesOptions {
    /// Outcomes count if they were known so long after the start, and generations that are older; above
    /// 0 and at most ten years.
    pub deadline: TimeDelta,
    /// Whose generations rise and fall together, where a decision does not name the unit of its draw.
    pub cluster: Unit,
    /// Whether tasks of another language are another context; by default only those of another type are.
    pub by_language: bool,
}

impl Default for LoggedTemplatesOptions {
    fn default() -> Self {
        Self { deadline: TimeDelta::days(14), cluster: Unit::Task, by_language: false }
    }
}

/// A generation that used a template, and what came of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TemplateOutcome {
    /// When it became known that it had started.
    pub started_at: DateTime<Utc>,
    /// Type of the task, and its language where that is told apart.
    pub context: String,
    /// The template.
    pub template: TemplateId,
    /// Whether it was approved without modification.
    pub success: bool,
    /// Its quality, 0 to 10.
    pub quality: Option<f64>,
    /// Its seconds.
    pub seconds: Option<f64>,
    /// Its cost in US dollars.
    pub cost_usd: Option<f64>,
    /// Templates of which every candidate could have been chosen, with how much the choice counts for
    /// the template (0 where another one was chosen): the odds of the candidate were it chosen evenly
    /// among the template's, over its odds. Empty where no odds were stored.
    pub weights: BTreeMap<TemplateId, f64>,
    /// Generations of one cluster rise and fall together.
    pub cluster: u64,
}

/// The stored past of templates, in the order of the starts.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LoggedTemplates {
    /// What came of them.
    pub outcomes: Vec<TemplateOutcome>,
    /// Generations with a template that nobody had judged at the deadline. Silence is no answer.
    pub unanswered: usize,
    /// Generations with a template whose deadline has not passed.
    pub young: usize,
}

impl LoggedTemplates {
    /// Reads every generation of `store` that used a template. `candidates` are all that a decision may
    /// name: which template each of them used.
    ///
    /// ```
    /// # use devmatrix_ml::{experimentation::template_variants::*, routing::Candidate, store::MemoryStore};
    /// # futures_executor::block_on(async {
    /// # let (store, candidates) = (MemoryStore::new(), Vec::<Candidate>::new());
    /// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
    /// # let registry = VariantRegistry::default();
    /// let past = LoggedTemplates::read(&store, &candidates, &LoggedTemplatesOptions::default(), now).await?;
    /// println!("{}", registry.judge(&past, &EvolutionOptions::default())?);
    /// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of reading the store and of [`LoggedTemplates::of`].
    pub async fn read(
        store: &dyn EventStore,
        candidates: &[Candidate],
        options: &LoggedTemplatesOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        Self::of(generations(store).await?, candidates, options, now)
    }

    /// The same of given generations.
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range.
    pub fn of(
        events: impl IntoIterator<Item = GenerationEvent>,
        candidates: &[Candidate],
        options: &LoggedTemplatesOptions,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let deadline = options.deadline;
        check_span("deadline", deadline)?;
        let named = candidates.iter().filter_map(|c| Some((c.name.as_str(), c.plan.template.as_ref()?)));
        let templates: HashMap<_, _> = named.collect();
        let (mut past, mut order) = (Self::default(), Vec::new());
        for event in events {
            let start = &event.started.value;
            let Some(template) = start.context.template_id.clone() else { continue };
            let Some(outcome) = matured(&event, deadline, now) else {
                past.young += 1;
                continue;
            };
            let Some(success) = outcome.success else {
                past.unanswered += 1;
                continue;
            };
            let decision = start.decision.as_ref();
            let weights =
                decision.map(|decision| weights(decision, &template, &templates)).unwrap_or_default();
            let own = decision.and_then(|d| d.unit.as_deref()).or_else(|| options.cluster.of(&start.context));
            let unit = own.unwrap_or(event.event_id.as_str());
            past.outcomes.push(TemplateOutcome {
                started_at: event.started.known_at,
                context: context(&event, options.by_language),
                template,
                success,
                quality: outcome.quality,
                seconds: outcome.seconds,
                cost_usd: outcome.cost,
                weights,
                cluster: fnv::hash(unit.as_bytes()),
            });
            order.push(event.event_id.clone());
        }
        let mut sorted: Vec<_> = std::mem::take(&mut past.outcomes).into_iter().zip(order).collect();
        sorted.sort_by(|(a, first), (b, second)| (a.started_at, first).cmp(&(b.started_at, second)));
        past.outcomes = sorted.into_iter().map(|(outcome, _)| outcome).collect();
        Ok(past)
    }
}

/// What is done, in what language.
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
        // A template one of whose candidates had no chance cannot be judged as a whole.
        let count = counts.entry(template).or_insert(Some(0.0));
        *count = count.filter(|_| *p > 0.0).map(|count| count + 1.0);
    }
    // Where the host used another template than was drawn, the odds say nothing.
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
    fn a_choice_counts_for_its_template_by_the_odds_of_its_candidate() {
        let id = |name: &str| TemplateId::new(name).unwrap();
        let (house, other, never) = (id("house"), id("other"), id("never"));
        let templates = HashMap::from([("a/h", &house), ("b/h", &house), ("a/o", &other), ("a/n", &never)]);
        let names = ["a/h", "b/h", "a/o", "a/n", "unknown"].map(str::to_owned).to_vec();
        let decision = Decision::drawn("p 1", names, vec![0.4, 0.2, 0.3, 0.0, 0.1], 1).unwrap();
        let found = weights(&decision, &house, &templates);
        // Half of the house's choices would have been this one, and it had odds of 0.2.
        assert_eq!(found, BTreeMap::from([(house.clone(), 2.5), (other.clone(), 0.0)]));
        assert!(
            weights(&decision, &other, &templates).is_empty(),
            "the host used another one than was drawn"
        );
    }
}
