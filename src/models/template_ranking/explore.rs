//! New templates get their chance.
//!
//! A template with fewer than [`NEW`] outcomes is new. Where the task is one that it is made for,
//! its score is raised by 0.1 √(ln(1 + eligible) / (1 + tries)), as in UCB1 (Auer, Cesa-Bianchi and
//! Fischer 2002), where `eligible` counts the generations of its types since it was created and
//! `tries` its own: without a try the bonus grows without end.
//!
//! Where it is known when a template was created, there is a term besides: once [`DUE`] eligible
//! generations have gone by without a single try, it stands before everything that is not due;
//! among several that are due those that have waited longer come first, then those of lower id. So a
//! template is tried within its first 50 eligible tasks where first places are used, as long as no
//! more than 25 new ones of the same types wait together. A catalogue without dates asks for no
//! such turns: in a large one, they would take every first place for weeks.

use super::features::{FRAMEWORK_MATCH, LANGUAGE_MATCH, TASK_TYPE_MATCH};
use super::view::Past;

/// Outcomes from which on a template is no longer new.
pub(super) const NEW: f64 = 5.0;

/// Eligible tasks without a try after which a new template stands first.
pub(super) const DUE: f64 = 25.0;

/// Height of the bonus, as a share of approvals.
const HEIGHT: f64 = 0.1;

/// Generations with the template of which it is known that they began; those of the last 14 days
/// that nobody has judged yet among them.
pub(super) fn tries(past: &Past) -> f64 {
    past.seen.all.all.n + past.seen.all.open
}

/// Whether fewer than [`NEW`] outcomes are known.
pub(super) fn is_new(past: &Past) -> bool {
    past.seen.all.all.n < NEW
}

/// Returns the exploration bonus added to a template's score (below 1); 1 or more where it must rank
/// first, which requires a known creation date.
pub(super) fn bonus(past: &Past, row: &[f32], dated: bool) -> f64 {
    if !is_new(past) || !suits(row) {
        return 0.0;
    }
    let tries = tries(past);
    if dated && tries < 0.5 && past.eligible >= DUE {
        return 1.0 + past.eligible;
    }
    HEIGHT * (past.eligible.ln_1p() / (1.0 + tries)).sqrt()
}

/// Returns true if the template is made for the task: no mismatch in task type, language or framework,
/// as far as its profile names any.
fn suits(row: &[f32]) -> bool {
    [TASK_TYPE_MATCH, LANGUAGE_MATCH, FRAMEWORK_MATCH].iter().all(|place| row.get(*place) != Some(&0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::template_ranking::features::TEMPLATE_FEATURES;

    fn past(outcomes: f64, open: f64, eligible: f64) -> Past {
        let mut past = Past { eligible, ..Past::default() };
        (past.seen.all.all.n, past.seen.all.open) = (outcomes, open);
        past
    }

    #[test]
    fn the_bonus_grows_with_waiting_and_shrinks_with_tries() {
        let row = vec![f32::NAN; TEMPLATE_FEATURES.len()];
        let of = |outcomes, open, eligible| bonus(&past(outcomes, open, eligible), &row, true);
        assert!(of(0.0, 0.0, 10.0) < of(0.0, 0.0, 20.0) && of(0.0, 0.0, 24.0) < 0.5);
        assert!(of(0.0, 0.0, 25.0) >= 1.0 && of(0.0, 0.0, 26.0) > of(0.0, 0.0, 25.0));
        assert!(of(0.0, 1.0, 100.0) < 0.5 && of(3.0, 1.0, 100.0) < of(0.0, 1.0, 100.0));
        assert_eq!(of(5.0, 0.0, 100.0), 0.0);
        assert!(bonus(&past(0.0, 0.0, 1e4), &row, false) < 0.5, "without a date it has no turn");
        let mut other = row;
        other[TASK_TYPE_MATCH] = 0.0;
        assert_eq!(bonus(&past(0.0, 0.0, 100.0), &other, true), 0.0);
    }
}
