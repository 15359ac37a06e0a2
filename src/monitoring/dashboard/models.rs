//! Feature importance, and model versions with their verdicts.

use super::plot::{Frame, bar, figure, missing, px, table};
use super::show;
use crate::models::Surrogate;
use crate::monitoring::{Analytics, ModelImportance, ModelPerformance, VersionSummary};
use crate::registry::{Stage, Verdict};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// Features of a model, and versions, that are shown.
const MOST: usize = 10;

pub(super) fn importance(analytics: &Analytics) -> Markup {
    html! {
        section aria-labelledby="importance" {
            h2 #importance { "Feature importance" }
            p.lead { "Gain of each feature's splits in training as a share of all, in the version in production; and its change from the version before, in percentage points." }
            @if analytics.feature_importance.is_empty() {
                (missing("No importance: no model is in production, or the registry was not read."))
            } @else {
                div.wide { @for model in &analytics.feature_importance { (of_model(model)) } }
            }
        }
    }
}

fn of_model(model: &ModelImportance) -> Markup {
    let most = model.features.first().map_or(1.0, |(_, share)| *share).max(f64::MIN_POSITIVE);
    let change = |name: &str| model.changes.iter().find(|(n, _)| n == name).map(|(_, by)| *by);
    html! {
        div.card data-importance=(model.model) {
            h3 { bdi { (model.model) } " " span.soft { "version " (model.version) } }
            div.scroll { table {
                thead { tr { th scope="col" { "Feature" } th scope="col" colspan="2" { "Share" } th.n scope="col" { "Change" } } }
                tbody {
                    @for (name, share) in model.features.iter().take(MOST) {
                        tr data-feature=(name) data-share=[show::finite(*share)] {
                            td { bdi { (name.replace('_', " ")) } }
                            td.bar { (bar(share / most)) }
                            td.n { (show::percent(*share)) }
                            td.n.soft { (change(name).map_or_else(|| show::NOTHING.to_owned(), |by| show::signed(by * 100.0, 1))) }
                        }
                    }
                }
            } }
            @if model.features.is_empty() { p.soft { "This model has no feature importance." } }
            @if let Some(surrogate) = &model.surrogate { (rules(surrogate)) }
        }
    }
}

/// Shows what the model predicts, in rules.
fn rules(surrogate: &Surrogate) -> Markup {
    html! {
        details data-surrogate-r2=(surrogate.r2) data-surrogate-concordance=(surrogate.concordance) {
            summary { "In " (surrogate.rules.len()) " rules: R² " (show::number(Some(surrogate.r2), 2)) }
            p.soft { "A decision tree fitted to what the model predicts: " (surrogate.fidelity()) "." }
            div.scroll { table {
                thead { tr { th scope="col" { "Predicts" } th.n scope="col" { "Of tasks" } th scope="col" { "Where" } } }
                tbody {
                    @for rule in &surrogate.rules {
                        tr {
                            td { (surrogate.shown(rule.prediction)) }
                            td.n { (show::percent(rule.share)) }
                            td { bdi { (rule.when()) } }
                        }
                    }
                }
            } }
        }
    }
}

pub(super) fn history(analytics: &Analytics) -> Markup {
    html! {
        section aria-labelledby="versions" {
            h2 #versions { "Model versions" }
            p.lead { "Every version of the registry with the verdict of the promotion gate." }
            @if analytics.versions.is_empty() {
                (missing("No versions: nothing has been trained, or the registry was not read."))
            } @else {
                (strip(&analytics.versions))
                div.wide style="margin-top:.9rem" {
                    (versions(&analytics.versions))
                    (performance(&analytics.model_performance))
                }
            }
        }
    }
}

/// The verdict of the promotion gate on a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Promoted,
    Inconclusive,
    Rejected,
    RolledBack,
    NotEvaluated,
}

impl Fate {
    /// By all verdicts: one that was taken back counts as that.
    fn of(version: &VersionSummary) -> Self {
        let verdicts = &version.verdicts;
        let rejected =
            |v: &Verdict| v.reasons.iter().any(|r| r.starts_with("refused") || r.starts_with("rejected"));
        if verdicts.iter().any(|v| v.rolled_back) {
            Self::RolledBack
        } else if verdicts.iter().any(|v| v.promoted) || version.stage == Stage::Production {
            Self::Promoted
        } else if verdicts.iter().any(rejected) {
            Self::Rejected
        } else if verdicts.is_empty() {
            Self::NotEvaluated
        } else {
            Self::Inconclusive
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Inconclusive => "inconclusive",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled back",
            Self::NotEvaluated => "not evaluated",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Promoted => "good",
            Self::Rejected | Self::RolledBack => "bad",
            Self::Inconclusive | Self::NotEvaluated => "",
        }
    }
}

/// When each version was registered, a row for each model.
fn strip(versions: &[VersionSummary]) -> Markup {
    let mut models: Vec<&str> = Vec::new();
    for version in versions {
        if !models.contains(&version.model.as_str()) {
            models.push(&version.model);
        }
    }
    let when = |at: DateTime<Utc>| at.timestamp() as f64;
    let times = versions.iter().map(|v| when(v.created_at));
    let (from, until) = times.fold((f64::MAX, f64::MIN), |(low, high), t| (low.min(t), high.max(t)));
    let height = 34.0 + 30.0 * models.len() as f64;
    let ends = (0.0, models.len() as f64);
    let frame = Frame { height, room: (92.0, 26.0, 4.0, 30.0), ..Frame::new((from, until), ends) };
    let row = |model: &str| {
        let place = models.iter().position(|m| *m == model).unwrap_or(0);
        frame.at_y(models.len() as f64 - place as f64 - 0.5)
    };
    let ticks: Vec<_> = (0..3)
        .filter_map(|i| {
            let at = from + (until - from) * f64::from(i) / 2.0;
            let day = DateTime::from_timestamp(at as i64, 0)?.date_naive();
            Some((at, show::short_day(day)))
        })
        .collect();
    let ticks = if until > from { ticks } else { ticks.into_iter().take(1).collect() };
    let plot = html! {
        @for model in &models {
            line.grid x1=(px(frame.left())) x2=(px(frame.right())) y1=(px(row(model))) y2=(px(row(model))) {}
            text.end x=(px(frame.left() - 12.0)) y=(px(row(model) + 4.5)) { (show::cut(model, 11)) }
        }
        (frame.labels_x(&ticks, ""))
        @for version in versions.iter().rev() {
            (mark(Fate::of(version), frame.at_x(when(version.created_at)), row(&version.model)))
        }
    };
    let rows: Vec<_> = versions
        .iter()
        .map(|v| {
            let (number, when) = (v.version.to_string(), show::moment(v.created_at));
            vec![v.model.clone(), number, when, stage(v.stage).to_owned(), Fate::of(v).name().to_owned()]
        })
        .collect();
    let told = |fate| versions.iter().filter(|v| Fate::of(v) == fate).count();
    let told = format!(
        "{} versions: {} promoted, {} inconclusive, {} rejected, {} rolled back.",
        versions.len(),
        told(Fate::Promoted),
        told(Fate::Inconclusive),
        told(Fate::Rejected),
        told(Fate::RolledBack)
    );
    let key = html! {
        ul.key {
            @for fate in [Fate::Promoted, Fate::Inconclusive, Fate::Rejected, Fate::RolledBack] {
                li { svg viewBox="0 0 22 10" aria-hidden="true" { (mark(fate, 11.0, 5.0)) } (fate.name()) }
            }
        }
    };
    let drawn = frame.draw("plot", "Versions by the day they were registered", &told, &plot);
    figure(
        "History",
        &told,
        &drawn,
        &key,
        &table(&["Model", "Version", "Registered", "Stage", "Verdict"], &rows),
    )
}

fn mark(fate: Fate, x: f64, y: f64) -> Markup {
    html! {
        @match fate {
            Fate::Promoted => { circle.promoted cx=(px(x)) cy=(px(y)) r="5" {} }
            Fate::Inconclusive | Fate::NotEvaluated => { circle.held cx=(px(x)) cy=(px(y)) r="3.5" {} }
            Fate::Rejected => { path.refused d=(format!("M{} {}l7 7m0-7l-7 7", px(x - 3.5), px(y - 3.5))) {} }
            Fate::RolledBack => { path.rolled d=(format!("M{} {}h10l-5 9z", px(x - 5.0), px(y - 4.0))) {} }
        }
    }
}

/// The newest versions with their reasons; those in production first.
fn versions(versions: &[VersionSummary]) -> Markup {
    let mut newest: Vec<_> = versions.iter().collect();
    newest.sort_by_key(|v| (v.stage != Stage::Production, std::cmp::Reverse(v.created_at)));
    html! {
        div.card {
            h3 { "Newest verdicts, those in production first" }
            ol.list {
                @for version in newest.into_iter().take(MOST) {
                    @let fate = Fate::of(version);
                    li data-model=(version.model) data-version=(version.version) data-stage=(stage(version.stage)) {
                        span class=(format!("tag {}", fate.class())) { (fate.name()) }
                        strong { bdi { (version.model) } " " (version.version) }
                        " " span.soft { (stage(version.stage)) ", " (show::moment(version.created_at)) }
                        @if let Some(verdict) = version.verdicts.last() {
                            @if let Some(first) = leading(verdict) { p { bdi { (first) } } }
                            @if verdict.reasons.len() > 1 {
                                details {
                                    summary { "all " (verdict.reasons.len()) " reasons" }
                                    @for reason in &verdict.reasons { p.soft { bdi { (reason) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The reason that decided: what refused or held it, else the first.
fn leading(verdict: &Verdict) -> Option<&String> {
    let decided = |reason: &&String| {
        ["rejected", "refused", "inconclusive", "held", "not promoted", "rolled back"]
            .iter()
            .any(|start| reason.starts_with(start))
    };
    verdict.reasons.iter().find(decided).or(verdict.reasons.first())
}

/// What training promised, and what has come of it since.
fn performance(models: &[ModelPerformance]) -> Markup {
    let mut newest: Vec<_> = models.iter().collect();
    newest.sort_by_key(|model| (!model.in_production, std::cmp::Reverse(model.created_at)));
    let rows: Vec<_> = newest
        .into_iter()
        .take(MOST)
        .map(|model| {
            let trained = |name: &str| model.training.get(name).copied();
            let (promised, since, n) = match (&model.success, &model.number) {
                (_, Some(scores)) => (
                    format!("MAE {}", show::number(trained("mae"), 2)),
                    format!("MAE {}", show::number(scores.mae, 2)),
                    scores.n,
                ),
                (scores, None) => (
                    format!("ROC AUC {}", show::number(trained("auc"), 3)),
                    format!("ROC AUC {}", show::number(scores.as_ref().and_then(|s| s.auc), 3)),
                    scores.as_ref().map_or(0, |s| s.n),
                ),
            };
            let serves = if model.in_production { " (production)" } else { "" };
            vec![format!("{} {}{serves}", model.model, model.version), promised, since, show::count(n)]
        })
        .collect();
    html! {
        div.card {
            h3 { "Training vs production" }
            p.soft { "Test scores in training, and scores of the predictions since." }
            @if rows.is_empty() { p.soft { "No prediction of a version has a label yet." } }
            @else { div.scroll { (table(&["Version", "In training", "In production", "Outcomes"], &rows)) } }
        }
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::None => "registered",
        Stage::Staging => "on trial",
        Stage::Production => "production",
        Stage::Archived => "archived",
    }
}
