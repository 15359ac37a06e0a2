//! What may be searched of the models of this crate.

use super::search::{Hyperparameter, Range, Tunable};
use crate::error::{Error, Result};
use crate::models::{
    RegressionParams, RegressionTarget, RegressionTrainer, SUCCESS_FEATURE_SETS, SuccessParams,
    SuccessTrainer, TemplateParams, TemplateTrainer, Trainer,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Tunable for SuccessTrainer {
    fn with_parameters(&self, parameters: &Value) -> Result<Self> {
        Self::new(read::<SuccessParams>(self.name(), parameters)?)
    }

    /// Linear alone, trees alone and blends of both; boosted trees and forests; with and without the
    /// wording, the description's shape and what only trees can use.
    fn space(&self) -> Vec<Hyperparameter> {
        let shares = || Range::OneOf([0.0, 0.25, 0.5, 0.75, 1.0].map(Value::from).into());
        let mut space = vec![
            Hyperparameter::new("/l2", Range::Log(0.1, 30.0)),
            Hyperparameter::new("/dense_weight", Range::Log(0.01, 1.0)),
            Hyperparameter::new("/min_texts", Range::Whole(2, 10)),
            Hyperparameter::new("/blend", shares()),
            Hyperparameter::new("/seen_blend", shares()),
            Hyperparameter::new("/without", Range::OneOf(feature_sets(SUCCESS_FEATURE_SETS))),
        ];
        space.extend(trees(&[("l2", 0.5, 50.0), ("min_child_weight", 1.0, 30.0)]));
        space
    }

    fn without(&self, features: &BTreeSet<String>) -> Result<Self> {
        self.with_parameters(&blind(self.parameters(), features)?)
    }
}

impl<Q: RegressionTarget> Tunable for RegressionTrainer<Q> {
    fn with_parameters(&self, parameters: &Value) -> Result<Self> {
        Self::new(read::<RegressionParams>(self.name(), parameters)?)
    }

    fn space(&self) -> Vec<Hyperparameter> {
        let mut space = vec![
            Hyperparameter::new("/l2", Range::Log(0.1, 30.0)),
            Hyperparameter::new("/min_texts", Range::Whole(2, 10)),
        ];
        space.extend(trees(&[("l2", 0.1, 20.0)]));
        space.push(Hyperparameter::new("/forest/max_depth", Range::Whole(3, 10)));
        space.push(Hyperparameter::new("/forest/min_rows", Range::Whole(3, 50)));
        space
    }

    fn without(&self, features: &BTreeSet<String>) -> Result<Self> {
        self.with_parameters(&blind(self.parameters(), features)?)
    }
}

impl Tunable for TemplateTrainer {
    fn with_parameters(&self, parameters: &Value) -> Result<Self> {
        self.with_params(read::<TemplateParams>(self.name(), parameters)?)
    }

    fn space(&self) -> Vec<Hyperparameter> {
        let mut space = vec![
            Hyperparameter::new("/most_copies", Range::Whole(1, 30)),
            Hyperparameter::new("/top", Range::Whole(3, 100)),
            Hyperparameter::new("/boost/rounds", Range::Whole(20, 200)),
            Hyperparameter::new("/boost/learning_rate", Range::Log(0.01, 0.2)),
            Hyperparameter::new("/boost/max_leaves", Range::Whole(4, 16)),
            Hyperparameter::new("/boost/min_rows", Range::Whole(5, 50)),
        ];
        space.push(Hyperparameter::new("/boost/l2", Range::Log(0.1, 30.0)));
        space
    }

    /// A ranking has few features, each of them wanted.
    fn without(&self, features: &BTreeSet<String>) -> Result<Self> {
        match features.first() {
            None => Ok(self.clone()),
            Some(name) => Err(Error::invalid(format!("{name}: a ranking's features are not selected"))),
        }
    }
}

/// What may be searched of trees, with penalties from where to where.
fn trees(penalties: &[(&str, f64, f64)]) -> Vec<Hyperparameter> {
    let mut space = vec![
        Hyperparameter::new("/trees", Range::OneOf(vec![json!("boosting"), json!("forest")])),
        Hyperparameter::new("/boost/rounds", Range::Whole(20, 200)),
        Hyperparameter::new("/boost/learning_rate", Range::Log(0.01, 0.2)),
        Hyperparameter::new("/boost/max_leaves", Range::Whole(4, 32)),
        Hyperparameter::new("/boost/subsample", Range::Linear(0.5, 1.0)),
        Hyperparameter::new("/boost/colsample", Range::Linear(0.2, 1.0)),
    ];
    let penalty = |(name, low, high): &(&str, f64, f64)| {
        Hyperparameter::new(format!("/boost/{name}"), Range::Log(*low, *high))
    };
    space.extend(penalties.iter().map(penalty));
    space
}

/// All features, then without each of `sets`.
fn feature_sets(sets: &[&[&str]]) -> Vec<Value> {
    std::iter::once(json!([])).chain(sets.iter().map(|set| json!(set))).collect()
}

fn read<P: DeserializeOwned>(model: &str, parameters: &Value) -> Result<P> {
    let mut parameters = parameters.clone();
    // Versions of rankings from before groups were weeks hold the length of theirs.
    parameters.as_object_mut().map(|parameters| parameters.remove("period_days"));
    serde_json::from_value(parameters)
        .map_err(|e| Error::invalid(format!("parameters of the {model} model")).with_source(e))
}

/// The parameters with these features left out too.
fn blind(mut parameters: Value, features: &BTreeSet<String>) -> Result<Value> {
    let without = parameters.pointer_mut("/without");
    let without =
        without.ok_or_else(|| Error::internal("the parameters have no list of features left out"))?;
    let mut all: BTreeSet<String> = serde_json::from_value(without.clone()).unwrap_or_default();
    all.extend(features.iter().cloned());
    *without = json!(all);
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_earlier_versions_are_read_and_misspelt_ones_are_not() {
        let trainer = TemplateTrainer::default();
        let earlier =
            json!({"min_samples": 60, "period_days": 7, "boost": {"rounds": 9, "engine": "hessboost"}});
        let read = trainer.with_parameters(&earlier).unwrap().parameters();
        assert_eq!((&read["min_samples"], &read["boost"]["rounds"]), (&json!(60), &json!(9)));
        let error = trainer.with_parameters(&json!({"min_sample": 60})).unwrap_err();
        assert!(format!("{error:#}").contains("min_sample"), "{error:#}");
    }
}
