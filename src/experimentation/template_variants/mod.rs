//! Template variants: proposed, tried, promoted and retired.
//!
//! A [`VariantRegistry`] keeps the templates of a host: [`Variant`]s with their parent, the one setting that was changed
//! (within a [`SettingsSpace`]), and every change of status with its reason. A variant on trial is a candidate among
//! others; [`VariantRegistry::trial_propensities`] gives the variants on trial a fixed share of any policy's
//! probability, so that propensities stay exact.
//!
//! [`LoggedTemplates`] reads their outcomes; [`VariantRegistry::evaluate`] compares each variant with the active template
//! that it descends from, on tasks in which either could have been chosen, by inverse propensity weighting. The
//! comparison is anytime-valid, and corrected for the number of variants ever tried of a template.

mod compare;
mod evaluation;
mod logged_templates;
mod report;
mod settings;
mod trial;
mod variant_registry;

pub use evaluation::EvolutionOptions;
pub use logged_templates::{LoggedTemplates, LoggedTemplatesOptions};
pub use report::EvolutionReport;
pub use settings::{SettingsSpace, TemplateSettings};
pub use variant_registry::{Variant, VariantRegistry, VariantStatus};

#[cfg(all(test, feature = "simulate"))]
mod tests;
