//! Risk policy: rules from the predicted risk to the settings of a plan.

use super::candidates::Plan;
use crate::error::Result;
use crate::models::{RiskLevel, SuccessPrediction};
use serde::{Deserialize, Serialize};

/// Rules in order; a later one overrides an earlier one.
///
/// The default lowers the temperature to 0.05 and retrieves five examples where the risk is very high. Rules are data: a
/// host keeps its own in a file.
///
/// ```
/// use devmatrix_ml::routing::RiskPolicy;
/// let policy: RiskPolicy = serde_json::from_str(
///     r#"{"rules": [{"name": "legal", "risk_at_least": "high", "when_reason": "authentication",
///                    "plan": {"human_review": true, "retry_budget": 1}}]}"#,
/// ).unwrap();
/// assert_eq!(policy.rules[0].plan.retry_budget, Some(1));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RiskPolicy {
    /// The rules, in order.
    pub rules: Vec<RiskRule>,
}

/// A rule: settings from a risk level on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskRule {
    /// Its name.
    pub name: String,
    /// The lowest risk level that it applies to.
    pub risk_at_least: RiskLevel,
    /// Applies only where a risk factor has this in the name of its feature.
    #[serde(default)]
    pub when_reason: Option<String>,
    /// The settings.
    pub plan: Plan,
}

/// A changed setting with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adjustment {
    /// The rule.
    pub rule: String,
    /// The setting, by its name in [`Plan`].
    pub setting: String,
    /// The value.
    pub value: serde_json::Value,
    /// The reason, in a sentence.
    pub reason: String,
}

impl Default for RiskPolicy {
    fn default() -> Self {
        let careful =
            Plan { temperature: Some(0.05), use_rag: Some(true), max_examples: Some(5), ..Plan::default() };
        Self { rules: vec![RiskRule::new("conservative", RiskLevel::VeryHigh, careful)] }
    }
}

impl RiskRule {
    /// Creates a rule from a risk level on.
    fn new(name: impl Into<String>, risk_at_least: RiskLevel, plan: Plan) -> Self {
        Self { name: name.into(), risk_at_least, when_reason: None, plan }
    }

    /// Returns the reason why the rule applies; `None` where it does not.
    fn reason(&self, prediction: &SuccessPrediction) -> Option<String> {
        if prediction.risk_level < self.risk_at_least {
            return None;
        }
        let risk = format!("predicted success {:.0} %", prediction.success_probability * 100.0);
        let Some(about) = &self.when_reason else { return Some(risk) };
        let reason = prediction.risk_factors.iter().find(|reason| reason.feature.contains(about.as_str()))?;
        Some(format!("{risk}; {}", reason.text))
    }
}

impl RiskPolicy {
    /// Returns `plan` with the settings of the rules that apply to a prediction, and the changes.
    ///
    /// # Errors
    /// `InvalidInput` naming the rule whose plan is out of range.
    pub(crate) fn adjust(
        &self,
        plan: &Plan,
        prediction: &SuccessPrediction,
    ) -> Result<(Plan, Vec<Adjustment>)> {
        let (mut plan, mut adjustments) = (plan.clone(), Vec::new());
        for rule in &self.rules {
            rule.plan.validate().map_err(|e| e.context(format!("rule {:?}", rule.name)))?;
            let Some(reason) = rule.reason(prediction) else { continue };
            for (setting, value) in rule.plan.settings() {
                adjustments.retain(|earlier: &Adjustment| earlier.setting != setting);
                adjustments.push(Adjustment {
                    rule: rule.name.clone(),
                    setting,
                    value,
                    reason: reason.clone(),
                });
            }
            plan = plan.with(&rule.plan);
        }
        Ok((plan, adjustments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Status;

    fn predicted(p: f64) -> SuccessPrediction {
        SuccessPrediction::new(p, (p, p), Status::Calibrated, 0)
    }

    #[test]
    fn the_default_applies_to_very_high_risk() {
        let policy = RiskPolicy::default();
        let (plan, why) = policy.adjust(&Plan::by_llm("a"), &predicted(0.3)).unwrap();
        assert_eq!((plan.temperature, plan.use_rag, plan.max_examples), (Some(0.05), Some(true), Some(5)));
        assert_eq!((plan.llm.as_deref(), why.len()), (Some("a"), 3));
        assert_eq!(why[0].reason, "predicted success 30 %");
        let (plan, why) = policy.adjust(&Plan::by_llm("a"), &predicted(0.6)).unwrap();
        assert_eq!((plan, why), (Plan::by_llm("a"), Vec::new()));
    }

    #[test]
    fn a_later_rule_goes_first_and_a_bad_one_is_named() {
        let mut policy = RiskPolicy::default();
        let mut cold = Plan { temperature: Some(0.0), ..Plan::default() };
        policy.rules.push(RiskRule::new("cold", RiskLevel::High, cold.clone()));
        let (plan, why) = policy.adjust(&Plan::default(), &predicted(0.3)).unwrap();
        assert_eq!((plan.temperature, why.len()), (Some(0.0), 3));
        cold.temperature = Some(f64::NAN);
        policy.rules.push(RiskRule::new("bad", RiskLevel::VeryHigh, cold));
        let error = policy.adjust(&Plan::default(), &predicted(0.9)).unwrap_err().to_string();
        assert!(error.contains("rule \"bad\"") && error.contains("temperature is NaN"), "{error}");
    }

    #[test]
    fn a_rule_may_ask_for_a_reason() {
        let mut rule = RiskRule::new("auth", RiskLevel::Low, Plan::default());
        rule.when_reason = Some("authentication".into());
        assert_eq!(rule.reason(&predicted(0.9)), None);
    }
}
