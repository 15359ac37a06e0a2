//! Contributions turned into sentences that name the value.

use crate::features::{FEATURES, FeatureRow, Kind, Topic, index_of};
use serde::{Deserialize, Serialize};

/// One thing that speaks for or against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// The feature, or `task_description` for its wording.
    pub feature: String,
    /// What it is about.
    pub topic: Topic,
    /// What it adds against the average task: log-odds of success, points of complexity or quality
    /// (on a logarithmic scale where it is learnt so), ln of seconds.
    pub contribution: f64,
    /// A sentence that names the value.
    pub text: String,
}

/// Contributions smaller than this are not worth a sentence, in log-odds.
const LEAST: f64 = 0.02;

/// Reasons from the contributions of a row's features (in the order of [`FEATURES`]) and of its
/// description's wording, the strongest first. Features that are missing are never named.
pub(super) fn reasons(
    row: &FeatureRow,
    contributions: &[f64],
    wording: f64,
    worded: [&str; 2],
) -> Vec<Reason> {
    let named = FEATURES.iter().zip(&row.values).zip(contributions);
    let mut reasons: Vec<_> = named
        .filter(|((_, value), part)| !value.is_nan() && part.abs() >= LEAST)
        .filter_map(|((feature, value), part)| {
            let text = sentence(row, feature.name, feature.kind, feature.unit, *value)?;
            Some(Reason { feature: feature.name.to_owned(), topic: feature.topic, contribution: *part, text })
        })
        .collect();
    if wording.abs() >= LEAST && !row.text.is_empty() {
        let text = worded[usize::from(wording > 0.0)];
        reasons.push(Reason {
            feature: "task_description".to_owned(),
            topic: Topic::Description,
            contribution: wording,
            text: text.to_owned(),
        });
    }
    reasons.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    reasons
}

/// Whose success each rate is, and the feature that counts its outcomes.
const RATES: &[(&str, &str, &str)] = &[
    ("similar_tasks_success_rate", "similar tasks", "similar_tasks_outcomes"),
    ("task_success_rate", "earlier tries of this task", "task_outcomes"),
    ("task_agent_success_rate", "this agent's tries of this task", "task_agent_outcomes"),
    ("task_model_success_rate", "this LLM's tries of this task", "task_model_outcomes"),
    ("agent_past_performance", "this agent's generations", "agent_outcomes"),
    ("agent_model_success_rate", "generations of this agent with this LLM", "agent_outcomes"),
    ("model_past_performance", "this LLM's generations", "model_outcomes"),
    ("project_success_rate", "generations in this project", "project_outcomes"),
    ("project_agent_success_rate", "this agent's generations in this project", "project_agent_outcomes"),
    ("user_success_rate", "this user's generations", "user_outcomes"),
];

fn sentence(row: &FeatureRow, name: &str, kind: Kind, unit: &str, value: f32) -> Option<String> {
    match kind {
        Kind::Category => None,
        Kind::Rate => rate_sentence(row, name, value),
        Kind::Count => Some(format!("{} is {value:.0} {unit}", words(name))),
        Kind::Number if unit == "ln(1 + seconds)" => {
            Some(format!("{} is about {:.0} s", words(name), value.exp_m1()))
        }
        Kind::Number if unit == "1 = yes" => {
            Some(format!("{}: {}", words(name), if value > 0.5 { "yes" } else { "no" }))
        }
        Kind::Number => Some(format!("{} is {value:.1} ({unit})", words(name))),
    }
}

/// A rate is named only where outcomes of its own stand behind it.
fn rate_sentence(row: &FeatureRow, name: &str, value: f32) -> Option<String> {
    let percent = f64::from(value) * 100.0;
    let Some((_, whose, counted_by)) = RATES.iter().find(|(rate, _, _)| *rate == name) else {
        return Some(format!("{} is {percent:.0} %", words(name)));
    };
    let n = *row.values.get(index_of(counted_by)?)?;
    (n >= 0.5).then(|| format!("{whose}: about {percent:.0} % approved as they were, from {n:.0} outcomes"))
}

fn words(name: &str) -> String {
    name.trim_start_matches("num_").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SparseText;

    #[test]
    fn sentences_name_values_and_missing_features_are_not_named() {
        let mut values = vec![f32::NAN; FEATURES.len()];
        let set = |values: &mut Vec<f32>, name: &str, v| values[index_of(name).unwrap()] = v;
        set(&mut values, "agent_past_performance", 0.41);
        set(&mut values, "agent_outcomes", 58.0);
        set(&mut values, "temperature", 0.9);
        let row = FeatureRow { values, text: SparseText::default(), truncated: false };
        let found = reasons(&row, &vec![-0.5; FEATURES.len()], -1.0, ["failed", "succeeded"]);
        let texts: Vec<_> = found.iter().map(|r| r.text.as_str()).collect();
        assert!(
            texts.contains(&"this agent's generations: about 41 % approved as they were, from 58 outcomes")
        );
        assert!(texts.contains(&"temperature is 0.9 (0 to 2)"));
        assert_eq!(found.len(), 3, "{texts:?}");
    }

    #[test]
    fn every_named_rate_and_count_is_in_the_table() {
        for (rate, _, count) in RATES {
            assert!(index_of(rate).is_some() && index_of(count).is_some(), "{rate} {count}");
        }
    }
}
