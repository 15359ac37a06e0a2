//! What gives the log-odds of one regime: corrections of the past and, where agents share tasks,
//! their ability.

use super::ability::{Ability, AbilityTerms, StoredAbility};
use super::component::{Contributions, ModelComponent, Regime, StoredPart};
use super::params::SuccessParams;
use super::rate_baseline::RateBaseline;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::features::{FEATURES, FeatureId, FeatureRow};
use crate::models::column_encoder::ColumnEncoder;
use crate::models::external::ImportedTrees;
use crate::models::unseen::UnseenValue;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A fitted regime.
#[derive(Debug, Clone)]
pub(super) struct Scorer {
    pub(super) past: Past,
    ability: Option<Ability>,
    /// Share of the ability in the log-odds.
    pub(super) share: f64,
    /// The rate of the history that answers in place of both, where it was not worse on held-out rows.
    pub(super) rate: Option<RateBaseline>,
}

/// What knows the past.
#[derive(Debug, Clone)]
pub(super) enum Past {
    /// Corrections that were learned here.
    Learned(Box<ModelComponent>),
    /// Trees that were learned elsewhere.
    Imported(Box<ImportedTrees>),
}

impl Scorer {
    pub(super) fn fit(regime: Regime, examples: &[&Example], params: &SuccessParams) -> Result<Self> {
        let part = ModelComponent::fit(regime, examples, params)?;
        let ability = match regime {
            Regime::NewTask => Ability::fit(examples, &part.encoder)?,
            Regime::SeenTask => None,
        };
        Ok(Self { past: Past::Learned(Box::new(part)), ability, share: 0.0, rate: None })
    }

    /// One of trees that were learned elsewhere.
    pub(super) fn imported(trees: ImportedTrees) -> Self {
        Self { past: Past::Imported(Box::new(trees)), ability: None, share: 0.0, rate: None }
    }

    /// The trees, if they were learned elsewhere.
    pub(super) fn as_imported(&self) -> Option<&ImportedTrees> {
        match &self.past {
            Past::Learned(_) => None,
            Past::Imported(trees) => Some(trees),
        }
    }

    /// Sets the mixing weight of the ability model.
    pub(super) fn with_share(self, share: f64) -> Self {
        let share = if self.ability.is_some() { share } else { 0.0 };
        Self { share, ..self }
    }

    /// Lets a rate of the history answer, where there is one.
    pub(super) fn answered_by(self, rate: Option<RateBaseline>) -> Self {
        Self { rate, ..self }
    }

    /// The log-odds of `row`.
    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        if let Some(rate) = self.rate {
            return rate.margin(row);
        }
        match self.used_ability() {
            Some(ability) => {
                let able = ability.margin(&self.as_declared(row));
                (1.0 - self.share) * self.past.margin(row) + self.share * able
            }
            None => self.past.margin(row),
        }
    }

    /// Returns the values of `row` that are unlike all that its trees were trained on.
    pub(super) fn unseen(&self, row: &FeatureRow) -> Vec<UnseenValue> {
        match &self.past {
            _ if self.rate.is_some() || self.used_ability().is_some() && self.share >= 1.0 => Vec::new(),
            Past::Learned(part) => part.unseen(row),
            Past::Imported(trees) => trees.unseen(row),
        }
    }

    /// What either says of `row`; of the past alone where there is no ability.
    pub(super) fn both(&self, row: &FeatureRow) -> [f64; 2] {
        let past = self.past.margin(row);
        [past, self.ability.as_ref().map_or(past, |ability| ability.margin(&self.as_declared(row)))]
    }

    /// The log-odds taken apart; the parts add up to them.
    pub(super) fn contributions(&self, row: &FeatureRow) -> Contributions {
        if let Some(rate) = self.rate {
            return self.of_rate(rate, row);
        }
        let mut found = self.past.contributions(row);
        let Some(ability) = self.used_ability() else { return found };
        let AbilityTerms { base, solver, text, own } = ability.terms(&self.as_declared(row));
        let mix = |past: f64, able: f64| (1.0 - self.share) * past + self.share * able;
        found.features.iter_mut().for_each(|part| *part = mix(*part, 0.0));
        found.features[FeatureId::AgentModelSuccessRate as usize] += self.share * solver;
        found.features[FEATURES.len()..]
            .iter_mut()
            .zip(own)
            .for_each(|(part, own)| *part += self.share * own);
        Contributions { base: mix(found.base, base), wording: mix(found.wording, text), ..found }
    }

    /// The rate's log-odds, as a step from those of all generations.
    fn of_rate(&self, rate: RateBaseline, row: &FeatureRow) -> Contributions {
        let own = self.encoder().map_or(0, ColumnEncoder::len);
        let (mut features, base) = (vec![0.0; FEATURES.len() + own], RateBaseline::Overall.margin(row));
        if let Some((place, _)) = rate.rate(row) {
            features[place] = rate.margin(row) - base;
        }
        Contributions { base, features, wording: 0.0 }
    }

    /// The row without the host's columns that are declared otherwise than they were.
    fn as_declared<'a>(&self, row: &'a FeatureRow) -> Cow<'a, FeatureRow> {
        self.encoder().map_or(Cow::Borrowed(row), |encoder| encoder.as_declared(row))
    }

    /// The host's own columns that it uses.
    pub(super) fn encoder(&self) -> Option<&ColumnEncoder> {
        match &self.past {
            Past::Learned(part) => Some(&part.encoder),
            Past::Imported(_) => None,
        }
    }

    /// Shares of the trees' gain by feature.
    pub(super) fn gains(&self) -> Vec<(String, f64)> {
        match &self.past {
            Past::Learned(part) => part.gains(),
            Past::Imported(trees) => trees.gains(),
        }
    }

    pub(super) fn used_ability(&self) -> Option<&Ability> {
        self.ability.as_ref().filter(|_| self.share > 0.0 && self.rate.is_none())
    }

    pub(super) fn store(&self) -> Result<StoredScorer> {
        let ability = StoredAbility::of(self.used_ability(), self.rate);
        match &self.past {
            Past::Learned(part) => Ok(StoredScorer { part: part.store()?, ability, share: self.share }),
            Past::Imported(_) => Err(Error::internal("imported trees are written by themselves")),
        }
    }
}

impl Past {
    fn margin(&self, row: &FeatureRow) -> f64 {
        match self {
            Self::Learned(part) => part.margin(row),
            Self::Imported(trees) => trees.margin(row),
        }
    }

    fn contributions(&self, row: &FeatureRow) -> Contributions {
        match self {
            Self::Learned(part) => part.contributions(row),
            Self::Imported(trees) => {
                let (base, features) = trees.contributions(row);
                Contributions { base, features, wording: 0.0 }
            }
        }
    }
}

/// A scorer as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredScorer {
    part: StoredPart,
    ability: StoredAbility,
    share: f64,
}

impl StoredScorer {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(self, encoder: ColumnEncoder) -> Result<Scorer> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(Error::corrupt("success model: the share of its abilities is out of range"));
        }
        let past = Past::Learned(Box::new(self.part.open(encoder)?));
        let rate = self.ability.rate();
        Ok(Scorer { past, ability: self.ability.open()?, share: self.share, rate })
    }
}
