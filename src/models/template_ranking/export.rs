//! The template ranker taken apart.

use super::features::{SEMANTIC_SIMILARITY, SIMILAR, TEMPLATE_FEATURES};
use super::rates::ALIKE;
use super::{Fitted, TemplateRanker, TemplateTrainer};
use crate::error::Result;
use crate::models::export::{Export, Exportable, plain};
use serde_json::{Value, json};

impl Exportable for TemplateTrainer {
    /// All that the log-odds of a row take.
    fn export(model: &TemplateRanker, to: &mut Export) -> Result<Value> {
        Ok(json!({
            "kind": "template",
            "similar": to.look_at(SIMILAR, TEMPLATE_FEATURES[SIMILAR].name),
            "alike": to.look_at(SEMANTIC_SIMILARITY, TEMPLATE_FEATURES[SEMANTIC_SIMILARITY].name),
            "alike_weight": ALIKE,
            "correction": model.fitted.as_ref().map(|fitted| fitted.export(to)).transpose()?,
        }))
    }
}

impl Fitted {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let features: Vec<_> =
            TEMPLATE_FEATURES.iter().enumerate().map(|(place, f)| to.look_at(place, f.name)).collect();
        Ok(json!({
            "trees": to.trees(&self.trees, &features)?,
            "centre": self.centre,
            "share": self.share,
            "scaling": plain(&self.scaling)?,
        }))
    }
}
