//! A learned policy as text: rules that a team reviews, pins in git, and loads again.

use super::features::{llm_feature, llm_type_feature};
use super::objective::Objective;
use super::policies::{Arm, Policy, Posterior, all_on};
use super::router::Router;
use crate::error::{Error, Result};
use crate::ml::wilson;
use crate::stats::distributions::normal_cdf;
use crate::stats::fnv;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// A policy that no longer learns: rules that a router has learned, with their evidence.
///
/// Its JSON has one rule for each type of task and LLM, in their order, rounded, so that two exports differ where the evidence
/// does: `group` (the type of task; `*` is all), `arm` (the LLM), `estimate` and 90 % `interval` of its success rate, `n`
/// outcomes. `signed_off_by` is for the team. A router that chooses by it takes the best by the objective; what else the
/// router may try, [`Safety`](super::Safety) says.
///
/// ```
/// use devmatrix_ml::config;
/// use devmatrix_ml::routing::{FrozenPolicy, Router, RouterOptions, Thompson};
/// let learned = Router::new(Box::new(Thompson::default()), RouterOptions::default())?;
/// let text = serde_json::to_string_pretty(&FrozenPolicy::from(&learned)).unwrap(); // from an engine: `from(&engine)`
/// let pinned: FrozenPolicy = config::from_json(&text)?; // reviewed, and read from git
/// let router = Router::new(Box::new(pinned), RouterOptions::default())?;
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct FrozenPolicy {
    text: Text,
    name: String,
    /// Rules by the feature that an arm has where they hold.
    by_feature: HashMap<u64, usize>,
}

/// The form in which it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u32,
    /// The policy that learned.
    learned_by: String,
    #[serde(default)]
    signed_off_by: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    group: String,
    arm: String,
    estimate: f64,
    interval: (f64, f64),
    n: u64,
}

/// The version of the form.
const FORMAT: u32 = 1;
/// The group of all types of task together.
const ALL: &str = "*";
/// Standard deviations from the middle of a 90 % interval to its ends.
const HALF_WIDTH: f64 = 1.645;

impl From<&Router> for FrozenPolicy {
    fn from(router: &Router) -> Self {
        let entries = router.leaderboard();
        let mut all = BTreeMap::<&str, (f64, f64, u64)>::new();
        for entry in &entries {
            let sums = all.entry(&entry.llm).or_default();
            *sums = (sums.0 + entry.rate * entry.evidence, sums.1 + entry.evidence, sums.2 + entry.outcomes);
        }
        let rule = |group: &str, arm: &str, rate: f64, interval: (f64, f64), n| Rule {
            group: group.to_owned(),
            arm: arm.to_owned(),
            estimate: rounded(rate),
            interval: (rounded(interval.0), rounded(interval.1)),
            n,
        };
        let typed = entries.iter().filter(|entry| !entry.task_type.is_empty());
        let typed = typed.map(|e| rule(&e.task_type, &e.llm, e.rate, e.interval, e.outcomes));
        let of_all = all.iter().map(|(llm, (successes, weight, n))| {
            let rate = successes / weight;
            rule(ALL, llm, rate, wilson(rate, *weight), *n)
        });
        let mut rules: Vec<_> = of_all.chain(typed).collect();
        rules.sort_by(|a, b| (&a.group, &a.arm).cmp(&(&b.group, &b.arm)));
        Self::of(Text {
            format: FORMAT,
            learned_by: router.policy().name().to_owned(),
            signed_off_by: None,
            rules,
        })
    }
}

impl FrozenPolicy {
    fn of(text: Text) -> Self {
        let feature = |rule: &Rule| match rule.group.as_str() {
            ALL => llm_feature(&rule.arm),
            group => llm_type_feature(&rule.arm, group),
        };
        let by_feature =
            text.rules.iter().enumerate().filter_map(|(at, rule)| Some((feature(rule)?, at))).collect();
        let rules = text.rules.iter().map(|rule| format!("{rule:?}")).collect::<String>();
        let name = format!("frozen {:08x}", fnv::hash(rules.as_bytes()) as u32);
        Self { text, name, by_feature }
    }

    /// Returns the rule of an arm: that of its type of task, else that of all.
    fn rule(&self, arm: &Arm) -> Option<&Rule> {
        let found = arm.features.iter().filter_map(|(feature, _)| self.by_feature.get(feature));
        found.map(|at| &self.text.rules[*at]).max_by_key(|rule| rule.group != ALL)
    }
}

impl Policy for FrozenPolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn propensities(&self, arms: &[Arm], objective: &Objective, _seed: u64) -> Vec<f64> {
        let means: Vec<_> = self.posteriors(arms).into_iter().map(|posterior| posterior.success).collect();
        all_on(objective.best(arms, &means), arms.len())
    }

    fn posteriors(&self, arms: &[Arm]) -> Vec<Posterior> {
        // Without a rule nothing is known.
        let posterior = |rule: Option<&Rule>| match rule {
            Some(rule) => Posterior::new(rule.estimate, rule.interval),
            None => Posterior::new(0.5, (0.0, 1.0)),
        };
        arms.iter().map(|arm| posterior(self.rule(arm))).collect()
    }

    fn beats(&self, pair: &[Arm; 2], objective: &Objective, _seed: u64) -> f64 {
        let posteriors = self.posteriors(pair);
        let means: Vec<_> = posteriors.iter().map(|posterior| posterior.success).collect();
        if objective.goal != super::Goal::Utility {
            return if objective.best(pair, &means) == 0 { 1.0 } else { 0.0 };
        }
        let utility = |at: usize| objective.utility(means[at], pair[at].cost_usd, pair[at].seconds);
        let deviation = |p: &Posterior| objective.usd_per_success * (p.high - p.low) / (2.0 * HALF_WIDTH);
        let deviation = posteriors.iter().map(|p| deviation(p).powi(2)).sum::<f64>().sqrt();
        let ahead = utility(0) - utility(1);
        if deviation > 0.0 { normal_cdf(ahead / deviation) } else { f64::from(u8::from(ahead >= 0.0)) }
    }

    fn learn(&mut self, _arm: &Arm, _success: bool) {}

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.name.as_bytes().to_vec())
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes == self.name.as_bytes() {
            return Ok(());
        }
        Err(Error::corrupt("the state is not that of this frozen policy: open the router from its store"))
    }
}

impl TryFrom<Text> for FrozenPolicy {
    type Error = Error;

    fn try_from(text: Text) -> Result<Self> {
        if text.format != FORMAT {
            return Err(Error::incompatible(format!(
                "the frozen policy has format {}, this release reads {FORMAT}: export it anew",
                text.format
            )));
        }
        let mut seen = std::collections::HashSet::new();
        for Rule { group, arm, estimate, interval: (low, high), .. } in &text.rules {
            let refuse =
                |what: String| Err(Error::invalid(format!("the rule of {arm:?} for {group:?}: {what}")));
            let is_ordered = (0.0..=*estimate).contains(low) && (*estimate..=1.0).contains(high);
            if !is_ordered {
                return refuse(format!("{low} <= {estimate} <= {high} must hold within 0 to 1"));
            }
            if arm.is_empty() || group.is_empty() {
                return refuse("group and arm must have a name".into());
            }
            if !seen.insert((group.trim().to_lowercase(), arm.trim().to_lowercase())) {
                return refuse("there are two: keep one".into());
            }
        }
        Ok(Self::of(text))
    }
}

impl From<FrozenPolicy> for Text {
    fn from(policy: FrozenPolicy) -> Self {
        policy.text
    }
}

/// Rounds to four digits after the point, so that a file changes where the evidence does.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, Feedback, GenerationEvent, Known, TaskContext, UserAction};
    use crate::routing::{Candidate, Request, RouterOptions, Thompson};
    use chrono::{DateTime, Utc};

    fn task(kind: &str) -> TaskContext {
        let mut task = TaskContext::of("t").unwrap();
        task.task_type = Some(kind.into());
        task
    }

    /// One LLM is good at the backend, the other at the frontend.
    fn learned() -> Router {
        let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default()).unwrap();
        let now: DateTime<Utc> = "2025-03-03T00:00:00Z".parse().unwrap();
        for i in 0..400_u32 {
            let (kind, llm) =
                (["backend", "frontend"][i as usize % 2], ["left", "right"][i as usize / 2 % 2]);
            let good = (kind == "backend") == (llm == "left");
            let event = EventId::new(format!("e{i}")).unwrap();
            let mut event = GenerationEvent::new(event, now, Candidate::by_llm(llm).plan.apply(&task(kind)));
            let approved = if good { i % 10 > 0 } else { i % 3 == 0 };
            let action = if approved { UserAction::Approve } else { UserAction::Reject };
            event.feedback = vec![Known { known_at: now, value: Feedback::new(action) }];
            router.feedback(&event);
        }
        router
    }

    #[test]
    fn a_policy_that_was_exported_chooses_by_its_rules() {
        let text = serde_json::to_string_pretty(&FrozenPolicy::from(&learned())).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rules = json["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 6, "{text}");
        assert!(
            rules.iter().any(|rule| rule["group"] == "backend" && rule["arm"] == "left" && rule["n"] == 100),
            "{text}"
        );
        let frozen: FrozenPolicy = crate::config::from_json(&text).unwrap();
        assert_eq!(frozen, FrozenPolicy::from(&learned()), "the same evidence gives the same file");
        let mut options = RouterOptions::default();
        options.safety.exploration_off = true;
        let mut router = Router::new(Box::new(frozen), options).unwrap();
        let candidates = ["left", "right"].map(Candidate::by_llm);
        for (kind, best) in [("backend", "left"), ("frontend", "right"), ("Backend ", "left")] {
            let now = "2025-03-03T00:00:00Z".parse().unwrap();
            let decision = router.choose(&Request::new(&task(kind), &candidates, now)).unwrap().decision;
            assert_eq!((decision.chosen.as_str(), decision.propensity), (best, 1.0), "{kind}");
            assert!(decision.policy.starts_with("frozen "), "{}", decision.policy);
        }
        let before = router.policy().posteriors(&[Arm::default()]);
        assert_eq!((before[0].low, before[0].high), (0.0, 1.0));
    }

    #[test]
    fn a_file_that_no_router_writes_is_refused_with_its_rule() {
        let good = serde_json::to_value(FrozenPolicy::from(&learned())).unwrap();
        type Change = fn(&mut serde_json::Value);
        let changes: [(&str, Change); 4] = [
            ("the rule of \"left\" for \"*\"", |json| json["rules"][0]["estimate"] = 1.5.into()),
            ("there are two", |json| json["rules"][1] = json["rules"][0].clone()),
            ("format 2", |json| json["format"] = 2.into()),
            ("n_outcomes", |json| json["rules"][0]["n_outcomes"] = 2.into()),
        ];
        for (text, change) in changes {
            let mut json = good.clone();
            change(&mut json);
            let error = crate::config::from_json::<FrozenPolicy>(&json.to_string()).unwrap_err();
            assert!(format!("{error:#}").contains(text), "{error:#}");
        }
    }
}
