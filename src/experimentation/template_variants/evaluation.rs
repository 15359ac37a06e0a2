//! Which templates are promoted or retired, on what evidence.

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

/// What can be set of judging templates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EvolutionOptions {
    /// The probability of ever promoting a variant of a template that is no better, whatever many are
    /// tried and however often one looks, 0.0001 to 0.2. Retiring has as much again.
    pub alpha: f64,
    /// The least difference that matters, above 0, in the unit of the reward: a variant that is beyond
    /// doubt not better by as much is retired.
    pub effect: f64,
    /// How often both must have been used before they are compared, from 10: the limit theorem needs some.
    pub min_uses: usize,
    /// What a template is to be best at: utility in US dollars by this; `None` for success alone.
    pub objective: Option<Objective>,
}

impl Default for EvolutionOptions {
    fn default() -> Self {
        Self { alpha: 0.05, effect: 0.05, min_uses: 50, objective: None }
    }
}

impl EvolutionOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// `InvalidInput` naming the option and its value.
    pub fn verify(&self) -> Result<()> {
        in_range("alpha", self.alpha, 1e-4, 0.2)?;
        in_range("effect", self.effect, 1e-9, 1e9)?;
        in_range("min_uses", self.min_uses as f64, 10.0, 1e9)?;
        self.objective.as_ref().map_or(Ok(()), Objective::verify)
    }

    fn reward(&self, outcome: &TemplateOutcome) -> Option<f64> {
        let success = f64::from(u8::from(outcome.success));
        match &self.objective {
            None => Some(success),
            Some(objective) => Some(objective.utility(success, outcome.cost_usd?, outcome.seconds?)),
        }
    }

    /// The part of `alpha` that a root's variant of this number has: all parts together are `alpha`,
    /// however many variants there will be.
    fn share(&self, number: u32) -> f64 {
        self.alpha * 6.0 / (std::f64::consts::PI * f64::from(number.max(1))).powi(2)
    }
}

impl VariantRegistry {
    /// Judges every template in force and every variant on trial by what came of them.
    ///
    /// A variant is promoted when it is better beyond doubt than the one of its root that is in force,
    /// over all contexts, and in none of them worse beyond doubt; retired when it is worse beyond doubt,
    /// or not better by as much as matters. One of several of a kind in force is retired when in every
    /// context in which it was compared another one is better beyond doubt. Nothing changes until
    /// [`VariantRegistry::apply`].
    ///
    /// # Errors
    /// `InvalidInput` when an option is out of range.
    pub fn judge(&self, past: &LoggedTemplates, options: &EvolutionOptions) -> Result<EvolutionReport> {
        options.verify()?;
        let rewarded: Vec<Rewarded<'_>> =
            past.outcomes.iter().filter_map(|outcome| Some((outcome, options.reward(outcome)?))).collect();
        let contexts: BTreeSet<&str> = rewarded.iter().map(|(outcome, _)| outcome.context.as_str()).collect();
        let mut verdicts = Vec::new();
        for variant in self.iter() {
            match variant.status() {
                VariantStatus::Trial => verdicts.push(self.on_trial(variant, &rewarded, &contexts, options)),
                VariantStatus::Promoted => verdicts.push(self.force(variant, &rewarded, &contexts, options)),
                VariantStatus::Proposed | VariantStatus::Retired => {}
            }
        }
        self.one_winner_each(&mut verdicts);
        Ok(EvolutionReport {
            records: records(&past.outcomes),
            verdicts,
            without_propensity: past.outcomes.iter().filter(|outcome| outcome.weights.is_empty()).count(),
            unanswered: past.unanswered,
            young: past.young,
        })
    }

    /// Promotes and retires as a report says; what has changed its status since it was judged is left as
    /// it is, so applying twice changes nothing. Says which changed.
    ///
    /// # Errors
    /// `NotFound` where the report is of another lineage.
    pub fn apply(&mut self, report: &EvolutionReport, now: DateTime<Utc>) -> Result<Vec<TemplateId>> {
        let mut changed = Vec::new();
        for TemplateVerdict { template, status, verdict, reasons, .. } in &report.verdicts {
            if self.find(template)?.status() != *status {
                continue;
            }
            let why = reasons.first().map_or("", String::as_str);
            let done = match verdict {
                VerdictKind::Promote => self.promote(template, why, now),
                VerdictKind::Retire => self.retire(template, why, now),
                VerdictKind::Continue => continue,
            };
            match done {
                Ok(()) => changed.push(template.clone()),
                // The last one of its kind stays.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    fn on_trial(
        &self,
        variant: &Variant,
        rewarded: &[Rewarded<'_>],
        contexts: &BTreeSet<&str>,
        options: &EvolutionOptions,
    ) -> TemplateVerdict {
        let Some(incumbent) = self.active(&variant.root) else {
            let why = "nothing of its root is in force to compare it with".to_owned();
            return TemplateVerdict::of(variant, VerdictKind::Continue, vec![why], Vec::new());
        };
        let alpha = options.share(variant.number);
        let pair = [&variant.id, &incumbent.id];
        let Some(all) = contrast(rewarded, pair, None, alpha, options) else {
            let why =
                format!("one of it and {} was used fewer than {} times", incumbent.id, options.min_uses);
            return TemplateVerdict::of(variant, VerdictKind::Continue, vec![why], Vec::new());
        };
        let single = contexts.iter().filter_map(|name| contrast(rewarded, pair, Some(name), alpha, options));
        let single: Vec<_> = single.collect();
        let worse = single.iter().find(|found| found.upper < 0.0);
        let (verdict, why) = match worse {
            _ if all.upper < 0.0 => (VerdictKind::Retire, format!("worse beyond doubt: {all}")),
            _ if all.lower > 0.0 && worse.is_none() => {
                (VerdictKind::Promote, format!("better beyond doubt: {all}"))
            }
            Some(found) => (VerdictKind::Continue, format!("worse beyond doubt in one context: {found}")),
            None if all.upper < options.effect => {
                (VerdictKind::Retire, format!("not better by {} beyond doubt: {all}", options.effect))
            }
            None => (VerdictKind::Continue, format!("not yet to tell: {all}")),
        };
        TemplateVerdict::of(variant, verdict, vec![why], std::iter::once(all).chain(single).collect())
    }

    /// A template in force beside the others of its kind.
    fn force(
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
            lost.values().flatten().map(|by| format!("beaten beyond doubt: {by}")).collect();
        let loses = !lost.is_empty() && lost.values().all(Option::is_some);
        let verdict = if loses { VerdictKind::Retire } else { VerdictKind::Continue };
        let reasons = match (reasons.is_empty(), incumbents.is_empty()) {
            (false, _) => reasons,
            (true, true) => vec![format!("the only one in force for {}", variant.kind)],
            (true, false) => vec!["beaten beyond doubt by none".to_owned()],
        };
        TemplateVerdict::of(variant, verdict, reasons, contrasts)
    }

    /// Of several winners of one root the one whose lower end is highest.
    fn one_winner_each(&self, verdicts: &mut [TemplateVerdict]) {
        let mut best = BTreeMap::<TemplateId, (usize, f64)>::new();
        for place in 0..verdicts.len() {
            let (Some(variant), VerdictKind::Promote) =
                (self.get(&verdicts[place].template), verdicts[place].verdict)
            else {
                continue;
            };
            let lower = verdicts[place].contrasts.first().map_or(f64::NEG_INFINITY, |found| found.lower);
            let before = best.get(&variant.root).copied();
            if before.is_none_or(|(_, bound)| lower > bound) {
                best.insert(variant.root.clone(), (place, lower));
            }
            let loser = match before {
                Some((other, bound)) if lower > bound => other,
                Some(_) => place,
                None => continue,
            };
            verdicts[loser].verdict = VerdictKind::Continue;
            verdicts[loser].reasons.insert(0, "another variant is better still".to_owned());
        }
    }
}
