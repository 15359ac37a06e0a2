//! Candidates and their plans.

use crate::error::{Error, Result};
use crate::event::{TaskContext, TemplateId, effort};
use serde::{Deserialize, Serialize};

/// The settings with which a task is generated. `None` leaves the task's own setting.
///
/// ```
/// use devmatrix_ml::routing::Plan;
/// use devmatrix_ml::event::{TaskContext, TaskId};
/// let mut plan = Plan::by_llm("claude-sonnet-4.5");
/// plan.temperature = Some(0.05);
/// let task = plan.apply(&TaskContext::new(TaskId::new("TASK-7")?));
/// assert_eq!((task.model_used.as_deref(), task.temperature), (Some("claude-sonnet-4.5"), Some(0.05)));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Plan {
    /// The LLM.
    pub llm: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The template.
    pub template: Option<TemplateId>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Reasoning effort of the LLM: a level such as `low` or `high`, or a number.
    #[serde(deserialize_with = "effort::read")]
    pub effort: Option<String>,
    /// Most tokens the LLM may produce.
    pub max_tokens: Option<u32>,
    /// True if examples are retrieved.
    pub use_rag: Option<bool>,
    /// How many examples are retrieved at most.
    pub max_examples: Option<u32>,
    /// True if the agent reviews its own code before it is shown.
    pub self_review: Option<bool>,
    /// True if a person reviews the code before it is used.
    pub human_review: Option<bool>,
    /// Retries at most.
    pub retry_budget: Option<u32>,
}

/// A named plan among which the router chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name in decisions, distinct among the candidates.
    pub name: String,
    /// The plan.
    pub plan: Plan,
    /// US dollars for a thousand tokens, if known: the prior of its cost.
    #[serde(default)]
    pub usd_per_1k_tokens: Option<f64>,
    /// The family of its LLM, where the name does not tell: a cold-start LLM is shrunk toward its family.
    #[serde(default)]
    pub family: Option<String>,
    /// True if the candidate is on trial, as template variants are; it is then not used for critical tasks.
    #[serde(default)]
    pub on_trial: bool,
}

impl Plan {
    /// Creates a plan with an LLM.
    pub fn by_llm(llm: impl Into<String>) -> Self {
        Self { llm: Some(llm.into()), ..Self::default() }
    }

    /// Returns `task` with this plan.
    #[must_use]
    pub fn apply(&self, task: &TaskContext) -> TaskContext {
        let mut task = task.clone();
        let set = |from: &Option<String>, to: &mut Option<String>| {
            if from.is_some() {
                to.clone_from(from);
            }
        };
        set(&self.llm, &mut task.model_used);
        set(&self.agent, &mut task.agent_type);
        set(&self.effort, &mut task.effort);
        if self.template.is_some() {
            task.template_id.clone_from(&self.template);
        }
        task.temperature = self.temperature.or(task.temperature);
        task.max_tokens = self.max_tokens.or(task.max_tokens);
        task.rag_enabled = self.use_rag.or(task.rag_enabled);
        task.rag_examples_count = self.max_examples.or(task.rag_examples_count);
        if self.use_rag == Some(false) {
            task.rag_examples_count = Some(0);
            task.rag_examples_ids.clear();
        }
        task
    }

    /// Returns this plan with the settings of `other`.
    pub(super) fn with(&self, other: &Self) -> Self {
        let text = |a: &Option<String>, b: &Option<String>| a.clone().or_else(|| b.clone());
        Self {
            llm: text(&other.llm, &self.llm),
            agent: text(&other.agent, &self.agent),
            template: other.template.clone().or_else(|| self.template.clone()),
            temperature: other.temperature.or(self.temperature),
            effort: text(&other.effort, &self.effort),
            max_tokens: other.max_tokens.or(self.max_tokens),
            use_rag: other.use_rag.or(self.use_rag),
            max_examples: other.max_examples.or(self.max_examples),
            self_review: other.self_review.or(self.self_review),
            human_review: other.human_review.or(self.human_review),
            retry_budget: other.retry_budget.or(self.retry_budget),
        }
    }

    /// Returns its settings by name.
    pub(super) fn settings(&self) -> Vec<(String, serde_json::Value)> {
        let all = serde_json::to_value(self).unwrap_or_default();
        let serde_json::Value::Object(all) = all else { return Vec::new() };
        all.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// Checks every range.
    pub(super) fn validate(&self) -> Result<()> {
        effort::validate("the plan's effort", self.effort.as_deref())?;
        match self.temperature {
            Some(t) if !(0.0..=2.0).contains(&t) => {
                Err(Error::invalid(format!("the plan's temperature is {t}, expected 0 to 2")))
            }
            _ => Ok(()),
        }
    }
}

impl Candidate {
    /// Creates a candidate.
    pub fn new(name: impl Into<String>, plan: Plan) -> Self {
        Self { name: name.into(), plan, usd_per_1k_tokens: None, family: None, on_trial: false }
    }

    /// Creates a candidate named after its LLM.
    ///
    /// ```
    /// use devmatrix_ml::routing::Candidate;
    /// let candidate = Candidate::by_llm("gpt-4.1-mini").with_price(0.002);
    /// assert_eq!(candidate.plan.llm.as_deref(), Some("gpt-4.1-mini"));
    /// ```
    pub fn by_llm(llm: impl Into<String>) -> Self {
        let llm = llm.into();
        Self::new(llm.clone(), Plan::by_llm(llm))
    }

    /// Sets the reasoning effort of the LLM; a candidate named after its LLM gets it into its name.
    ///
    /// ```
    /// use devmatrix_ml::routing::Candidate;
    /// let [low, high] = ["low", "high"].map(|effort| Candidate::by_llm("gpt-5").with_effort(effort));
    /// assert_eq!((low.name.as_str(), high.plan.effort.as_deref()), ("gpt-5 (low)", Some("high")));
    /// ```
    #[must_use]
    pub fn with_effort(mut self, effort: impl Into<String>) -> Self {
        let effort = effort.into();
        if self.plan.llm.as_ref() == Some(&self.name) {
            self.name = format!("{} ({effort})", self.name);
        }
        self.plan.effort = Some(effort);
        self
    }

    /// Sets the price: US dollars for a thousand tokens.
    #[must_use]
    pub fn with_price(self, usd_per_1k_tokens: f64) -> Self {
        Self { usd_per_1k_tokens: Some(usd_per_1k_tokens), ..self }
    }

    /// Checks the name, the plan and the price.
    pub(super) fn validate(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::invalid("a candidate's name is empty: decisions name candidates"));
        }
        self.plan.validate().map_err(|e| e.context(format!("candidate {:?}", self.name)))?;
        match self.usd_per_1k_tokens {
            Some(price) if !(0.0..=1e6).contains(&price) => Err(Error::invalid(format!(
                "candidate {:?}: usd_per_1k_tokens is {price}, expected 0 to 1e6",
                self.name
            ))),
            _ => Ok(()),
        }
    }
}
