//! Evaluation of templates: promotion and retirement.

use super::compare::{Rewarded, TemplateContrast, contrast};
use super::logged_templates::{LoggedTemplates, TemplateOutcome};
use super::report::{EvolutionReport, TemplateVerdict, VerdictKind, records};
use super::variant_registry::{Variant, VariantRegistry, VariantStatus};
use crate::error::{ErrorKind, Result, in_range};
use crate::event::TemplateId;
use crate::routing::Objective;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Options of evaluating template variants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EvolutionOptions {
    /// Significance level: the probability of ever promoting a variant of a template that is no better, over all variants
    /// and analyses, 0.0001 to 0.2. Retiring has the same level.
    pub alpha: f64,
    /// Minimum detectable effect, above 0, in the unit of the reward: a variant that is significantly not better by as
    /// much is retired.
    pub effect: f64,
    /// Uses of both before they are compared, from 10: the intervals are asymptotic.
    pub min_uses: usize,
    /// The objective: utility in US dollars; `None` for success alone.
    pub objective: Option<Objective>,
}

impl Default for EvolutionOptions {
    fn default() -> Self {
        Self { alpha: 0.05, effect: 0.05, min_uses: 50, objective: None }
    }
}

impl EvolutionOptions {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("alpha", self.alpha, 1e-4, 0.2)?;
        in_range("effect", self.effect, 1e-9, 1e9)?;
        in_range("min_uses", self.min_uses as f64, 10.0, 1e9)?;
        self.objective.as_ref().map_or(Ok(()), Objective::validate)
    }

    fn reward(&self, outcome: &TemplateOutcome) -> Option<f64> {
        let success = f64::from(u8::from(outcome.success));
        match &self.objective {
            None => Some(success),
            Some(objective) => Some(objective.utility(success, outcome.cost_usd?, outcome.seconds?)),
        }
    }

    /// Returns the part of `alpha` for a root's variant of this number: the parts of all variants add up to `alpha` (an
    /// alpha-spending sequence, 6 / (π n)²).
    fn share(&self, number: u32) -> f64 {
        self.alpha * 6.0 / (std::f64::consts::PI * f64::from(number.max(1))).powi(2)
    }
}

impl VariantRegistry {
    /// Evaluates every active template and every variant on trial.
    ///
    /// A variant is promoted when it is significantly better than the active one of its root over all contexts, and in
    /// none of them significantly worse; it is retired when it is significantly worse, or not better by as much as
    /// matters. One of several active templates of a kind is retired when in every context another one is significantly
    /// better. Nothing changes until [`VariantRegistry::apply`].
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range.
    pub fn evaluate(&self, logged: &LoggedTemplates, options: &EvolutionOptions) -> Result<EvolutionReport> {
        options.validate()?;
        let rewarded: Vec<Rewarded<'_>> =
            logged.outcomes.iter().filter_map(|outcome| Some((outcome, options.reward(outcome)?))).collect();
        let contexts: BTreeSet<&str> = rewarded.iter().map(|(outcome, _)| outcome.context.as_str()).collect();
        let mut verdicts = Vec::new();
        for variant in self.iter() {
            match variant.status() {
                VariantStatus::Trial => {
                    verdicts.push(self.evaluate_trial(variant, &rewarded, &contexts, options));
                }
                VariantStatus::Promoted => {
                    verdicts.push(self.evaluate_active(variant, &rewarded, &contexts, options));
                }
                VariantStatus::Proposed | VariantStatus::Retired => {}
            }
        }
        self.one_winner_each(&mut verdicts);
        Ok(EvolutionReport {
            records: records(&logged.outcomes),
            verdicts,
            without_propensity: logged.outcomes.iter().filter(|outcome| outcome.weights.is_empty()).count(),
            unlabelled: logged.unlabelled,
            young: logged.young,
        })
    }

    /// Promotes and retires by a report and returns the templates that changed. Templates whose status has changed since
    /// the evaluation are left alone, so applying twice changes nothing.
    ///
    /// # Errors
    /// `NotFound` where the report is of another registry.
    pub fn apply(&mut self, report: &EvolutionReport, now: DateTime<Utc>) -> Result<Vec<TemplateId>> {
        let mut changed = Vec::new();
        for TemplateVerdict { template, status, verdict, reasons, .. } in &report.verdicts {
            if self.find(template)?.status() != *status {
                continue;
            }
            let reason = reasons.first().map_or("", String::as_str);
            let done = match verdict {
                VerdictKind::Promote => self.promote(template, reason, now),
                VerdictKind::Retire => self.retire(template, reason, now),
                VerdictKind::Continue => continue,
            };
            match done {
                Ok(()) => changed.push(template.clone()),
                // The last active one of its kind stays.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    fn evaluate_trial(
        &self,
        variant: &Variant,
        rewarded: &[Rewarded<'_>],
        contexts: &BTreeSet<&str>,
        options: &EvolutionOptions,
    ) -> TemplateVerdict {
        let Some(incumbent) = self.active(&variant.root) else {
            let reason = "no active template of its root to compare it with".to_owned();
            return TemplateVerdict::of(variant, VerdictKind::Continue, vec![reason], Vec::new());
        };
        let alpha = options.share(variant.number);
        let pair = [&variant.id, &incumbent.id];
        let Some(all) = contrast(rewarded, pair, None, alpha, options) else {
            let reason =
                format!("one of it and {} was used fewer than {} times", incumbent.id, options.min_uses);
            return TemplateVerdict::of(variant, VerdictKind::Continue, vec![reason], Vec::new());
        };
        let single = contexts.iter().filter_map(|name| contrast(rewarded, pair, Some(name), alpha, options));
        let single: Vec<_> = single.collect();
        let worse = single.iter().find(|found| found.upper < 0.0);
        let (verdict, reason) = match worse {
            _ if all.upper < 0.0 => (VerdictKind::Retire, format!("significantly worse: {all}")),
            _ if all.lower > 0.0 && worse.is_none() => {
                (VerdictKind::Promote, format!("significantly better: {all}"))
            }
            Some(found) => (VerdictKind::Continue, format!("significantly worse in one context: {found}")),
            None if all.upper < options.effect => {
                (VerdictKind::Retire, format!("significantly not better by {}: {all}", options.effect))
            }
            None => (VerdictKind::Continue, format!("inconclusive: {all}")),
        };
        TemplateVerdict::of(variant, verdict, vec![reason], std::iter::once(all).chain(single).collect())
    }

    /// Compares an active template with the others of its kind.
    fn evaluate_active(
        &self,
        variant: &Variant,
        rewarded: &[Rewarded<'_>],
        contexts: &BTreeSet<&str>,
        options: &EvolutionOptions,
    ) -> TemplateVerdict {
        let kind = |v: &&Variant| v.kind == variant.kind && v.status() == VariantStatus::Promoted;
        let incumbents: Vec<_> = self.iter().filter(kind).filter(|other| other.id != variant.id).collect();
        let tests = (incumbents.len() * (incumbents.len() + 1) * contexts.len()).max(1);
        let alpha = options.alpha / tests as f64;
        let mut contrasts = Vec::new();
        for context in contexts {
            let with = |incumbent: &&Variant| {
                contrast(rewarded, [&variant.id, &incumbent.id], Some(context), alpha, options)
            };
            contrasts.extend(incumbents.iter().filter_map(with));
        }
        let mut lost = BTreeMap::<&str, Option<&TemplateContrast>>::new();
        for found in &contrasts {
            let by = lost.entry(found.context.as_deref().unwrap_or_default()).or_default();
            if found.upper < 0.0 {
                *by = Some(found);
            }
        }
        let reasons: Vec<_> =
            lost.values().flatten().map(|by| format!("significantly worse: {by}")).collect();
        let loses = !lost.is_empty() && lost.values().all(Option::is_some);
        let verdict = if loses { VerdictKind::Retire } else { VerdictKind::Continue };
        let reasons = match (reasons.is_empty(), incumbents.is_empty()) {
            (false, _) => reasons,
            (true, true) => vec![format!("the only active one for {}", variant.kind)],
            (true, false) => vec!["none is significantly better".to_owned()],
        };
        TemplateVerdict::of(variant, verdict, reasons, contrasts)
    }

    /// Keeps, of several winners of one root, the one with the highest lower end.
    fn one_winner_each(&self, verdicts: &mut [TemplateVerdict]) {
        let mut best = BTreeMap::<TemplateId, (usize, f64)>::new();
        for index in 0..verdicts.len() {
            let (Some(variant), VerdictKind::Promote) =
                (self.get(&verdicts[index].template), verdicts[index].verdict)
            else {
                continue;
            };
            let lower = verdicts[index].contrasts.first().map_or(f64::NEG_INFINITY, |found| found.lower);
            let before = best.get(&variant.root).copied();
            if before.is_none_or(|(_, bound)| lower > bound) {
                best.insert(variant.root.clone(), (index, lower));
            }
            let loser = match before {
                Some((other, bound)) if lower > bound => other,
                Some(_) => index,
                None => continue,
            };
            verdicts[loser].verdict = VerdictKind::Continue;
            verdicts[loser].reasons.insert(0, "another variant has a higher lower bound".to_owned());
        }
    }
}
