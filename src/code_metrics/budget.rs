//! How much work an analysis may be, and how long it may take.

use super::metrics::Basis;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Remaining work and time of an analysis. The work is the parser's steps and the nodes of its trees, which are the
/// same on every machine and under any load; the clock is the last resort.
#[derive(Debug)]
pub(super) struct Budget {
    steps: Cell<u64>,
    nodes: Cell<u64>,
    parsing_until: Option<Instant>,
    walking_until: Option<Instant>,
}

/// Share of the time for parsing.
const PARSING: f64 = 0.6;

/// Share of the time by which the walk must have ended: to let go of a tree takes time too.
const WALKING: f64 = 0.85;

/// Reports of the parser's progress (one in a hundred operations) in a second, measured on code without errors
/// in ten languages: 14 microseconds each on a 3 GHz machine.
const STEPS_A_SECOND: f64 = 70_000.0;

/// Nodes that are walked in a second, measured likewise.
const NODES_A_SECOND: f64 = 8e6;

/// So many times longer than the work would take alone, the clock ends an analysis.
const LAST_RESORT: f64 = 20.0;

/// After an error a step costs about one more for every so many bytes before it: the parser then compares and
/// mends all that it has built.
const BYTES_A_STEP: u64 = 16 << 10;

impl Budget {
    /// A budget that begins now; one too long for the clock has no end.
    pub(super) fn of(time: Duration) -> Self {
        let (now, seconds) = (Instant::now(), time.as_secs_f64());
        let until =
            |share: f64| now.checked_add(Duration::try_from_secs_f64(seconds * LAST_RESORT * share).ok()?);
        Self {
            steps: Cell::new((seconds * PARSING * STEPS_A_SECOND) as u64),
            nodes: Cell::new((seconds * (WALKING - PARSING) * NODES_A_SECOND) as u64),
            parsing_until: until(PARSING),
            walking_until: until(WALKING),
        }
    }

    /// Takes one step of the parser at a place in the text.
    pub(super) fn step(&self, at: usize, after_error: bool) -> Result<(), Basis> {
        let cost = if after_error { 1 + at as u64 / BYTES_A_STEP } else { 1 };
        Self::in_time(self.parsing_until)?;
        Self::take(&self.steps, cost)
    }

    /// Takes so many nodes.
    pub(super) fn walk(&self, nodes: u64) -> Result<(), Basis> {
        Self::in_time(self.walking_until)?;
        Self::take(&self.nodes, nodes)
    }

    /// So many steps, however long they take.
    #[cfg(test)]
    pub(super) fn of_steps(steps: u64) -> Self {
        Self { steps: Cell::new(steps), ..Self::of(Duration::MAX) }
    }

    fn take(left: &Cell<u64>, cost: u64) -> Result<(), Basis> {
        let rest = left.get().checked_sub(cost).ok_or(Basis::TooLarge)?;
        left.set(rest);
        Ok(())
    }

    fn in_time(until: Option<Instant>) -> Result<(), Basis> {
        if until.is_some_and(|until| Instant::now() >= until) { Err(Basis::OutOfTime) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_a_budget_before_the_clock_does() {
        let budget = Budget::of(Duration::from_secs(50));
        let mut steps = 0_u64;
        while budget.step(0, false).is_ok() {
            steps += 1;
        }
        assert_eq!((steps, budget.step(0, false)), (2_100_000, Err(Basis::TooLarge)));
        assert_eq!(
            Budget::of(Duration::from_secs(1)).step(32 << 30, true),
            Err(Basis::TooLarge),
            "errors cost more"
        );
        assert_eq!(Budget::of(Duration::ZERO).step(0, false), Err(Basis::OutOfTime));
        assert_eq!(Budget::of(Duration::MAX).walk(1), Ok(()));
    }
}
