//! Why a template stands where it stands, in words that name the values.

use super::explore;
use super::features::{FRAMEWORK_MATCH, LANGUAGE_MATCH, TASK_TYPE_MATCH};
use super::profile::TemplateProfile;
use super::view::Past;
use crate::event::TaskContext;
use crate::history::Count;

/// One sentence for a template; never empty.
pub(super) fn sentence(
    profile: &TemplateProfile,
    past: &Past,
    row: &[f32],
    task: &TaskContext,
    exploration: f64,
) -> String {
    let parts = [record(past, task), fit(row), misfit(profile, row, task), novelty(past, exploration)];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing is known of it yet".to_owned() } else { parts.join("; ") }
}

/// Returns the template's approval record for tasks of this type, else its overall record.
fn record(past: &Past, task: &TaskContext) -> Option<String> {
    let (here, all) = (past.seen.of_type.all, past.seen.all.all);
    let kind = task.task_type.as_deref().map(str::trim).unwrap_or_default();
    if here.n >= 1.0 {
        return Some(format!("approved {} {kind} tasks", share(here)));
    }
    (all.n >= 1.0).then(|| match kind {
        "" => format!("approved {} tasks", share(all)),
        kind => format!("approved {} tasks, none of them {kind}", share(all)),
    })
}

fn share(of: Count) -> String {
    format!("{:.0} % of {:.0}", 100.0 * of.successes / of.n, of.n)
}

/// Returns the matches between its profile and the task.
fn fit(row: &[f32]) -> Option<String> {
    let named =
        [(TASK_TYPE_MATCH, "task type"), (LANGUAGE_MATCH, "language"), (FRAMEWORK_MATCH, "framework")];
    let same: Vec<_> =
        named.iter().filter(|(place, _)| row.get(*place) == Some(&1.0)).map(|(_, name)| *name).collect();
    match same.as_slice() {
        [] => None,
        [one] => Some(format!("same {one}")),
        [first @ .., last] => Some(format!("same {} and {last}", first.join(", "))),
    }
}

/// Returns the first mismatch between its profile and the task.
fn misfit(profile: &TemplateProfile, row: &[f32], task: &TaskContext) -> Option<String> {
    let named = [
        (TASK_TYPE_MATCH, &profile.task_types, &task.task_type),
        (LANGUAGE_MATCH, &profile.languages, &task.language),
        (FRAMEWORK_MATCH, &profile.frameworks, &task.framework),
    ];
    let (_, names, wanted) = named.into_iter().find(|(place, ..)| row.get(*place) == Some(&0.0))?;
    let others = if names.len() > 3 { ", …" } else { "" };
    let names = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(format!("made for {names}{others}, not {}", wanted.as_deref().map(str::trim).unwrap_or_default()))
}

fn novelty(past: &Past, exploration: f64) -> Option<String> {
    if !explore::is_new(past) {
        return None;
    }
    let tried = match explore::tries(past).round() as u64 {
        0 => "never tried".to_owned(),
        1 => "tried once".to_owned(),
        n => format!("tried {n} times"),
    };
    let chance = match exploration {
        e if e >= 1.0 => ", so it is its turn",
        e if e > 0.0 => ", so it gets a chance",
        _ => "",
    };
    Some(format!("new: {tried}{chance}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{TaskId, TemplateId};
    use crate::models::template_ranking::TEMPLATE_FEATURES;

    fn said(past: &Past, matches: &[(usize, f32)], exploration: f64) -> String {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.task_type = Some("backend".into());
        let mut row = vec![f32::NAN; TEMPLATE_FEATURES.len()];
        matches.iter().for_each(|(place, value)| row[*place] = *value);
        let profile = TemplateProfile::new(TemplateId::new("a").unwrap()).for_task_types(["frontend"]);
        sentence(&profile, past, &row, &task, exploration)
    }

    #[test]
    fn sentences_name_the_values() {
        let mut past = Past::default();
        past.seen.all.all = Count { n: 61.0, successes: 30.0 };
        past.seen.of_type.all = Count { n: 58.0, successes: 24.0 };
        let both = [(LANGUAGE_MATCH, 1.0), (FRAMEWORK_MATCH, 1.0)];
        assert_eq!(said(&past, &both, 0.0), "approved 41 % of 58 backend tasks; same language and framework");
        past.seen.of_type.all.n = 0.0;
        let other = [(TASK_TYPE_MATCH, 0.0)];
        let expected = "approved 49 % of 61 tasks, none of them backend; made for frontend, not backend";
        assert_eq!(said(&past, &other, 0.0), expected);
    }

    #[test]
    fn new_templates_say_so() {
        let mut past = Past::default();
        past.seen.all.open = 2.0;
        assert_eq!(said(&past, &[], 0.1), "new: tried 2 times, so it gets a chance");
        past.seen.all.open = 0.0;
        assert_eq!(said(&past, &[], 30.0), "new: never tried, so it is its turn");
        assert_eq!(said(&past, &[(TASK_TYPE_MATCH, 1.0)], 0.0), "same task type; new: never tried");
    }
}
