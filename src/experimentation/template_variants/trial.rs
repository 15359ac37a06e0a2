//! Traffic for variants on trial.

use super::variant_registry::{VariantRegistry, VariantStatus};
use crate::error::{Error, Result};
use crate::routing::Candidate;

impl VariantRegistry {
    /// Mixes the propensities of a policy with an even share for candidates whose template is on trial: together they have
    /// `share`, the others keep their proportions in the rest. With a share of 0 (a critical task), none is tried.
    ///
    /// ```
    /// # use devmatrix_ml::{experimentation::template_variants::*, routing::{Candidate, Plan}};
    /// # use devmatrix_ml::{event::TemplateId, models::TemplateCatalogue};
    /// # let catalogue = TemplateCatalogue::from_json(r#"[{"template_id": "a"}, {"template_id": "b"}]"#)?;
    /// # let now = "2025-03-03T09:00:00Z".parse().unwrap();
    /// # let settings = TemplateSettings::default().with_temperature(0.7);
    /// # let mut registry = VariantRegistry::of(&catalogue, |_| settings.clone(), now)?;
    /// # let variant = registry.propose(&TemplateId::new("a")?, &SettingsSpace::default(), now, 1)?.unwrap();
    /// # registry.start_trial(&variant, now)?;
    /// let mut plan = Plan::by_llm("sonnet");
    /// plan.template = Some(TemplateId::new("a")?);
    /// let candidates = registry.candidates(&Candidate::new("sonnet", plan)); // a and a~1
    /// let propensities = registry.trial_propensities(&candidates, &[1.0, 0.0], 0.2)?; // of a greedy policy
    /// assert_eq!(propensities, [0.8, 0.2]);
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` where the propensities are not one a candidate from 0 to 1 that add up to 1, or the share is not 0 to
    /// 0.5.
    pub fn trial_propensities(
        &self,
        candidates: &[Candidate],
        propensities: &[f64],
        share: f64,
    ) -> Result<Vec<f64>> {
        let sum: f64 = propensities.iter().sum();
        let each =
            propensities.len() == candidates.len() && propensities.iter().all(|p| (0.0..=1.0).contains(p));
        if !(each && (sum - 1.0).abs() <= 1e-6) {
            let (n, all) = (propensities.len(), candidates.len());
            return Err(Error::invalid(format!(
                "{n} propensities of {all} candidates add up to {sum}, expected 1"
            )));
        }
        if !(0.0..=0.5).contains(&share) {
            return Err(Error::invalid(format!("the share on trial is {share}, expected 0 to 0.5")));
        }
        let is_on_trial = |candidate: &Candidate| {
            let variant = candidate.plan.template.as_ref().and_then(|id| self.get(id));
            variant.is_some_and(|variant| variant.status() == VariantStatus::Trial)
        };
        let tried: Vec<_> = candidates.iter().map(is_on_trial).collect();
        let count = tried.iter().filter(|tried| **tried).count();
        if count == 0 || count == tried.len() {
            return Ok(propensities.to_vec());
        }
        let others = (tried.len() - count) as f64;
        let rest: f64 = propensities.iter().zip(&tried).filter(|(_, tried)| !**tried).map(|(p, _)| p).sum();
        let of = |(p, tried): (&f64, &bool)| match tried {
            true => share / count as f64,
            false if rest > 0.0 => (1.0 - share) * p / rest,
            // The policy chose only candidates on trial.
            false => (1.0 - share) / others,
        };
        Ok(propensities.iter().zip(&tried).map(of).collect())
    }
}
