//! Success rates of a template, each drawn to its parents, and the prior made of them.

use super::catalogue::Prepared;
use super::features::{FRAMEWORK_MATCH, IN_LANGUAGE, SEMANTIC_SIMILARITY, TEMPLATE_FEATURES};
use super::view::{Past, TemplateView};
use crate::history::{Count, Evidence, Scope};
use crate::learn::{logit, sigmoid};

/// Weight of a parent's rate, in outcomes.
const STRENGTH: f64 = 5.0;

/// Weight of a parent that already speaks of this very template, in outcomes.
const FIRM: f64 = 10.0;

/// What a task type that the template is not made for takes, in log-odds, until outcomes tell.
const OTHER_TYPE: f64 = -0.7;
/// The same of a language.
const OTHER_LANGUAGE: f64 = -0.35;
/// What a framework that the template is not made for takes, in log-odds.
const OTHER_FRAMEWORK: f64 = -0.2;
/// What a description just like the template's own gives, in log-odds.
const ALIKE: f64 = 0.5;

/// Success rates seen from one task; open generations count by how they are expected to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// The template's, whatever the task.
    pub(super) template: f64,
    /// The template's in the last weeks (half-life 7 days).
    pub(super) recent: f64,
    /// The template's for this type of task.
    pub(super) at_type: f64,
    /// The same, with what it does better or worse in this language than elsewhere.
    pub(super) in_language: f64,
    /// Share of this template among the user's approvals; `None` where there is no user.
    pub(super) preference: Option<f64>,
}

impl Rates {
    pub(super) fn of(
        view: &TemplateView,
        past: &Past,
        template: &Prepared,
        type_matches: f32,
        language_matches: f32,
    ) -> Self {
        let (global, task_type) = (global(view), task_type(view));
        let language = drawn(view.group(Scope::Language), global, STRENGTH);
        let own = drawn(&past.seen.all, task_type, STRENGTH);
        let expected = relatives(view, template, task_type);
        let expected = moved(expected, if type_matches == 0.0 { OTHER_TYPE } else { 0.0 });
        let at_type = if view.knows(Scope::TaskType) {
            drawn(&past.seen.of_type, expected, STRENGTH)
        } else {
            drawn(&past.seen.all, expected, STRENGTH)
        };
        // Better or worse than template and language lead to expect.
        let usual = sigmoid(logit(own) + logit(language) - logit(global));
        let stated = if language_matches == 0.0 { OTHER_LANGUAGE } else { 0.0 };
        let here = drawn(&past.seen.of_language, moved(usual, stated), FIRM);
        Self {
            template: own,
            recent: past.seen.all.week.rate(own, STRENGTH),
            at_type,
            in_language: moved(at_type, logit(here) - logit(usual)),
            preference: view.knows(Scope::User).then(|| preference(view, past)),
        }
    }
}

/// What the past alone says of a row, in log-odds of success: the template's rate for this type of
/// task, drawn to that of its relatives, moved by what it does in this language, and by how its
/// description and its frameworks fit.
pub(super) fn prior(row: &[f32]) -> f64 {
    let [rate, alike, framework] = parts(row);
    rate + alike + framework
}

/// The same by feature, in the order of [`TEMPLATE_FEATURES`].
pub(super) fn prior_parts(row: &[f32]) -> Vec<f64> {
    let mut by_feature = vec![0.0; TEMPLATE_FEATURES.len()];
    let [rate, alike, framework] = parts(row);
    by_feature[IN_LANGUAGE] = rate;
    by_feature[SEMANTIC_SIMILARITY] = alike;
    by_feature[FRAMEWORK_MATCH] = framework;
    by_feature
}

/// The success rate of the task's type.
pub(super) fn task_type(view: &TemplateView) -> f64 {
    drawn(view.group(Scope::TaskType), global(view), STRENGTH)
}

/// What is missing says nothing.
fn parts(row: &[f32]) -> [f64; 3] {
    let at = |place: usize| row.get(place).copied().filter(|v| !v.is_nan()).map(f64::from);
    let framework = if at(FRAMEWORK_MATCH) == Some(0.0) { OTHER_FRAMEWORK } else { 0.0 };
    [logit(at(IN_LANGUAGE).unwrap_or(0.5)), ALIKE * at(SEMANTIC_SIMILARITY).unwrap_or(0.0), framework]
}

fn global(view: &TemplateView) -> f64 {
    let all = view.group(Scope::Global);
    drawn(all, all.all.rate(0.5, STRENGTH), STRENGTH)
}

/// The rate of the template's relatives for this type of task, each by how close it is.
fn relatives(view: &TemplateView, template: &Prepared, parent: f64) -> f64 {
    let mut sum = Count::default();
    for (id, relation) in &template.relatives {
        let seen = view.past(id).seen.of_type;
        sum.n += relation * (seen.month.n + seen.open);
        sum.successes += relation * (seen.month.successes + seen.open_successes);
    }
    sum.rate(parent, STRENGTH)
}

/// The share of the user's approvals that used the template, drawn to that of everybody.
fn preference(view: &TemplateView, past: &Past) -> f64 {
    let approved = view.group(Scope::Global).month.successes;
    let usual = past.seen.all.month.successes / approved.max(1.0);
    let (mine, with_it) = (view.group(Scope::User).month.successes, past.seen.of_user.month.successes);
    (with_it + FIRM * usual) / (mine + FIRM)
}

fn moved(rate: f64, log_odds: f64) -> f64 {
    sigmoid(logit(rate) + log_odds)
}

fn drawn(seen: &Evidence, parent: f64, strength: f64) -> f64 {
    let successes = seen.month.successes + seen.open_successes;
    (successes + strength * parent) / (seen.month.n + seen.open + strength)
}
