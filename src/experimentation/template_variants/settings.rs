//! Settings of templates and small changes of them.

use crate::error::{Error, Result, in_range};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The settings of a template that variants change; `None` and unnamed settings are left to the host.
///
/// ```
/// use devmatrix_ml::experimentation::template_variants::TemplateSettings;
/// let mut settings = TemplateSettings::default().with_temperature(0.7);
/// settings.max_examples = Some(2);
/// settings.sections.insert("tests".to_owned(), false);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TemplateSettings {
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// How many examples are retrieved at most.
    pub max_examples: Option<u32>,
    /// Which of its sections are written into the prompt.
    pub sections: BTreeMap<String, bool>,
}

/// The search space of settings: ranges and step sizes; settings that a template does not have are not changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SettingsSpace {
    /// The lowest temperature, 0 to 2.
    pub min_temperature: f64,
    /// The highest temperature, 0 to 2.
    pub max_temperature: f64,
    /// By how much the temperature is changed, 0.001 to 2; or by twice that.
    pub temperature_step: f64,
    /// The fewest examples.
    pub min_examples: u32,
    /// The most examples, 1,000 at most.
    pub max_examples: u32,
    /// By how many the examples are changed, from 1; or by twice that.
    pub examples_step: u32,
    /// Whether sections are left out and taken in.
    pub sections: bool,
}

/// The one setting in which a variant differs from its parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SettingChange {
    /// The temperature.
    Temperature {
        /// The parent's.
        from: f64,
        /// The variant's.
        to: f64,
    },
    /// The number of examples.
    Examples {
        /// The parent's.
        from: u32,
        /// The variant's.
        to: u32,
    },
    /// A section.
    Section {
        /// Its name.
        name: String,
        /// True if the variant includes the section.
        on: bool,
    },
}

impl Default for SettingsSpace {
    fn default() -> Self {
        Self {
            min_temperature: 0.0,
            max_temperature: 1.0,
            temperature_step: 0.2,
            min_examples: 0,
            max_examples: 8,
            examples_step: 1,
            sections: true,
        }
    }
}

impl TemplateSettings {
    /// Sets the temperature, 0 to 2.
    #[must_use]
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { temperature: Some(temperature), ..self }
    }

    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        match self.temperature {
            Some(t) if !(0.0..=2.0).contains(&t) => {
                Err(Error::invalid(format!("a template's temperature is {t}, expected 0 to 2")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the settings after `change`.
    pub(super) fn changed(&self, change: &SettingChange) -> Self {
        let mut settings = self.clone();
        match change {
            SettingChange::Temperature { to, .. } => settings.temperature = Some(*to),
            SettingChange::Examples { to, .. } => settings.max_examples = Some(*to),
            SettingChange::Section { name, on } => {
                settings.sections.insert(name.clone(), *on);
            }
        }
        settings
    }
}

impl SettingsSpace {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |name: &str, v, low, high| in_range(&format!("the settings' {name}"), v, low, high);
        check("max_temperature", self.max_temperature, 0.0, 2.0)?;
        check("min_temperature", self.min_temperature, 0.0, self.max_temperature)?;
        check("temperature_step", self.temperature_step, 0.001, 2.0)?;
        check("max_examples", f64::from(self.max_examples), 0.0, 1000.0)?;
        check("min_examples", f64::from(self.min_examples), 0.0, f64::from(self.max_examples))?;
        check("examples_step", f64::from(self.examples_step), 1.0, 1000.0)
    }

    /// Draws a small change of `settings` that is not among `tried`; `None` where none is left.
    pub(super) fn propose(
        &self,
        settings: &TemplateSettings,
        tried: &[&TemplateSettings],
        seed: u64,
    ) -> Option<SettingChange> {
        let mut open = self.changes(settings);
        open.retain(|change| !tried.contains(&&settings.changed(change)));
        // First the setting, then its value: many sections do not crowd out the others.
        let kinds: BTreeSet<u8> = open.iter().map(SettingChange::kind).collect();
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let kind = *kinds.iter().nth(rng.random_range(0..kinds.len().max(1)))?;
        open.retain(|change| change.kind() == kind);
        let at = rng.random_range(0..open.len());
        Some(open.swap_remove(at))
    }

    /// Returns every possible change.
    fn changes(&self, settings: &TemplateSettings) -> Vec<SettingChange> {
        let mut all = Vec::new();
        if let Some(from) = settings.temperature {
            for steps in [-2.0, -1.0, 1.0, 2.0] {
                // To a thousandth, so that there and back is the same.
                let to = ((from + steps * self.temperature_step) * 1e3).round() / 1e3;
                let to = to.clamp(self.min_temperature, self.max_temperature);
                all.push(SettingChange::Temperature { from, to });
            }
        }
        if let Some(from) = settings.max_examples {
            let step = self.examples_step;
            let less = [2 * step, step].map(|by| from.saturating_sub(by));
            let more = [step, 2 * step].map(|by| from.saturating_add(by));
            let tos = less.into_iter().chain(more);
            all.extend(
                tos.map(|to| to.clamp(self.min_examples, self.max_examples))
                    .map(|to| SettingChange::Examples { from, to }),
            );
        }
        if self.sections {
            let toggled = settings.sections.iter();
            all.extend(toggled.map(|(name, on)| SettingChange::Section { name: name.clone(), on: !on }));
        }
        all.retain(|change| settings.changed(change) != *settings);
        all
    }
}

impl SettingChange {
    fn kind(&self) -> u8 {
        match self {
            Self::Temperature { .. } => 0,
            Self::Examples { .. } => 1,
            Self::Section { .. } => 2,
        }
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Temperature { from, to } => write!(f, "temperature {from} to {to}"),
            Self::Examples { from, to } => write!(f, "{from} to {to} examples"),
            Self::Section { name, on: true } => write!(f, "with section {name:?}"),
            Self::Section { name, on: false } => write!(f, "without section {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_proposed_once_and_stays_in_range() {
        let space = SettingsSpace::default();
        let sections = [("tests".to_owned(), true)].into();
        let start = TemplateSettings { temperature: Some(0.9), max_examples: Some(7), sections };
        let mut tried = vec![start.clone()];
        for seed in 0..40 {
            let all: Vec<_> = tried.iter().collect();
            let Some(change) = space.propose(&start, &all, seed) else { break };
            let settings = start.changed(&change);
            assert!(settings.temperature.unwrap() <= 1.0 && settings.max_examples.unwrap() <= 8);
            assert!(!tried.contains(&settings));
            tried.push(settings);
        }
        // 0.5, 0.7, 1.0; 5, 6, 8; without tests.
        assert_eq!(tried.len(), 1 + 3 + 3 + 1);
        assert!(space.propose(&TemplateSettings::default(), &[], 1).is_none());
    }
}
