//! Features of an arm: few and cheap, computed from the task with its plan.
//!
//! Each names a weight; its value carries the prior scale of the weight in log-odds. Features of the task alone are
//! included: the difference of two candidates in success depends on the difficulty. The scales were set on simulated
//! streams; `cargo run --release --example routing -- --seeds 20` measures the regret.

use crate::event::TaskContext;
use crate::history::category;
use crate::stats::fnv;
use crate::text::{Lexicon, TextFacts};

/// Features of the description, read once for all candidates.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TextFeatures {
    length: f64,
    requirements: f64,
    terms: f64,
    complex: f64,
    constraints: f64,
}

impl TextFeatures {
    /// Reads `description` with the terms of `lexicon`.
    pub(super) fn read(lexicon: &Lexicon, description: &str) -> Self {
        Self::of(&TextFacts::of_with(lexicon, description))
    }

    pub(super) fn of(facts: &TextFacts) -> Self {
        let log = |n: usize| (n as f64).ln_1p();
        Self {
            length: (log(facts.length) - 5.5).clamp(-3.0, 3.0),
            requirements: log(facts.num_requirements) - 1.0,
            terms: log(facts.num_technical_terms) - 1.0,
            complex: log(facts.num_complex_terms),
            constraints: log(facts.num_constraints),
        }
    }
}

/// Returns the family of an LLM by its name: from the last `/` to the first `-`.
pub(super) fn family_of(llm: &str) -> &str {
    let name = llm.rsplit('/').next().unwrap_or(llm);
    name.split(['-', ':', ' ']).next().unwrap_or(name)
}

/// Returns the features of `task`, whose LLM is of `family`, in the order of their hashes; `by_task` adds those of the
/// task id. `columns` are those of the host.
pub(super) fn features(
    task: &TaskContext,
    text: &TextFeatures,
    family: Option<&str>,
    by_task: bool,
    columns: &[(u64, f64)],
) -> Vec<(u64, f64)> {
    let mut all = Features(Vec::with_capacity(48 + columns.len()));
    all.0.extend_from_slice(columns);
    let kind = category(task.task_type.as_deref());
    let language = category(task.language.as_deref());
    let framework = category(task.framework.as_deref());
    let llm = category(task.model_used.as_deref());
    let family = category(family.or_else(|| task.model_used.as_deref().map(family_of)));
    let effort = category(task.effort.as_deref());
    let agent = category(task.agent_type.as_deref());
    let template = category(task.template_id.as_ref().map(crate::event::TemplateId::as_str));
    let project = category(task.project_id.as_ref().map(crate::event::ProjectId::as_str));

    let this = Some(fnv::hash(task.task_id.as_str().as_bytes()));

    all.number("base", 1.0);
    all.one("task", this.filter(|_| by_task), 1.0);
    all.one("type", kind, 0.7);
    all.one("language", language, 0.4);
    all.one("framework", framework, 0.4);
    all.one("project", project, 0.5);
    all.number("attempt", 0.3 * f64::from(task.attempt.min(3)));
    all.number("load", 0.5 * finite(task.system_load).clamp(0.0, 4.0));
    for (name, value) in [
        ("length", text.length),
        ("requirements", text.requirements),
        ("terms", text.terms),
        ("complex", text.complex),
        ("constraints", text.constraints),
    ] {
        all.number(name, 0.4 * value);
    }
    // The settings of the plan.
    let examples = f64::from(task.rag_examples_count.unwrap_or(0).min(10));
    all.number("temperature", 0.7 * finite(task.temperature));
    all.number("examples", 0.2 * examples);
    all.number("alike", 0.2 * examples * (finite(task.rag_avg_similarity) - 0.5));
    all.one("tokens", task.max_tokens.map(u64::from), 0.3);
    // Not by type and language again: an LLM's efforts differ less than LLMs do.
    all.one("effort", effort, 0.3);
    all.two("effort", effort, "llm", llm, 0.5);
    all.two("effort", effort, "type", kind, 0.3);
    // Components of the plan, alone and by task type, language and framework, with their prior scales.
    for (name, of, scale) in
        [("family", family, 0.3), ("llm", llm, 0.7), ("agent", agent, 0.7), ("template", template, 0.5)]
    {
        all.one(name, of, scale);
        all.two(name, of, "type", kind, 0.72);
        all.two(name, of, "language", language, 0.54);
        if by_task {
            all.two(name, of, "task", this, 0.6);
        }
        if name != "family" {
            all.two(name, of, "framework", framework, 0.27);
        }
    }
    all.two("agent", agent, "llm", llm, 0.1);
    all.0.sort_unstable_by_key(|(name, _)| *name);
    all.0
}

/// Returns the feature of an LLM, which every task of it has.
pub(super) fn llm_feature(llm: &str) -> Option<u64> {
    Some(mixed(fnv::hash(b"llm"), category(Some(llm))?))
}

/// Returns the feature of an LLM at a type of task.
pub(super) fn llm_type_feature(llm: &str, kind: &str) -> Option<u64> {
    let kind = mixed(fnv::hash(b"type"), category(Some(kind))?);
    Some(mixed(llm_feature(llm)?, kind))
}

/// Returns 0 for missing values and NaN.
fn finite(value: Option<f64>) -> f64 {
    value.filter(|v| v.is_finite()).unwrap_or(0.0)
}

struct Features(Vec<(u64, f64)>);

impl Features {
    fn number(&mut self, name: &str, value: f64) {
        if value != 0.0 {
            self.0.push((fnv::hash(name.as_bytes()), value));
        }
    }

    fn one(&mut self, name: &str, of: Option<u64>, scale: f64) {
        if let Some(of) = of {
            self.0.push((mixed(fnv::hash(name.as_bytes()), of), scale));
        }
    }

    fn two(&mut self, name: &str, of: Option<u64>, other: &str, at: Option<u64>, scale: f64) {
        if let (Some(of), Some(at)) = (of, at) {
            let first = mixed(fnv::hash(name.as_bytes()), of);
            self.0.push((mixed(first, mixed(fnv::hash(other.as_bytes()), at)), scale));
        }
    }
}

fn mixed(a: u64, b: u64) -> u64 {
    let z = (a.rotate_left(29) ^ b).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (z ^ (z >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TaskId;

    #[test]
    fn candidates_for_one_task_share_its_features() {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.task_type = Some("backend".into());
        task.model_used = Some("claude-sonnet-4.5".into());
        let text = TextFeatures::of(&TextFacts::of("Add an endpoint.\n- It must be quick."));
        let one = features(&task, &text, None, false, &[]);
        task.model_used = Some("claude-opus-5".into());
        let other = features(&task, &text, None, false, &[]);
        assert!(one.is_sorted() && one.len() == other.len());
        // LLM, and LLM at this type.
        let apart = one.iter().filter(|f| !other.contains(f)).count();
        assert_eq!(apart, 2);
        let stranger = features(&task, &text, Some("gemini"), false, &[]);
        assert_eq!(one.iter().filter(|f| !stranger.contains(f)).count(), 4);
    }

    #[test]
    fn a_family_is_read_from_the_name() {
        let names = ["claude-opus-5", "openai/gpt-4.1-mini", "llama:70b", "", "solo"];
        assert_eq!(names.map(family_of), ["claude", "gpt", "llama", "", "solo"]);
    }
}
