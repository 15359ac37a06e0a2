//! Success rates of a template, each shrunk toward its parents, and the prior made of them.

use super::catalogue::Prepared;
use super::features::{SEMANTIC_SIMILARITY, SIMILAR, TEMPLATE_FEATURES};
use super::view::{Past, TemplateView};
use crate::history::{Count, GroupKey, GroupStatistics};
use crate::stats::{logit, sigmoid};

/// Weight of a parent's rate, in outcomes.
const STRENGTH: f64 = 5.0;

/// Weight of what is expected of a template for a type of task or similar tasks, in outcomes.
/// Templates differ by less than agents: 20 suits success rates that spread by a tenth.
const FIRM: f64 = 20.0;

/// The prior effect of a task type that the template is not made for, in log-odds.
const OTHER_TYPE: f64 = -0.7;
/// The prior effect of a language that the template is not made for, in log-odds.
const OTHER_LANGUAGE: f64 = -0.35;
/// The prior effect of a framework that the template is not made for, in log-odds.
const OTHER_FRAMEWORK: f64 = -0.2;
/// The prior effect of a description identical to the template's own, in log-odds.
pub(super) const ALIKE: f64 = 0.5;

/// Success rates seen from one task; open generations count by how they are expected to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// The template's, whatever the task.
    pub(super) template: f64,
    /// The template's in the last weeks (half-life 7 days).
    pub(super) recent: f64,
    /// The template's for this type of task.
    pub(super) at_type: f64,
    /// The template's for tasks of this type, language and framework.
    pub(super) similar: f64,
    /// Share of this template among the user's approvals; `None` where there is no user.
    pub(super) preference: Option<f64>,
}

impl Rates {
    pub(super) fn of(
        view: &TemplateView,
        past: &Past,
        template: &Prepared,
        [type_matches, language_matches, framework_matches]: [f32; 3],
    ) -> Self {
        let (task_type, here) = (task_type(view), similar(view));
        let unless = |matches: f32, otherwise: f64| if matches == 0.0 { otherwise } else { 0.0 };
        let own = drawn(&past.seen.all, task_type, STRENGTH);
        let expected = moved(relatives(view, template, task_type), unless(type_matches, OTHER_TYPE));
        let of_type = if view.knows(GroupKey::TaskType) { &past.seen.of_type } else { &past.seen.all };
        let at_type = drawn(of_type, expected, FIRM);
        let stated = unless(language_matches, OTHER_LANGUAGE) + unless(framework_matches, OTHER_FRAMEWORK);
        let usual = moved(at_type, logit(here) - logit(task_type) + stated);
        Self {
            template: own,
            recent: past.seen.all.week.rate(own, STRENGTH),
            at_type,
            similar: drawn(&past.seen.similar, usual, FIRM),
            preference: view.knows(GroupKey::User).then(|| preference(view, past)),
        }
    }
}

/// Returns the prior of a row, in log-odds of success: the template's rate for tasks of this type,
/// language and framework, adjusted for the similarity of the descriptions.
///
/// Each rate is shrunk toward its parent's, the more the fewer outcomes it has: the rate for similar
/// tasks toward that for the type, adjusted for the language and framework; the rate for the type
/// toward that of the template's relatives. Where the template is made for something else, the parent
/// rates are lowered.
pub(super) fn prior(row: &[f32]) -> f64 {
    parts(row).iter().sum()
}

/// Returns the prior split by feature, in the order of [`TEMPLATE_FEATURES`].
pub(super) fn prior_parts(row: &[f32]) -> Vec<f64> {
    let mut by_feature = vec![0.0; TEMPLATE_FEATURES.len()];
    [by_feature[SIMILAR], by_feature[SEMANTIC_SIMILARITY]] = parts(row);
    by_feature
}

/// The success rate of the task's type.
pub(super) fn task_type(view: &TemplateView) -> f64 {
    drawn(view.group(GroupKey::TaskType), global(view), STRENGTH)
}

/// The success rate of tasks of this type, language and framework.
fn similar(view: &TemplateView) -> f64 {
    let of_language = drawn(view.group(GroupKey::TypeLanguage), task_type(view), STRENGTH);
    drawn(view.group(GroupKey::TypeLanguageFramework), of_language, STRENGTH)
}

/// Returns the two terms of the prior; a missing value contributes nothing.
fn parts(row: &[f32]) -> [f64; 2] {
    let at = |place: usize| row.get(place).map(|v| f64::from(*v)).filter(|v| (0.0..=1.0).contains(v));
    [logit(at(SIMILAR).unwrap_or(0.5)), ALIKE * at(SEMANTIC_SIMILARITY).unwrap_or(0.0)]
}

fn global(view: &TemplateView) -> f64 {
    let all = view.group(GroupKey::Global);
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

/// Returns the share of the user's approvals that used the template, shrunk toward that of all users.
fn preference(view: &TemplateView, past: &Past) -> f64 {
    let approved = view.group(GroupKey::Global).month.successes;
    let usual = past.seen.all.month.successes / approved.max(1.0);
    let (mine, with_it) = (view.group(GroupKey::User).month.successes, past.seen.of_user.month.successes);
    (with_it + FIRM * usual) / (mine + FIRM)
}

fn moved(rate: f64, log_odds: f64) -> f64 {
    sigmoid(logit(rate) + log_odds)
}

fn drawn(seen: &GroupStatistics, parent: f64, strength: f64) -> f64 {
    let successes = seen.month.successes + seen.open_successes;
    (successes + strength * parent) / (seen.month.n + seen.open + strength)
}
