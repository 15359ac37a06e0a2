//! Expected cost until success: retries of a candidate, then escalation to the most promising one.

use super::candidates::Candidate;
use super::policies::{Arm, Posterior};

/// Tries at most until success or giving up, as time to approval counts them.
const MOST_TRIES: i32 = 20;

/// A candidate as it is tried: what each try costs, how likely it succeeds, how often it is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Try {
    pub(super) usd: f64,
    pub(super) success: f64,
    pub(super) tries: u32,
}

/// Returns how often a plan is tried at most.
pub(super) fn tries(candidate: &Candidate) -> u32 {
    1 + candidate.plan.retry_budget.unwrap_or(0).min(MOST_TRIES as u32 - 1)
}

/// Returns the expected US dollars until success of each candidate.
///
/// A candidate is tried once and as often again as its plan retries; then the one most likely to succeed takes over.
/// Tries are taken as independent: a task that failed once is likely harder, so this is a lower bound.
pub(super) fn expected(all: &[Try]) -> Vec<f64> {
    let success = |at: usize| all[at].success.clamp(0.0, 1.0);
    let Some(last) = (0..all.len()).max_by(|a, b| success(*a).total_cmp(&success(*b))) else {
        return Vec::new();
    };
    let escalated = all[last].usd * expected_tries(success(last), MOST_TRIES);
    let until = |(at, one): (usize, &Try)| {
        if at == last {
            return escalated;
        }
        let (p, tries) = (success(at), one.tries.clamp(1, MOST_TRIES as u32) as i32);
        one.usd * expected_tries(p, tries) + (1.0 - p).powi(tries) * escalated
    };
    all.iter().enumerate().map(until).collect()
}

/// Sets the expected US dollars until success of the arms at `permitted`, whose posteriors are given in their order.
pub(super) fn set(arms: &mut [Arm], permitted: &[usize], posteriors: &[Posterior]) {
    let tries = permitted.iter().zip(posteriors).map(|(at, posterior)| Try {
        usd: arms[*at].cost_usd,
        success: posterior.success,
        tries: arms[*at].tries,
    });
    let until = expected(&tries.collect::<Vec<_>>());
    permitted.iter().zip(until).for_each(|(at, usd)| arms[*at].usd_until_success = Some(usd));
}

/// Returns the expected number of tries until success, at most `most`, where each succeeds with probability `p`.
fn expected_tries(p: f64, most: i32) -> f64 {
    if p <= 0.0 { f64::from(most) } else { (1.0 - (1.0 - p).powi(most)) / p }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(of: [(f64, f64, Option<u32>); 2]) -> Vec<f64> {
        let names = ["cheap", "strong"];
        let mut arms = of.map(|(usd, ..)| Arm { cost_usd: usd, ..Arm::default() });
        let mut candidates = names.map(Candidate::by_llm);
        candidates.iter_mut().zip(of).for_each(|(candidate, (.., retries))| {
            candidate.plan.retry_budget = retries;
        });
        let posteriors = of.map(|(_, p, _)| Posterior::new(p, (p, p)));
        arms.iter_mut().zip(&candidates).for_each(|(arm, candidate)| arm.tries = tries(candidate));
        set(&mut arms, &[0, 1], &posteriors);
        arms.iter().filter_map(|arm| arm.usd_until_success).collect()
    }

    #[test]
    fn failures_are_retried_and_then_escalated() {
        let found = expected([(1.0, 0.5, None), (10.0, 1.0, None)]);
        assert_eq!(found, [1.0 + 0.5 * 10.0, 10.0]);
        let found = expected([(1.0, 0.5, Some(1)), (10.0, 1.0, None)]);
        assert_eq!(found, [1.5 + 0.25 * 10.0, 10.0]);
        let found = expected([(1.0, 0.0, Some(2)), (10.0, 0.5, None)]);
        assert!((found[1] - 20.0).abs() < 1e-4 && (found[0] - 3.0 - found[1]).abs() < 1e-9, "{found:?}");
    }
}
