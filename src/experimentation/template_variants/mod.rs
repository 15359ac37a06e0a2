//! Templates that evolve: winners promoted, losers retired, variants proposed and tried.
//!
//! A [`VariantRegistry`] keeps what a host's templates have become: [`Variant`]s with their parent, the one
//! setting that was changed ([`SettingsSpace`] says what may be), and every change of status with the
//! evidence for it. A variant on trial is a candidate among others; [`VariantRegistry::trial_propensities`] gives the
//! variants on trial a fixed share of any policy's odds, so that what it chose stays known.
//!
//! [`LoggedTemplates`] reads what came of them, [`VariantRegistry::judge`] compares each variant with the template
//! in force that it descends from, in tasks in which either could have been chosen, weighted by the odds
//! with which they were. One may look after every task: the intervals hold at all looks at once, and the
//! more variants were ever tried of a template the more evidence each needs, so that luck is not
//! promoted.

mod compare;
mod evaluation;
mod logged_templates;
mod report;
mod settings;
mod trial;
mod variant_registry;

pub use compare::TemplateContrast;
pub use evaluation::EvolutionOptions;
pub use logged_templates::{LoggedTemplates, LoggedTemplatesOptions, TemplateOutcome};
pub use report::{EvolutionReport, TemplateRecord, TemplateVerdict, VerdictKind};
pub use settings::{SettingChange, SettingsSpace, TemplateSettings};
pub use variant_registry::{StatusChange, Variant, VariantRegistry, VariantStatus};
