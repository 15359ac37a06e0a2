//! Contributions turned into sentences that name the value.

mod english;

pub use english::English;

use crate::dataset::Target;
use crate::features::{FEATURES, Feature, FeatureRow, Kind, Topic, index_of};
use crate::history::NearestTask;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// One thing that speaks for or against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attribution {
    /// The feature, or `task_description` for its wording.
    pub feature: String,
    /// What it is about.
    pub topic: Topic,
    /// What it adds against the average task: log-odds of success before calibration, points of
    /// complexity or quality (on a logarithmic scale where it is learned so), ln of seconds.
    pub contribution: f64,
    /// What it rests on.
    pub fact: Fact,
    /// A sentence that names the value.
    pub text: String,
}

/// What a reason rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fact {
    /// A success rate, drawn to that of its parents, and the outcomes of its own where they are
    /// counted.
    Rate(f64, Option<f64>),
    /// A count of what the unit says.
    Count(f64, String),
    /// Seconds.
    Seconds(f64),
    /// Whether it is so.
    Flag(bool),
    /// Any other number, in its unit.
    Number(f64, String),
    /// What the description's wording does to the target: more of it, or less.
    TextComponent(Target, bool),
}

/// What all reasons about one thing come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttributionGroup {
    /// What they are about.
    pub topic: Topic,
    /// The sum of their contributions.
    pub contribution: f64,
    /// A sentence with the strongest of them.
    pub text: String,
}

/// Puts reasons into words; a host supplies its own for another language or house style
/// ([`PredictionService::with_locale`](crate::serving::PredictionService::with_locale)).
///
/// ```
/// use devmatrix_ml::features::Topic;
/// use devmatrix_ml::models::{English, Fact, Locale, Attribution};
/// #[derive(Debug)]
/// struct Spanish;
/// impl Locale for Spanish {
///     fn sentence(&self, reason: &Attribution) -> String {
///         match (reason.feature.as_str(), &reason.fact) {
///             ("agent_past_performance", Fact::Rate(rate, Some(n))) => {
///                 format!("este agente: {:.0} % aprobadas de {n:.0}", rate * 100.0)
///             }
///             _ => English.sentence(reason), // what is not translated yet
///         }
///     }
///     fn topic(&self, topic: Topic) -> String {
///         if topic == Topic::Agent { "el agente".to_owned() } else { English.topic(topic) }
///     }
/// }
/// ```
pub trait Locale: Send + Sync + Debug {
    /// A sentence that names the value; [`Attribution::text`] is not to be read.
    fn sentence(&self, reason: &Attribution) -> String;

    /// What a topic is called.
    fn topic(&self, topic: Topic) -> String;

    /// A sentence that counts the outcomes of the past tasks most like one; English where a locale
    /// does not say.
    fn similar(&self, tasks: &[NearestTask]) -> String {
        english::similar(tasks)
    }
}

/// Contributions smaller than this are not worth a sentence, in log-odds.
const LEAST: f64 = 0.02;

impl Attribution {
    /// A reason in English.
    pub fn new(feature: &str, topic: Topic, contribution: f64, fact: Fact) -> Self {
        let mut reason = Self { feature: feature.to_owned(), topic, contribution, fact, text: String::new() };
        reason.text = English.sentence(&reason);
        reason
    }

    /// The reasons by what they are about, the topic that adds most first.
    pub fn by_topic(reasons: &[Self], locale: &dyn Locale) -> Vec<AttributionGroup> {
        let mut groups: Vec<(AttributionGroup, f64)> = Vec::new();
        for reason in reasons {
            let strength = reason.contribution.abs();
            if let Some((group, strongest)) = groups.iter_mut().find(|(group, _)| group.topic == reason.topic)
            {
                group.contribution += reason.contribution;
                if strength > *strongest {
                    (*strongest, group.text) = (strength, reason.text.clone());
                }
            } else {
                let Self { topic, contribution, text, .. } = reason.clone();
                groups.push((AttributionGroup { topic, contribution, text }, strength));
            }
        }
        let mut groups: Vec<_> = groups.into_iter().map(|(group, _)| group).collect();
        groups.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
        for group in &mut groups {
            group.text = format!("{}: {}", locale.topic(group.topic), group.text);
        }
        groups
    }
}

/// Reasons from the contributions of a row's features (in the order of [`FEATURES`]) and of its
/// description's wording, the strongest first. Features that are missing are never named.
pub(super) fn reasons(
    row: &FeatureRow,
    contributions: &[f64],
    wording: f64,
    target: Target,
) -> Vec<Attribution> {
    let named = FEATURES.iter().zip(&row.values).zip(contributions);
    let mut reasons: Vec<_> = named
        .filter(|((_, value), part)| !value.is_nan() && part.abs() >= LEAST)
        .filter_map(|((feature, value), part)| {
            Some(Attribution::new(feature.name, feature.topic, *part, fact(row, feature, f64::from(*value))?))
        })
        .collect();
    if wording.abs() >= LEAST && !row.text.is_empty() {
        let fact = Fact::TextComponent(target, wording > 0.0);
        reasons.push(Attribution::new("task_description", Topic::Description, wording, fact));
    }
    reasons.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    reasons
}

/// The feature that counts the outcomes of each rate.
const COUNTED_BY: &[(&str, &str)] = &[
    ("similar_tasks_success_rate", "similar_tasks_outcomes"),
    ("task_success_rate", "task_outcomes"),
    ("nearest_tasks_success_rate", "nearest_tasks_outcomes"),
    ("task_agent_success_rate", "task_agent_outcomes"),
    ("task_model_success_rate", "task_model_outcomes"),
    ("agent_past_performance", "agent_outcomes"),
    ("agent_model_success_rate", "agent_outcomes"),
    ("model_past_performance", "model_outcomes"),
    ("project_success_rate", "project_outcomes"),
    ("project_agent_success_rate", "project_agent_outcomes"),
    ("user_success_rate", "user_outcomes"),
];

/// What a feature's value says; nothing for a category's code, nor for a rate of no outcomes.
fn fact(row: &FeatureRow, feature: &Feature, value: f64) -> Option<Fact> {
    let unit = || feature.unit.to_owned();
    match feature.kind {
        Kind::Category => None,
        Kind::Rate => {
            let counted = COUNTED_BY.iter().find(|(rate, _)| *rate == feature.name);
            let Some((_, count)) = counted else { return Some(Fact::Rate(value, None)) };
            let n = f64::from(*row.values.get(index_of(count)?)?);
            (n >= 0.5).then_some(Fact::Rate(value, Some(n)))
        }
        Kind::Count => Some(Fact::Count(value, unit())),
        Kind::Number if feature.unit == "ln(1 + seconds)" => Some(Fact::Seconds(value.exp_m1())),
        Kind::Number if feature.unit == "ln(1 + tokens)" => {
            Some(Fact::Number(value.exp_m1(), "tokens".to_owned()))
        }
        Kind::Number if feature.unit == "1 = yes" => Some(Fact::Flag(value > 0.5)),
        Kind::Number => Some(Fact::Number(value, unit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SparseText;

    fn found() -> Vec<Attribution> {
        let mut values = vec![f32::NAN; FEATURES.len()];
        let set = |values: &mut Vec<f32>, name: &str, v| values[index_of(name).unwrap()] = v;
        set(&mut values, "agent_past_performance", 0.41);
        set(&mut values, "agent_outcomes", 58.0);
        set(&mut values, "temperature", 0.9);
        let row = FeatureRow { values, text: SparseText::default(), truncated: false };
        reasons(&row, &vec![-0.5; FEATURES.len()], -1.0, Target::Success)
    }

    #[test]
    fn sentences_name_values_and_missing_features_are_not_named() {
        let found = found();
        let texts: Vec<_> = found.iter().map(|r| r.text.as_str()).collect();
        assert!(
            texts.contains(&"this agent's generations: about 41 % approved as they were, from 58 outcomes")
        );
        assert!(texts.contains(&"temperature is 0.9 (0 to 2)"));
        assert_eq!(found.len(), 3, "{texts:?}");
    }

    #[test]
    fn reasons_about_one_thing_are_summed() {
        let groups = Attribution::by_topic(&found(), &English);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].topic, groups[0].contribution), (Topic::Agent, -1.0));
        assert!(groups[0].text.starts_with("the agent: this agent's generations"), "{groups:?}");
        assert_eq!(groups[1].text, "the LLM: temperature is 0.9 (0 to 2)");
    }

    #[test]
    fn every_named_rate_and_count_is_in_the_table() {
        for (rate, count) in COUNTED_BY {
            assert!(index_of(rate).is_some() && index_of(count).is_some(), "{rate} {count}");
        }
    }
}
