//! The success model taken apart.

use super::ability::{Ability, UNSURE_OF_NEW_AGENT, UNSURE_WITH_NEW_MODEL, WITH_NEW_MODEL, solver_places};
use super::component::{ModelComponent, offset_share};
use super::rate_baseline::{ENOUGH, RateBaseline};
use super::scorer::Past;
use super::{Calibrated, SuccessModel, SuccessTrainer};
use crate::error::Result;
use crate::features::{FEATURES, FeatureId};
use crate::models::export::{Export, Exportable, imported, plain};
use serde_json::{Value, json};

impl Exportable for SuccessTrainer {
    /// All that a prediction takes but its attributions.
    fn export(model: &SuccessModel, to: &mut Export) -> Result<Value> {
        Ok(json!({
            "kind": "success",
            "seen_by": to.name(FeatureId::TaskOutcomes as usize),
            "new_task": model.new_task.export(to)?,
            "seen_task": model.seen_task.as_ref().map(|seen| seen.export(to)).transpose()?,
        }))
    }
}

impl Calibrated {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let Past::Learned(past) = &self.scorer.past else { return Err(imported()) };
        let ability = self.scorer.used_ability();
        Ok(json!({
            "past": past.export(to)?,
            "rate": self.scorer.rate.map(|rate| rate.export(to)),
            "ability": ability.map(|ability| ability.export(to)).transpose()?,
            "ability_share": self.scorer.share,
            "calibration": plain(&self.calibration)?,
        }))
    }
}

impl RateBaseline {
    /// The features of the outcomes needed and of the rate, in the order in which they are asked.
    fn export(self, to: &mut Export) -> Value {
        let steps = self.steps().iter().map(|(needs, rate)| {
            json!({ "outcomes": needs.map(|id| to.name(id as usize)), "rate": to.name(*rate as usize) })
        });
        json!({ "steps": steps.collect::<Vec<_>>(), "enough": ENOUGH })
    }
}

impl ModelComponent {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let offset = self.regime.offset_places();
        let steps: Vec<_> = offset.steps.iter().map(|(up, down)| [to.name(*up), to.name(*down)]).collect();
        let dense = self.scaler.places();
        let tree_features = to.names_with(&self.encoder, &self.tree_places);
        Ok(json!({
            "offset": { "base": to.name(offset.base), "steps": steps, "share": offset_share(self.prior) },
            "prior_column": self.prior,
            "columns": plain(&self.encoder)?,
            "dense": to.names_with(&self.encoder, dense),
            "dense_kinds": plain(&self.scaler.kinds())?,
            "scaler": plain(&self.scaler)?,
            "ngrams": plain(&self.tfidf)?,
            "linear": plain(&self.linear)?,
            "trees": to.trees(&self.trees, &tree_features)?,
            "tree_share": self.blend,
        }))
    }
}

impl Ability {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let likeness = &self.likeness;
        likeness.own.columns.iter().for_each(|column| drop(to.look_at(FEATURES.len(), &column.name)));
        let solvers = self.solvers.iter().map(|((agent, model), able)| json!([agent, model, able]));
        Ok(json!({
            "solver_by": to.names(solver_places()),
            "solvers": solvers.collect::<Vec<_>>(),
            "agents": self.agents.iter().collect::<Vec<_>>(),
            "with_new_model": { "share": WITH_NEW_MODEL, "variance": UNSURE_WITH_NEW_MODEL },
            "new_agent": { "variance": UNSURE_OF_NEW_AGENT },
            "mean": self.mean,
            "ngrams": plain(&self.tfidf)?,
            "shape": to.names(likeness.shape.places()),
            "shape_kinds": plain(&likeness.shape.kinds())?,
            "shape_scaler": plain(&likeness.shape)?,
            "groups": to.names(&likeness.groups),
            "columns": plain(&likeness.own)?,
            "difficulty": plain(&self.difficulty)?,
            "link": self.link,
        }))
    }
}
