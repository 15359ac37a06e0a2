//! A misspelt key in configuration that a host writes by hand is an error that names the key and the right one.

use devmatrix_ml::config;
use devmatrix_ml::experimentation::ab_tests::{
    AnalysisOptions, Arm, ExperimentSpec, GuardrailMetric, Layer, RampStep,
};
use devmatrix_ml::experimentation::active_learning::{AcquisitionWeights, LabelSamplerOptions};
use devmatrix_ml::experimentation::off_policy::OffPolicyOptions;
use devmatrix_ml::experimentation::retry_policy::{BaselinePolicy, RetryLearningOptions, TrajectoryReward};
use devmatrix_ml::experimentation::template_variants::{EvolutionOptions, SettingsSpace, TemplateSettings};
use devmatrix_ml::features::{ColumnKind, HostColumn, HostColumns};
use devmatrix_ml::ml::BoostParams;
use devmatrix_ml::models::{
    ExternalModelOptions, RegressionParams, SuccessParams, TemplateCatalogue, TemplateParams, TemplateProfile,
};
use devmatrix_ml::monitoring::{AlertRule, MonitorOptions};
use devmatrix_ml::routing::{Candidate, Objective, Plan, RiskPolicy, RouterOptions};
use devmatrix_ml::simulate::SimulatorOptions;
use devmatrix_ml::training::{
    Gate, Promotion, SelectionOptions, TrainingOptions, TrainingSchedule, TuningOptions,
};
use serde::de::DeserializeOwned;

/// Reads `json`, in which `wrong` stands for `right`; the same with the right key is read.
fn refuses<T: DeserializeOwned>(json: &str, wrong: &str, right: &str) {
    let name = std::any::type_name::<T>();
    let quoted = format!("\"{wrong}\"");
    assert!(json.contains(&quoted), "{name}: {json}");
    let error = config::from_json::<T>(json).err().map(|error| error.to_string());
    let error = error.unwrap_or_else(|| panic!("{name} takes {wrong}"));
    assert!(error.contains(&format!("unknown field `{wrong}`, did you mean `{right}`?")), "{name}: {error}");
    let mended = json.replace(&quoted, &format!("\"{right}\""));
    if let Err(error) = config::from_json::<T>(&mended) {
        panic!("{name}: {mended}: {error}");
    }
}

#[test]
fn routing_refuses_misspelt_keys() {
    refuses::<Plan>(r#"{"temprature": 0.1}"#, "temprature", "temperature");
    refuses::<Candidate>(
        r#"{"name": "a", "plan": {}, "usd_per_1k_token": 1.0}"#,
        "usd_per_1k_token",
        "usd_per_1k_tokens",
    );
    refuses::<Candidate>(r#"{"name": "a", "plan": {"template_id": "x"}}"#, "template_id", "template");
    refuses::<Objective>(r#"{"usd_per_sucess": 2.0}"#, "usd_per_sucess", "usd_per_success");
    refuses::<RouterOptions>(r#"{"certainity": 0.9}"#, "certainity", "certainty");
    refuses::<RouterOptions>(r#"{"safety": {"exploration_of": true}}"#, "exploration_of", "exploration_off");
    let rule = r#"{"rules": [{"name": "legal", "risk_at_least": "high", "when_reasn": "auth", "plan": {}}]}"#;
    refuses::<RiskPolicy>(rule, "when_reasn", "when_reason");
}

#[test]
fn columns_refuse_misspelt_keys_and_are_written_as_they_are_declared() {
    refuses::<HostColumn>(r#"{"name": "a", "kind": "number", "rnage": [0, 1]}"#, "rnage", "range");
    let text =
        r#"[{"name": "minutes", "kind": "number", "known": "After"}, {"name": "team", "kind": "category"}]"#;
    let read = config::from_json::<HostColumns>(text).unwrap();
    let made = [HostColumn::number("minutes").known_after(), HostColumn::category("team")];
    assert_eq!([made[0].kind, made[1].kind], [ColumnKind::Number, ColumnKind::Category]);
    assert_eq!(read, HostColumns::new(made).unwrap());
}

#[test]
fn experiments_refuse_misspelt_keys() {
    let spec = r#"{"name": "x", "unit": "user", "arms": [{"name": "a", "share": 1.0}], "ramps": []}"#;
    refuses::<ExperimentSpec>(spec, "ramps", "ramp");
    refuses::<Arm>(r#"{"name": "a", "shares": 1.0}"#, "shares", "share");
    refuses::<Layer>(r#"{"layers": "l", "from": 0.0, "to": 1.0}"#, "layers", "layer");
    refuses::<RampStep>(r#"{"form": "2025-01-01T00:00:00Z", "share": 1.0}"#, "form", "from");
    refuses::<AnalysisOptions>(r#"{"confidance": 0.9}"#, "confidance", "confidence");
    refuses::<GuardrailMetric>(r#"{"metric": "cost", "tolerence": 0.1}"#, "tolerence", "tolerance");
    refuses::<OffPolicyOptions>(r#"{"fold": 3}"#, "fold", "folds");
    refuses::<LabelSamplerOptions>(r#"{"perday": 3.0}"#, "perday", "per_day");
    refuses::<AcquisitionWeights>(r#"{"novelity": 3.0}"#, "novelity", "novelty");
    refuses::<BaselinePolicy>(r#"{"steps": ["retry"], "exploration": 0.1}"#, "exploration", "explore");
    refuses::<RetryLearningOptions>(r#"{"min_step": 3}"#, "min_step", "min_steps");
    refuses::<TrajectoryReward>(r#"{"quality_shares": 0.1}"#, "quality_shares", "quality_share");
    refuses::<EvolutionOptions>(r#"{"alfa": 0.1}"#, "alfa", "alpha");
    refuses::<SettingsSpace>(r#"{"max_temprature": 0.5}"#, "max_temprature", "max_temperature");
    refuses::<TemplateSettings>(r#"{"max_example": 3}"#, "max_example", "max_examples");
}

#[test]
fn training_refuses_misspelt_keys() {
    refuses::<TrainingOptions>(r#"{"test_share": 0.3}"#, "test_share", "test_fraction");
    refuses::<TrainingOptions>(r#"{"gate": {"margins": 0.1}}"#, "margins", "margin");
    refuses::<TrainingOptions>(r#"{"promotions": "trial"}"#, "promotions", "promotion");
    refuses::<Gate>(r#"{"floor": {"auc": 0.8}}"#, "floor", "floors");
    refuses::<TrainingSchedule>(r#"{"pause_minute": 30}"#, "pause_minute", "pause_minutes");
    refuses::<TuningOptions>(r#"{"trails": 7}"#, "trails", "trials");
    refuses::<SelectionOptions>(r#"{"tolerence": 0.01}"#, "tolerence", "tolerance");
}

/// Options that an earlier release stored with a version are still read.
#[test]
fn stored_training_options_are_read() {
    let stored =
        r#"{"test_fraction": 0.2, "split": "Time", "exclude_suspects": false, "promotion": "trial"}"#;
    let options = config::from_json::<TrainingOptions>(stored).unwrap();
    assert!(!options.exclude_anomalous_labelers && options.promotion == Promotion::Trial);
}

#[test]
fn monitoring_refuses_misspelt_keys() {
    refuses::<MonitorOptions>(r#"{"false_alarm": 0.1}"#, "false_alarm", "false_alarms");
    let rule = r#"{"name": "x", "signal": {"kpi_below": "success_rate"}, "limits": 0.7, "clear": 0.8}"#;
    refuses::<AlertRule>(rule, "limits", "limit");
}

#[test]
fn models_refuse_misspelt_keys() {
    refuses::<SuccessParams>(r#"{"seen_blent": 0.5}"#, "seen_blent", "seen_blend");
    refuses::<SuccessParams>(r#"{"forest": {"tree": 50}}"#, "tree", "trees");
    refuses::<RegressionParams>(r#"{"minsamples": 50}"#, "minsamples", "min_samples");
    refuses::<TemplateParams>(r#"{"most_copy": 5}"#, "most_copy", "most_copies");
    refuses::<BoostParams>(r#"{"learn_rate": 0.1}"#, "learn_rate", "learning_rate");
    refuses::<ExternalModelOptions>(r#"{"log_labels": true}"#, "log_labels", "log_label");
    refuses::<TemplateProfile>(r#"{"template_id": "a", "language": ["go"]}"#, "language", "languages");
    let catalogue = r#"[{"template_id": "a", "task_type": ["backend"]}]"#;
    refuses::<TemplateCatalogue>(catalogue, "task_type", "task_types");
    refuses::<SimulatorOptions>(r#"{"perday": 3.0}"#, "perday", "per_day");
}
