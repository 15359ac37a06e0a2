//! Figures by week: generations, scores, and promoted, inconclusive and rejected models with the reason.

use chrono::{DateTime, Utc};
use devmatrix_ml::event::EventId;
use devmatrix_ml::ml::metrics::BinaryScores;
use devmatrix_ml::models::SuccessPrediction;
use devmatrix_ml::training::{DeploymentCheck, NightlyReport, TrainingReport};
use devmatrix_ml::{ErrorKind, Result};
use std::collections::{BTreeMap, HashMap};

/// Predictions, outcomes and verdicts, printed at the end.
pub(crate) struct Report {
    begin: DateTime<Utc>,
    weeks: BTreeMap<i64, Week>,
    open: HashMap<EventId, Row>,
    closed: HashMap<EventId, (Row, bool)>,
    promotion: Option<(DateTime<Utc>, u64, Vec<String>)>,
    rollbacks: Vec<(DateTime<Utc>, String)>,
}

#[derive(Default)]
struct Week {
    generations: usize,
    promoted: usize,
    inconclusive: usize,
    rejected: usize,
    reason: Option<String>,
}

#[derive(Clone)]
struct Row {
    week: i64,
    predicted: f64,
    probability: Option<f64>,
    by_model: bool,
}

impl Report {
    pub(crate) fn new(begin: DateTime<Utc>) -> Self {
        let (weeks, open, closed) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { begin, weeks, open, closed, promotion: None, rollbacks: Vec::new() }
    }

    /// Records a prediction made before its generation started.
    pub(crate) fn predicted(
        &mut self,
        id: &EventId,
        now: DateTime<Utc>,
        prediction: &SuccessPrediction,
        probability: Option<f64>,
    ) {
        let week = self.week_of(now);
        self.weeks.entry(week).or_default().generations += 1;
        let row = Row {
            week,
            predicted: prediction.success_probability,
            probability,
            by_model: prediction.model_version > 0,
        };
        self.open.insert(id.clone(), row);
    }

    /// Records an outcome; a later one revises it.
    pub(crate) fn outcome(&mut self, id: &EventId, success: Option<bool>) {
        let Some(success) = success else { return };
        if let Some(row) = self.open.remove(id).or_else(|| self.closed.get(id).map(|(row, _)| row.clone())) {
            self.closed.insert(id.clone(), (row, success));
        }
    }

    /// Takes in a training cycle.
    ///
    /// # Errors
    /// What training failed by, but for too little data.
    pub(crate) fn night(&mut self, now: DateTime<Utc>, night: NightlyReport) -> Result<()> {
        match night.trained {
            Ok(trained) => self.trained(now, &trained),
            Err(e) if matches!(e.kind(), ErrorKind::NotEnoughData { .. }) => {
                self.not_trained(now, &format!("{e:#}"));
            }
            Err(e) => return Err(e),
        }
        if let Some(watched) = night.watched {
            self.watched(now, &watched);
        }
        Ok(())
    }

    fn trained(&mut self, now: DateTime<Utc>, trained: &TrainingReport) {
        let week = self.week_of(now);
        let week = self.weeks.entry(week).or_default();
        let because = |start: &str| trained.reasons.iter().find(|r| r.starts_with(start)).cloned();
        if trained.promoted {
            week.promoted += 1;
            self.promotion = Some((now, trained.version.version, trained.reasons.clone()));
        } else if let Some(reason) = because("rejected") {
            week.rejected += 1;
            week.reason = Some(reason);
        } else {
            week.inconclusive += 1;
            week.reason = week.reason.take().or(because("inconclusive"));
        }
    }

    fn watched(&mut self, now: DateTime<Utc>, watched: &DeploymentCheck) {
        if watched.rolled_back_to.is_some() {
            self.rollbacks.push((now, watched.reasons.join("; ")));
        }
    }

    fn not_trained(&mut self, now: DateTime<Utc>, reason: &str) {
        let week = self.week_of(now);
        let week = self.weeks.entry(week).or_default();
        week.reason.get_or_insert_with(|| reason.to_owned());
    }

    /// Returns the number of the week, from 0, that `now` falls in.
    pub(crate) fn week_of(&self, now: DateTime<Utc>) -> i64 {
        (now - self.begin).num_weeks()
    }

    /// Prints one line about a week that has just ended, so that a long run shows how far it is.
    pub(crate) fn print_progress(&self, week: i64, last_week: i64) {
        let counts = self.weeks.get(&week);
        println!(
            "week {} of {}: {} generations, {} labelled so far, {} models promoted",
            week + 1,
            last_week + 1,
            counts.map_or(0, |week| week.generations),
            self.closed.values().filter(|(row, _)| row.week == week).count(),
            counts.map_or(0, |week| week.promoted)
        );
    }

    pub(crate) fn print(&self, truth_known: bool) {
        println!(
            "{:>4} {:>12} {:>9} {:>7} {:>7} {:>7} {:>9} {:>12} {:>8}  reason",
            "week",
            "generations",
            "labelled",
            "success",
            "AUC",
            "Brier",
            "promoted",
            "inconclusive",
            "rejected"
        );
        for (number, week) in &self.weeks {
            let rows = self.rows(|row| row.week == *number);
            let rate = rows.iter().filter(|(_, y)| *y).count() as f64 / rows.len().max(1) as f64;
            let scores = scores(&rows, |row| row.predicted);
            println!(
                "{:>4} {:>12} {:>9} {:>6.1}% {:>7} {:>7} {:>9} {:>12} {:>8}  {}",
                number + 1,
                week.generations,
                rows.len(),
                rate * 100.0,
                show(scores.and_then(|s| s.auc)),
                show(scores.map(|s| s.brier)),
                week.promoted,
                week.inconclusive,
                week.rejected,
                week.reason.as_deref().unwrap_or("-")
            );
        }
        if let Some((at, version, reasons)) = &self.promotion {
            println!("\nlast promotion: version {version} on {}:", at.date_naive());
            reasons.iter().for_each(|reason| println!("  {reason}"));
        }
        self.rollbacks.iter().for_each(|(at, why)| println!("rolled back on {}: {why}", at.date_naive()));
        self.summary(truth_known);
    }

    /// Prints the scores of the promoted models, beside the base rate and, where it is known, the oracle.
    fn summary(&self, truth_known: bool) {
        let rows = self.rows(|row| row.by_model);
        let Some(ours) = scores(&rows, |row| row.predicted) else {
            println!("\nno model was promoted: every prediction was a cold start");
            return;
        };
        println!(
            "\n{} labelled generations were predicted by a promoted model before they started:",
            rows.len()
        );
        line("predicted", &ours);
        let rate = rows.iter().filter(|(_, y)| *y).count() as f64 / rows.len() as f64;
        if let Some(constant) = scores(&rows, |_| rate) {
            line("base rate", &constant);
        }
        if truth_known && let Some(truth) = scores(&rows, |row| row.probability.unwrap_or(rate)) {
            line("oracle", &truth);
            let error = rows
                .iter()
                .map(|(row, _)| (row.predicted - row.probability.unwrap_or(rate)).abs())
                .sum::<f64>();
            println!(
                "mean absolute difference between prediction and true probability: {:.3}",
                error / rows.len() as f64
            );
        }
    }

    fn rows(&self, keep: impl Fn(&Row) -> bool) -> Vec<(Row, bool)> {
        self.closed.values().filter(|(row, _)| keep(row)).cloned().collect()
    }
}

fn scores(rows: &[(Row, bool)], value: impl Fn(&Row) -> f64) -> Option<BinaryScores> {
    let (values, outcomes): (Vec<_>, Vec<_>) = rows.iter().map(|(row, y)| (value(row), *y)).unzip();
    BinaryScores::of(&values, &outcomes).ok()
}

fn line(name: &str, s: &BinaryScores) {
    println!(
        "  {name:<16} AUC {}  Brier {:.3}  log loss {:.3}  ECE {:.3}",
        show(s.auc),
        s.brier,
        s.logloss,
        s.ece
    );
}

fn show(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"))
}
