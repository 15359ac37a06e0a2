//! The one table of served models.
//!
//! A row is all that training, backtest, registry, service, monitoring, tracker and model card know of a model.
//! A further regression model is a [`RegressionTarget`] in a file of its own and a row here.

#[cfg(feature = "mlflow")]
use super::export::{Exporter, NUMBER_COLUMNS};
use super::external::Importer;
use super::{
    AnyTrainer, Complexity, Cost, ExternalModel, Quality, RegressionTarget, RegressionTrainer,
    SuccessTrainer, TemplateTrainer, Time, Tokens,
};
use crate::dataset::Target;

/// A served model.
#[derive(Debug)]
pub(crate) struct ServedModel {
    /// Its target, whose name is its name in the registry, in telemetry and in stored predictions.
    pub(crate) target: Target,
    /// The sentence of the model card that states the prediction.
    pub(crate) predicts: &'static str,
    /// The verb phrases by which attributions say that similarly worded tasks had less or more.
    pub(crate) compared: [&'static str; 2],
    /// The unit in which its number is shown.
    #[cfg_attr(not(feature = "dashboard"), allow(dead_code, reason = "read by the dashboard"))]
    pub(crate) unit: NumberUnit,
    /// Makes its trainer with the usual parameters.
    pub(crate) trainer: fn() -> AnyTrainer,
    /// Makes a trainer that only calibrates trees that were trained elsewhere; `None` where there is no such.
    pub(crate) import: Option<fn(&ExternalModel) -> AnyTrainer>,
    /// Writes it for Python.
    #[cfg(feature = "mlflow")]
    pub(crate) export: Exporter,
    /// The columns of its predictions in Python.
    #[cfg(feature = "mlflow")]
    pub(crate) columns: &'static [&'static str],
}

/// The unit of a predicted number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberUnit {
    Plain,
    Seconds,
    Dollars,
    /// A whole number.
    Count,
}

/// Every served model, in the order in which they are trained and shown.
pub(crate) static SERVED: &[ServedModel] = &[
    ServedModel {
        target: Target::Success,
        predicts: "The probability that a generation is approved without modification.",
        compared: ["failed more often", "succeeded more often"],
        unit: NumberUnit::Plain,
        trainer: || AnyTrainer::new(SuccessTrainer::default()),
        import: Some(|external| AnyTrainer::new(Importer::new(SuccessTrainer::default(), external))),
        #[cfg(feature = "mlflow")]
        export: Exporter::of::<SuccessTrainer>(),
        #[cfg(feature = "mlflow")]
        columns: &["success_probability", "lower_90", "upper_90"],
    },
    regression::<Complexity>("The complexity of a task, 0 to 10.", ["were simpler", "were harder"]),
    ServedModel {
        unit: NumberUnit::Seconds,
        ..regression::<Time>("The seconds that a generation takes.", ["took less time", "took longer"])
    },
    regression::<Quality>(
        "The final quality of a generation, 0 to 10.",
        ["turned out worse", "turned out better"],
    ),
    ServedModel {
        target: Target::Template,
        predicts: "The order of a host's templates for a task.",
        compared: ["used worse templates", "used better templates"],
        unit: NumberUnit::Plain,
        trainer: || AnyTrainer::new(TemplateTrainer::default()),
        import: None,
        #[cfg(feature = "mlflow")]
        export: Exporter::of::<TemplateTrainer>(),
        #[cfg(feature = "mlflow")]
        columns: &["approval"],
    },
    ServedModel {
        unit: NumberUnit::Dollars,
        ..regression::<Cost>("The US dollars that a generation costs.", ["cost less", "cost more"])
    },
    ServedModel {
        unit: NumberUnit::Count,
        ..regression::<Tokens>(
            "The tokens that a generation uses.",
            ["used fewer tokens", "used more tokens"],
        )
    },
];

/// The row of a model of a number.
const fn regression<Q: RegressionTarget>(predicts: &'static str, compared: [&'static str; 2]) -> ServedModel {
    ServedModel {
        target: Q::TARGET,
        predicts,
        compared,
        unit: NumberUnit::Plain,
        trainer: || AnyTrainer::new(RegressionTrainer::<Q>::default()),
        import: Some(|external| AnyTrainer::new(Importer::new(RegressionTrainer::<Q>::default(), external))),
        #[cfg(feature = "mlflow")]
        export: Exporter::of::<RegressionTrainer<Q>>(),
        #[cfg(feature = "mlflow")]
        columns: NUMBER_COLUMNS,
    }
}

/// Returns the row of a target that a model of this crate predicts.
pub(crate) fn of(target: Target) -> Option<&'static ServedModel> {
    SERVED.iter().find(|model| model.target == target)
}

/// Returns the row of a model by its name in the registry.
pub(crate) fn named(name: &str) -> Option<&'static ServedModel> {
    SERVED.iter().find(|model| model.target.name() == name)
}
