//! A regression taken apart.

use super::component::LEVELS;
use super::fitted::{Calibration, Fitted};
use super::solver_effects::{SOLVER, SolverEffects};
use super::spec::{Scale, Spec};
use super::text_component::TextComponent;
use super::{Body, Regimes, RegressionModel, RegressionTarget, RegressionTrainer};
use crate::error::Result;
use crate::features::FEATURES;
use crate::models::export::{Export, Exportable, imported, plain};
use serde_json::{Value, json};

impl<Q: RegressionTarget> Exportable for RegressionTrainer<Q> {
    /// All that a prediction takes but its attributions.
    fn export(model: &RegressionModel<Q>, to: &mut Export) -> Result<Value> {
        let spec = Q::spec();
        let Body::Learned(learned) = &model.body else { return Err(imported()) };
        let after = learned.after.as_ref().map(|regimes| regimes.export(to)).transpose()?;
        Ok(json!({
            "kind": "number",
            "scale": match spec.scale {
                Scale::Plain => "plain",
                Scale::Log => "log",
                Scale::Relative(_) => "relative",
            },
            "floor": match spec.scale {
                Scale::Relative(floor) => Some(floor),
                Scale::Plain | Scale::Log => None,
            },
            "range": [spec.range.0, spec.range.1],
            "tried_by": spec.tries.map(|id| to.name(id as usize)),
            "code_by": if after.is_some() { to.of_code() } else { Vec::new() },
            "before": learned.before.export(to)?,
            "after": after,
        }))
    }
}

impl Regimes<Fitted> {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let tried = self.tried.as_ref().map(|fitted| fitted.export(to)).transpose()?;
        Ok(json!({ "untried": self.untried.export(to)?, "tried": tried }))
    }
}

impl Fitted {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let part = &self.part;
        let features = to.names_with(&part.encoder, &part.places);
        let quantiles = part.quantiles.iter().map(|trees| to.trees(trees, &features));
        let quantiles = quantiles.collect::<Result<Vec<_>>>()?;
        let (probabilities, widenings) = match &self.calibration {
            Some(Calibration::Probabilities(probabilities)) => (*probabilities, None),
            Some(Calibration::Widened(conformal)) => (LEVELS, Some(conformal.widenings())),
            Some(Calibration::Tails(_)) | None => (LEVELS, None),
        };
        Ok(json!({
            "expected": to.name(part.expected),
            "expected_is_raw": self.spec.scale == Scale::Plain || Spec::is_logged(part.expected),
            "columns": plain(&part.encoder)?,
            "start": part.start,
            "ngrams": plain(&part.tfidf)?,
            "wording": match &part.wording {
                TextComponent::Solvers(solvers) => json!({ "Solvers": solvers.export(to)? }),
                wording => plain(wording)?,
            },
            "value": to.trees(&part.value, &features)?,
            "quantiles": quantiles,
            "trust": self.trust,
            "probabilities": probabilities,
            "widenings": widenings,
        }))
    }
}

impl SolverEffects {
    fn export(&self, to: &mut Export) -> Result<Value> {
        let likeness = &self.likeness;
        likeness.own.columns.iter().for_each(|column| drop(to.look_at(FEATURES.len(), &column.name)));
        let (nearest, mean, factor) = self.nearest;
        Ok(json!({
            "solver_by": to.names(&SOLVER.map(|id| id as usize)),
            "solvers": plain(&self.solvers)?,
            "unknown": plain(&self.unknown)?,
            "nearest": { "name": to.name(nearest), "mean": mean, "factor": factor },
            "groups": to.names(&likeness.groups),
            "columns": plain(&likeness.own)?,
            "difficulty": plain(&self.effects)?,
            "residuals": self.residuals,
        }))
    }
}
