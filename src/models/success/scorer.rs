//! What gives the log-odds of one regime: corrections of the past and, where agents share tasks,
//! their ability.

use super::ability::{Ability, AbilityTerms};
use super::params::SuccessParams;
use super::part::{Contributions, Part, Regime, StoredPart};
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::features::{FeatureRow, index_of};
use serde::{Deserialize, Serialize};

/// A fitted regime.
#[derive(Debug, Clone)]
pub(super) struct Scorer {
    pub(super) part: Part,
    ability: Option<Ability>,
    /// Share of the ability in the log-odds.
    pub(super) share: f64,
}

impl Scorer {
    pub(super) fn fit(regime: Regime, examples: &[&Example], params: &SuccessParams) -> Result<Self> {
        let ability = match regime {
            Regime::NewTask => Ability::fit(examples)?,
            Regime::SeenTask => None,
        };
        Ok(Self { part: Part::fit(regime, examples, params)?, ability, share: 0.0 })
    }

    /// The same with this share of the ability.
    pub(super) fn with_share(self, share: f64) -> Self {
        let share = if self.ability.is_some() { share } else { 0.0 };
        Self { share, ..self }
    }

    /// The log-odds of `row`.
    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        match self.used_ability() {
            Some(ability) => (1.0 - self.share) * self.part.margin(row) + self.share * ability.margin(row),
            None => self.part.margin(row),
        }
    }

    /// What either says of `row`; of the past alone where there is no ability.
    pub(super) fn both(&self, row: &FeatureRow) -> [f64; 2] {
        let past = self.part.margin(row);
        [past, self.ability.as_ref().map_or(past, |ability| ability.margin(row))]
    }

    /// The log-odds taken apart; the parts add up to them.
    pub(super) fn contributions(&self, row: &FeatureRow) -> Contributions {
        let mut found = self.part.contributions(row);
        let Some(ability) = self.used_ability() else { return found };
        let AbilityTerms { base, solver, text } = ability.terms(row);
        let mix = |past: f64, able: f64| (1.0 - self.share) * past + self.share * able;
        found.features.iter_mut().for_each(|part| *part = mix(*part, 0.0));
        if let Some(place) = index_of("agent_model_success_rate") {
            found.features[place] += self.share * solver;
        }
        Contributions { base: mix(found.base, base), wording: mix(found.wording, text), ..found }
    }

    /// Shares of the trees' gain by feature.
    pub(super) fn gains(&self) -> Vec<(String, f64)> {
        self.part.gains()
    }

    pub(super) fn used_ability(&self) -> Option<&Ability> {
        self.ability.as_ref().filter(|_| self.share > 0.0)
    }

    pub(super) fn store(&self) -> Result<StoredScorer> {
        let ability = self.used_ability().cloned();
        Ok(StoredScorer { part: self.part.store()?, ability, share: self.share })
    }
}

/// A scorer as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredScorer {
    part: StoredPart,
    ability: Option<Ability>,
    share: f64,
}

impl StoredScorer {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(mut self) -> Result<Scorer> {
        let able = self.ability.as_mut().map(Ability::prepare).transpose()?.unwrap_or(true);
        if !able || !(0.0..=1.0).contains(&self.share) {
            return Err(Error::corrupt("success model: its abilities are out of range"));
        }
        Ok(Scorer { part: self.part.open()?, ability: self.ability, share: self.share })
    }
}
