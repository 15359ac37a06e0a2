//! The policy that was learnt.

use super::episode::{Episode, MOST_STEPS};
use super::learn::StepOptions;
use super::reward::EpisodeReward;
use super::rule::StepRule;
use super::situation::Situation;
use super::step::{NextStep, StepPolicy};
use super::worth::{Columns, Worth};
use crate::error::{Error, Result};
use crate::fnv;
use crate::learn::Trees;
use crate::registry::envelope;
use serde::{Deserialize, Serialize};

/// Takes the step that is worth most by what was learnt, and for a small share any other that was tried
/// often enough. Where fewer than two steps were tried often enough after as many failed tries, it
/// abstains: the rule that it was learnt beside decides.
#[derive(Debug, Clone)]
pub struct LearntSteps {
    worth: Worth,
    rest: Rest,
    name: String,
}

/// All but the trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rest {
    rule: StepRule,
    explore: f64,
    min_steps: u32,
    /// How often each step was taken, by the number of failed tries from 1.
    taken: Vec<[u32; 4]>,
    episodes: usize,
}

/// A policy as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    trees: Vec<u8>,
    columns: Columns,
    reward: EpisodeReward,
    rest: Rest,
}

/// What its bytes are called.
const KIND: &str = "learnt-steps-1";
/// Larger bytes are no learnt steps.
const MAX_BYTES: usize = 1 << 28;

impl LearntSteps {
    /// Learns what each step is worth if the best of those that were tried often enough follow, or the
    /// rule where it abstains.
    pub(super) fn fit(episodes: &[&Episode], rule: &StepRule, options: &StepOptions) -> Result<Self> {
        let rest = Rest {
            rule: rule.clone(),
            explore: options.explore,
            min_steps: options.min_steps,
            taken: taken(episodes),
            episodes: episodes.len(),
        };
        let worth = Worth::fit(episodes, &options.reward, &options.forest, |situation, worth| {
            let Some(known) = rest.known(situation) else {
                return rule.odds(situation).iter().zip(worth).map(|(p, q)| p * q).sum();
            };
            let values = known.iter().zip(worth).filter(|(known, _)| **known).map(|(_, q)| *q);
            values.fold(f64::NEG_INFINITY, f64::max)
        })?;
        let name = name(&worth.trees.to_bytes()?, &rest)?;
        Ok(Self { worth, rest, name })
    }

    /// What each step is worth in US dollars, in the order of [`NextStep::ALL`]; `None` where it
    /// abstains, and for steps that were tried too seldom.
    pub fn worth(&self, situation: &Situation) -> [Option<f64>; 4] {
        let Some(known) = self.rest.known(situation) else { return [None; 4] };
        let values = self.worth.of(situation);
        let worth = NextStep::ALL.map(|step| known[step.place()].then_some(values[step.place()]));
        // What is no number cannot be compared.
        if worth.iter().flatten().all(|worth| worth.is_finite()) { worth } else { [None; 4] }
    }

    /// The best of these; `None` where none is known.
    fn best(worth: &[Option<f64>; 4]) -> Option<(NextStep, f64)> {
        let known = NextStep::ALL.into_iter().filter_map(|step| Some((step, worth[step.place()]?)));
        known.reduce(|best, other| if other.1 > best.1 { other } else { best })
    }

    /// The policy as bytes, the same for the same policy.
    ///
    /// # Errors
    /// `Internal` when it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = Stored {
            trees: self.worth.trees.to_bytes()?,
            columns: self.worth.columns.clone(),
            reward: self.worth.reward.clone(),
            rest: self.rest.clone(),
        };
        let payload = postcard::to_stdvec(&stored)
            .map_err(|e| Error::internal("the learnt steps cannot be written").with_source(e))?;
        envelope::seal(KIND, &payload)
    }

    /// Reads a policy back from verified bytes.
    ///
    /// # Errors
    /// `Corrupt` when they hold none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let payload = envelope::open(bytes, KIND, MAX_BYTES)?;
        let (stored, left): (Stored, _) = postcard::take_from_bytes(payload)
            .map_err(|e| Error::corrupt("the learnt steps cannot be read").with_source(e))?;
        let Stored { trees, columns, reward, rest } = stored;
        let name = name(&trees, &rest)?;
        let trees = Trees::from_bytes(&trees)?;
        let fits = left.is_empty()
            && trees.width() == columns.width()
            && (0.0..=0.5).contains(&rest.explore)
            && rest.min_steps > 0
            && rest.taken.len() <= MOST_STEPS;
        if !fits {
            return Err(Error::corrupt("the learnt steps do not fit together"));
        }
        reward.verify().map_err(|e| Error::corrupt("the learnt steps' reward").with_source(e))?;
        Ok(Self { worth: Worth { trees, columns, reward }, rest, name })
    }
}

impl Rest {
    /// Which steps were taken often enough after as many failed tries; `None` where fewer than two were.
    fn known(&self, situation: &Situation) -> Option<[bool; 4]> {
        let taken = self.taken.get((situation.tries as usize).wrapping_sub(1))?;
        let known = taken.map(|count| count >= self.min_steps);
        (known.iter().filter(|known| **known).count() >= 2).then_some(known)
    }
}

/// How often each step was taken, by the number of failed tries from 1.
fn taken(episodes: &[&Episode]) -> Vec<[u32; 4]> {
    let mut taken = vec![[0; 4]; MOST_STEPS];
    for step in episodes.iter().flat_map(|episode| &episode.steps) {
        if let Some(counts) = taken.get_mut((step.situation.tries as usize).wrapping_sub(1)) {
            counts[step.step.place()] += 1;
        }
    }
    let used = taken.iter().rposition(|counts| *counts != [0; 4]).map_or(0, |last| last + 1);
    taken.truncate(used);
    taken
}

/// Two policies have one name only if they are the same.
fn name(trees: &[u8], rest: &Rest) -> Result<String> {
    let rest = postcard::to_stdvec(rest)
        .map_err(|e| Error::internal("the learnt steps cannot be written").with_source(e))?;
    let hash = trees.iter().chain(&rest).copied().fold(fnv::SEED, fnv::step);
    Ok(format!("learnt steps {hash:016x}"))
}

impl StepPolicy for LearntSteps {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn odds(&self, situation: &Situation) -> [f64; 4] {
        let worth = self.worth(situation);
        let Some((best, _)) = Self::best(&worth) else { return self.rest.rule.odds(situation) };
        let known = worth.map(|worth| worth.is_some());
        let others = known.iter().filter(|known| **known).count() as f64 - 1.0;
        let each = self.rest.explore / (others + 1.0);
        let mut odds = known.map(|known| if known { each } else { 0.0 });
        odds[best.place()] = 1.0 - others * each;
        odds
    }

    fn reason(&self, situation: &Situation, step: NextStep) -> String {
        let tries =
            if situation.tries == 1 { "1 failed try" } else { &format!("{} failed tries", situation.tries) };
        let worth = self.worth(situation);
        let Some((best, value)) = Self::best(&worth) else {
            let why = self.rest.rule.reason(situation, step);
            return format!("{why}; too little was tried after {tries} to have learnt from it");
        };
        if step != best {
            return format!("{step} after {tries}, to keep learning; {best} seems worth {value:.2} $");
        }
        let others = NextStep::ALL.into_iter().filter(|other| *other != best);
        let next = others.filter_map(|other| Some((other, worth[other.place()]?)));
        let next = next.max_by(|a, b| a.1.total_cmp(&b.1));
        let against = next.map_or(String::new(), |(other, less)| format!(", {other} {less:.2} $"));
        let episodes = self.rest.episodes;
        format!("{step} after {tries}: worth {value:.2} ${against} (learnt from {episodes} tasks)")
    }
}
