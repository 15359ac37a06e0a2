//! Contributions turned into sentences that name the value.

mod english;

pub use english::English;

use super::column_encoder::ColumnEncoder;
use crate::dataset::Target;
use crate::features::{FEATURES, Feature, FeatureId, FeatureRow, Kind, Topic};
use crate::history::NearestTask;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// The contribution of one feature to a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attribution {
    /// The feature, or `task_description` for its wording.
    pub feature: String,
    /// The topic of the feature.
    pub topic: Topic,
    /// The contribution relative to the average task: log-odds of success before calibration, points of
    /// complexity or quality (on a logarithmic scale where the model learns so), ln of seconds.
    pub contribution: f64,
    /// The feature value behind it.
    pub fact: Fact,
    /// A sentence that names the value.
    pub text: String,
}

/// The feature value behind an attribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fact {
    /// A success rate, shrunk toward that of its parents, and its number of outcomes where they are
    /// counted.
    Rate(f64, Option<f64>),
    /// A count, in its unit.
    Count(f64, String),
    /// Seconds.
    Seconds(f64),
    /// A yes-or-no feature; true for yes.
    Flag(bool),
    /// Any other number, in its unit.
    Number(f64, String),
    /// A value of a column of the host's own, and the sentence that its declaration says about it.
    Declared(f64, String),
    /// The effect of the description's text on the target: true if it raises it.
    TextComponent(Target, bool),
}

/// The summed attributions of one topic.
///
/// ```
/// use devmatrix_ml::models::{AttributionGroup, SuccessPrediction};
/// /// The topic that speaks most against success, in a sentence.
/// fn main_risk(found: &SuccessPrediction) -> Option<&str> {
///     let against = |group: &&AttributionGroup| group.contribution < 0.0;
///     found.attributions_by_topic.iter().find(against).map(|group| group.text.as_str())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttributionGroup {
    /// The topic that they share.
    pub topic: Topic,
    /// The sum of their contributions.
    pub contribution: f64,
    /// A sentence with the strongest of them.
    pub text: String,
}

/// Renders attributions as text; a host supplies its own for another language or house style
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
    /// Returns a sentence that names the value; must not read [`Attribution::text`].
    fn sentence(&self, reason: &Attribution) -> String;

    /// Returns the display name of a topic.
    fn topic(&self, topic: Topic) -> String;

    /// Returns a sentence that counts the outcomes of similar past tasks; defaults to English.
    fn similar(&self, tasks: &[NearestTask]) -> String {
        english::similar(tasks)
    }
}

/// Contributions smaller than this are not worth a sentence, in log-odds.
pub(super) const LEAST: f64 = 0.02;

impl Attribution {
    /// A reason in English.
    pub fn new(feature: &str, topic: Topic, contribution: f64, fact: Fact) -> Self {
        let mut reason = Self { feature: feature.to_owned(), topic, contribution, fact, text: String::new() };
        reason.text = English.sentence(&reason);
        reason
    }

    /// The reasons by what they are about, the topic that adds most first.
    pub(crate) fn by_topic(reasons: &[Self], locale: &dyn Locale) -> Vec<AttributionGroup> {
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

/// Reasons from the contributions of a row's features (in the order of [`FEATURES`], then of the columns of `own`) and of
/// its description's wording, the strongest first. Features that are missing are never named.
pub(super) fn reasons(
    row: &FeatureRow,
    contributions: &[f64],
    own: Option<&ColumnEncoder>,
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
    for (at, ((name, _), encoder)) in
        own.iter().flat_map(|own| own.names().map(move |name| (name, own))).enumerate()
    {
        let part = contributions.get(FEATURES.len() + at).filter(|part| part.abs() >= LEAST);
        if let Some((part, (value, sentence))) = part.zip(encoder.sentence(at, row)) {
            reasons.push(Attribution::new(name, Topic::Host, *part, Fact::Declared(value, sentence)));
        }
    }
    if wording.abs() >= LEAST && !row.text.is_empty() {
        let fact = Fact::TextComponent(target, wording > 0.0);
        reasons.push(Attribution::new("task_description", Topic::Description, wording, fact));
    }
    reasons.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    reasons
}

/// The attribution to one feature; `None` where it is missing.
pub(super) fn attribution(row: &FeatureRow, column: usize, contribution: f64) -> Option<Attribution> {
    let (feature, value) = (FEATURES.get(column)?, *row.values.get(column)?);
    let fact = if value.is_nan() { None } else { fact(row, feature, f64::from(value)) };
    Some(Attribution::new(feature.name, feature.topic, contribution, fact?))
}

/// Returns the feature that counts the outcomes of a rate.
fn counted_by(rate: FeatureId) -> Option<FeatureId> {
    Some(match rate {
        FeatureId::SimilarTasksSuccessRate => FeatureId::SimilarTasksOutcomes,
        FeatureId::TaskSuccessRate => FeatureId::TaskOutcomes,
        FeatureId::NearestTasksSuccessRate => FeatureId::NearestTasksOutcomes,
        FeatureId::TaskAgentSuccessRate => FeatureId::TaskAgentOutcomes,
        FeatureId::TaskModelSuccessRate => FeatureId::TaskModelOutcomes,
        FeatureId::AgentPastPerformance | FeatureId::AgentModelSuccessRate => FeatureId::AgentOutcomes,
        FeatureId::ModelPastPerformance => FeatureId::ModelOutcomes,
        FeatureId::ProjectSuccessRate => FeatureId::ProjectOutcomes,
        FeatureId::ProjectAgentSuccessRate => FeatureId::ProjectAgentOutcomes,
        FeatureId::UserSuccessRate => FeatureId::UserOutcomes,
        FeatureId::ReviewerSuccessRate => FeatureId::ReviewerOutcomes,
        _ => return None,
    })
}

/// Returns a feature's value as a fact; `None` for a category code or a rate without outcomes.
fn fact(row: &FeatureRow, feature: &Feature, value: f64) -> Option<Fact> {
    let unit = || feature.unit.to_owned();
    match feature.kind {
        Kind::Category => None,
        Kind::Rate => {
            let Some(count) = counted_by(feature.id) else { return Some(Fact::Rate(value, None)) };
            let n = f64::from(*row.values.get(count as usize)?);
            (n >= 0.5).then_some(Fact::Rate(value, Some(n)))
        }
        Kind::Count => Some(Fact::Count(value, unit())),
        Kind::Number if feature.unit == "ln(1 + seconds)" => Some(Fact::Seconds(value.exp_m1())),
        Kind::Number if feature.unit == "ln(1 + tokens)" => {
            Some(Fact::Number(value.exp_m1(), "tokens".to_owned()))
        }
        Kind::Number if feature.unit == "1 = yes" => Some(Fact::Flag(value > 0.5)),
        Kind::Number => Some(match logged(feature.unit) {
            Some(unit) => Fact::Number(value.exp(), unit.to_owned()),
            None => Fact::Number(value, unit()),
        }),
    }
}

/// Returns the unit of the number of which the feature is the logarithm.
fn logged(unit: &str) -> Option<&'static str> {
    match unit {
        "ln(dollars)" => Some("dollars"),
        "ln(tokens)" => Some("tokens"),
        "ln(ratio)" => Some("times"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<Attribution> {
        let mut values = vec![f32::NAN; FEATURES.len()];
        values[FeatureId::AgentPastPerformance as usize] = 0.41;
        values[FeatureId::AgentOutcomes as usize] = 58.0;
        values[FeatureId::Temperature as usize] = 0.9;
        let row = FeatureRow::of_values(values);
        reasons(&row, &vec![-0.5; FEATURES.len()], None, -1.0, Target::Success)
    }

    #[test]
    fn sentences_name_values_and_missing_features_are_not_named() {
        let found = found();
        let texts: Vec<_> = found.iter().map(|r| r.text.as_str()).collect();
        assert!(
            texts.contains(&"about 41 % of this agent's generations were approved unmodified (58 outcomes)")
        );
        assert!(texts.contains(&"the temperature is 0.9"));
        assert_eq!(found.len(), 3, "{texts:?}");
    }

    #[test]
    fn reasons_about_one_thing_are_summed() {
        let groups = Attribution::by_topic(&found(), &English);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].topic, groups[0].contribution), (Topic::Agent, -1.0));
        assert!(
            groups[0].text.starts_with("the agent: about 41 % of this agent's generations"),
            "{groups:?}"
        );
        assert_eq!(groups[1].text, "the LLM: the temperature is 0.9");
    }
}
