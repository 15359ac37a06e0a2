//! Model cards.

use super::gate::TaskKind;
use super::run_record::RunRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::features::KnownWhen;
use crate::models::targets;
use crate::registry::{ModelVersion, Stage, Verdict};
use serde::Serialize;
use std::fmt::Write as _;

/// Returns the card of a version in Markdown (Mitchell et al. 2019): its target, inputs, evaluation, slices,
/// verdicts and limitations.
///
/// ```
/// # futures_executor::block_on(async {
/// use devmatrix_ml::registry::{MemoryRegistry, ModelRegistry, NewVersion};
/// use devmatrix_ml::training::model_card;
/// let registry = MemoryRegistry::new();
/// let version = registry.register(NewVersion::new("success", b"a host's own".to_vec())).await?;
/// assert!(model_card(&version).is_err()); // nothing is known of how it was trained
/// # Ok::<(), devmatrix_ml::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// `NotFound` when it has no training record; `Incompatible` when that cannot be read.
pub fn model_card(version: &ModelVersion) -> Result<String> {
    ModelCard::of(version).map(|card| card.to_markdown())
}

/// The parts of a card, as data.
#[derive(Debug, Serialize)]
pub(crate) struct ModelCard {
    /// The model's name.
    model: String,
    /// Its version.
    version: u64,
    /// Its stage.
    stage: Stage,
    /// Prediction target.
    predicts: String,
    /// Inputs.
    reads: String,
    /// SHA-256 of its artefact.
    artefact_sha256: String,
    /// Record of its training run.
    run: RunRecord,
    /// All verdicts on it.
    verdicts: Vec<Verdict>,
    /// Known limitations.
    limits: Vec<String>,
}

impl ModelCard {
    /// Creates the card of a version.
    ///
    /// # Errors
    /// `NotFound` when it has no training record; `Incompatible` when that cannot be read.
    pub(crate) fn of(version: &ModelVersion) -> Result<Self> {
        let of = format!("{} version {}", version.model, version.version);
        let run = RunRecord::of(version)?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{of}: it has no training record")))?;
        Ok(Self {
            model: version.model.clone(),
            version: version.version,
            stage: version.stage,
            predicts: predicts(&version.model).to_owned(),
            reads: reads(&run),
            artefact_sha256: version.artefact_sha256.clone(),
            limits: limits(&run),
            verdicts: version.verdicts.clone(),
            run,
        })
    }

    /// Returns the card in Markdown.
    pub(crate) fn to_markdown(&self) -> String {
        let Self { run, .. } = self;
        let mut text = format!("# {} version {}\n\n", self.model, self.version);
        let stage = format!("{:?}", self.stage).to_lowercase();
        line(&mut text, &format!("{} Stage: {stage}.", self.predicts));
        line(&mut text, &format!("**From what.** {}", self.reads));
        let (fitted, evaluated) = run.evaluation.rows;
        line(
            &mut text,
            &format!(
                "**Learned from** {} generations ({} with a known outcome) as of {}; evaluated on {evaluated} newer ones by \
                 a holdout_model fitted on {fitted}.",
                run.data.rows,
                run.data.certain,
                run.as_of.format("%Y-%m-%d %H:%M UTC"),
            ),
        );
        self.columns(&mut text);
        self.scores(&mut text);
        self.by_task(&mut text);
        self.slices(&mut text);
        self.calibration(&mut text);
        section(&mut text, "What it leans on");
        let shares = run.importance.iter().take(10);
        let shares: Vec<_> = shares.map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect();
        line(&mut text, &if shares.is_empty() { "Not known.".to_owned() } else { shares.join(", ") + "." });
        self.rules(&mut text);
        section(&mut text, "Verdicts");
        for verdict in &self.verdicts {
            let outcome = match (verdict.promoted, verdict.rolled_back) {
                (true, _) => "promoted",
                (_, true) => "rolled back",
                _ => "not promoted",
            };
            let _ = writeln!(text, "- {} {outcome}", verdict.at.format("%Y-%m-%d %H:%M UTC"));
            verdict.reasons.iter().for_each(|reason| {
                let _ = writeln!(text, "  - {}", escaped(reason));
            });
        }
        section(&mut text, "Limits");
        self.limits.iter().for_each(|limit| {
            let _ = writeln!(text, "- {}", escaped(limit));
        });
        section(&mut text, "To make it again");
        let seeds = format!("seed {}", run.options.seed);
        line(
            &mut text,
            &format!(
                "Run `{}` of devmatrix-ml {}, {seeds}; rows SHA-256 `{}`, artefact SHA-256 `{}`.",
                run.run_id, run.library_version, run.data.sha256, self.artefact_sha256
            ),
        );
        text
    }

    /// The host's own columns as they were declared when it was trained.
    fn columns(&self, text: &mut String) {
        let columns = &self.run.data.columns;
        if columns.is_empty() {
            return;
        }
        section(text, "Columns of the host");
        text.push_str("| column | kind | unit | known | share of the gain |\n|---|---|---|---|---|\n");
        for column in columns.iter() {
            let known = match column.known {
                KnownWhen::Before => "before the start",
                KnownWhen::After => "after the end",
            };
            let gain = self.run.importance.iter().find(|(name, _)| *name == column.name);
            let gain = gain.map_or("-".to_owned(), |(_, share)| format!("{:.1} %", 100.0 * share));
            let (name, unit) = (escaped(&column.name), escaped(&column.unit));
            let kind = format!("{:?}", column.kind).to_lowercase();
            let _ = writeln!(text, "| {name} | {kind} | {unit} | {known} | {gain} |");
        }
    }

    fn scores(&self, text: &mut String) {
        section(text, "How good");
        let evaluation = &self.run.evaluation;
        let names: Vec<_> = evaluation.metrics.keys().collect();
        let head: String = names.iter().map(|name| format!(" {name} |")).collect();
        let _ = writeln!(text, "| |{head}\n|---|{}", "---|".repeat(names.len()));
        let all = std::iter::once(("this model", &evaluation.metrics));
        for (name, scores) in all.chain(evaluation.baselines.iter().map(|(n, s)| (n.as_str(), s))) {
            let cell =
                |score: &&String| scores.get(*score).map_or(" - |".to_owned(), |v| format!(" {v:.3} |"));
            let cells: String = names.iter().map(cell).collect();
            let _ = writeln!(text, "| {} |{cells}", escaped(name));
        }
    }

    fn rules(&self, text: &mut String) {
        let Some(surrogate) = &self.run.surrogate else { return };
        section(text, "In rules");
        let fidelity = surrogate.fidelity();
        line(text, &format!("A decision tree fitted to what the model predicts: {fidelity}."));
        text.push_str("| predicts | of tasks | where |\n|---|---|---|\n");
        for rule in &surrogate.rules {
            let (shown, share) = (surrogate.shown(rule.prediction), 100.0 * rule.share);
            let _ = writeln!(text, "| {shown} | {share:.0} % | {} |", escaped(&rule.when()));
        }
    }

    fn by_task(&self, text: &mut String) {
        let kinds = &self.run.evaluation.by_task;
        if kinds.is_empty() {
            return;
        }
        section(text, "On new tasks and on those seen before");
        text.push_str("| tasks | rows | loss | best baseline | its loss |\n|---|---|---|---|---|\n");
        for (kind, TaskKind { rows, loss, best_baseline: (best, theirs), .. }) in kinds {
            let _ = writeln!(text, "| {kind} | {rows} | {loss:.3} | {} | {theirs:.3} |", escaped(best));
        }
    }

    fn slices(&self, text: &mut String) {
        let slices = &self.run.evaluation.slices;
        if slices.is_empty() {
            return;
        }
        section(text, "For whom");
        text.push_str(
            "| | rows | predicted | happened | loss (90 %) | AUC (90 %) |\n|---|---|---|---|---|---|\n",
        );
        for slice in slices {
            let auc =
                slice.auc.map_or("-".to_owned(), |(a, low, high)| format!("{a:.2} ({low:.2} to {high:.2})"));
            let _ = writeln!(
                text,
                "| {} {} | {} | {:.3} | {:.3} | {:.3} ({:.3} to {:.3}) | {auc} |",
                slice.by,
                escaped(&slice.value),
                slice.rows,
                slice.predicted,
                slice.actual,
                slice.loss,
                slice.loss_interval.0,
                slice.loss_interval.1,
            );
        }
    }

    fn calibration(&self, text: &mut String) {
        let bins = &self.run.evaluation.calibration;
        if bins.is_empty() {
            return;
        }
        section(text, "Is the probability true");
        text.push_str("| predicted | happened (90 %) | rows |\n|---|---|---|\n");
        for bin in bins {
            let (low, high) = bin.interval;
            let _ = writeln!(
                text,
                "| {:.3} | {:.3} ({low:.3} to {high:.3}) | {} |",
                bin.predicted, bin.actual, bin.rows
            );
        }
    }
}

fn predicts(model: &str) -> &'static str {
    targets::named(model).map_or("What its trainer says: a host's own model.", |served| served.predicts)
}

fn reads(run: &RunRecord) -> String {
    let without = run.parameters.pointer("/without").and_then(|v| v.as_array()).map_or(0, Vec::len);
    let without = if without == 0 { String::new() } else { format!(" ({without} features left out)") };
    format!(
        "What is known of the task before it starts, and the history of outcomes as of that moment; feature table \
         {:016x}{without}.",
        run.data.schema
    )
}

fn limits(run: &RunRecord) -> Vec<String> {
    let evaluation = &run.evaluation;
    let mut limits = vec![
        "It is valid for tasks similar to those of the host that it was trained for.".to_owned(),
        "It predicts associations, not the causal effect of another choice.".to_owned(),
    ];
    if evaluation.rows.1 < 200 {
        limits
            .push(format!("The test set has only {} outcomes: its scores are imprecise.", evaluation.rows.1));
    }
    let off = evaluation
        .slices
        .iter()
        .filter(|s| s.auc.is_some_and(|(_, low, _)| low < 0.5) || s.loss_interval.0 > evaluation.loss.1);
    limits.extend(
        off.map(|s| format!("Weak slice {} {}: mean loss {:.3} on {} rows.", s.by, s.value, s.loss, s.rows)),
    );
    let bad =
        evaluation.calibration.iter().filter(|b| b.predicted < b.interval.0 || b.predicted > b.interval.1);
    limits.extend(bad.map(|b| {
        format!(
            "Miscalibrated: predicted {:.0} %, observed {:.0} % over {} generations.",
            b.predicted * 100.0,
            b.actual * 100.0,
            b.rows
        )
    }));
    limits.extend(evaluation.anomalous_labelers.iter().map(|labeler| format!("Label noise: {labeler}.")));
    limits.extend(evaluation.column_warnings.iter().map(|warning| format!("Own columns: {warning}.")));
    limits
}

fn section(text: &mut String, title: &str) {
    let apart = if text.ends_with("\n\n") { "" } else { "\n" };
    let _ = write!(text, "{apart}## {title}\n\n");
}

fn line(text: &mut String, sentence: &str) {
    let _ = write!(text, "{sentence}\n\n");
}

/// Text from outside, so that it cannot break a table or pass for markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '\\' | '!' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
