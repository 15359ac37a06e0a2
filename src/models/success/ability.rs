//! Where many agents try the same tasks: how able each agent is with its LLM, and how hard a task
//! that nobody has tried looks by its text (item response; Rasch 1960).
//!
//! A new task's difficulty is guessed from the difficulties of similar ones, which are known from
//! who solved them; so an able agent's failure tells more than a weak one's, which no success rate
//! of a kind of task can say.

use super::columns::{Scaler, value_at};
use super::likeness::{GROUPS, Likeness, OwnScaler, SHAPE, places_of};
use super::rate_baseline::RateBaseline;
use crate::dataset::Example;
use crate::error::{Error, Result};
use crate::execution;
use crate::features::{FeatureId, FeatureRow};
use crate::ml::{
    GaussianProcess, GpPrediction, ItemResponse, Linear, LinearLoss, LinearParams, LinearRow, LinearTarget,
    MOST_OBSERVATIONS, TextsObserved, Tfidf,
};
use crate::models::column_encoder::ColumnEncoder;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How able agents are, and how hard texts look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ability {
    pub(super) mean: f64,
    /// By agent and LLM.
    pub(super) solvers: BTreeMap<Solver, f64>,
    /// By agent, the mean over its LLMs.
    pub(super) agents: BTreeMap<u32, f64>,
    pub(super) tfidf: Tfidf,
    pub(super) likeness: Likeness,
    pub(super) difficulty: GaussianProcess,
    /// The intercept and the coefficients of ability and difficulty.
    pub(super) link: [f64; 3],
}

/// Agent and LLM, by the codes of their features.
type Solver = (u32, u32);

/// A margin taken apart, in log-odds.
pub(super) struct AbilityTerms {
    /// The average agent at the average task.
    pub(super) base: f64,
    /// Of the agent with its LLM.
    pub(super) solver: f64,
    /// Of the description and the project.
    pub(super) text: f64,
    /// One a column of the host's own.
    pub(super) own: Vec<f64>,
}

/// An ability model as it is written; the first two are numbered as an `Option` was, of texts alone, before.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum StoredAbility {
    None,
    #[serde(skip_serializing)]
    OfTexts(Box<OfTexts>),
    Fitted(Box<Ability>),
    /// A rate of the history answers alone.
    Rate(RateBaseline),
}

/// How able agents are, and how hard texts look, by their words alone.
#[derive(Debug, Deserialize)]
pub(super) struct OfTexts {
    mean: f64,
    solvers: BTreeMap<Solver, f64>,
    agents: BTreeMap<u32, f64>,
    tfidf: Tfidf,
    difficulty: TextsObserved,
    link: [f64; 3],
}

impl StoredAbility {
    pub(super) fn of(ability: Option<&Ability>, rate: Option<RateBaseline>) -> Self {
        if let Some(rate) = rate {
            return Self::Rate(rate);
        }
        ability.map_or(Self::None, |ability| Self::Fitted(Box::new(ability.clone())))
    }

    /// The rate that answers alone, if one does.
    pub(super) fn rate(&self) -> Option<RateBaseline> {
        match self {
            Self::Rate(rate) => Some(*rate),
            Self::None | Self::OfTexts(_) | Self::Fitted(_) => None,
        }
    }

    /// Checks everything that a prediction relies on.
    pub(super) fn open(self) -> Result<Option<Ability>> {
        let mut ability = match self {
            Self::None | Self::Rate(_) => return Ok(None),
            Self::OfTexts(old) => old.opened()?,
            Self::Fitted(ability) => *ability,
        };
        if ability.prepare()? {
            return Ok(Some(ability));
        }
        Err(Error::corrupt("success model: its abilities are out of range"))
    }
}

impl OfTexts {
    fn opened(self) -> Result<Ability> {
        let Self { mean, solvers, agents, tfidf, difficulty, link } = self;
        let (likeness, difficulty) = (Likeness::default(), difficulty.try_into()?);
        Ok(Ability { mean, solvers, agents, tfidf, likeness, difficulty, link })
    }
}

/// A task says how hard it is when it was tried this often, by two at least.
const FEWEST_TRIES: usize = 3;

/// Fewer such tasks say nothing of new ones.
const FEWEST_TASKS: usize = 20;

/// The factor by which an agent's mean over its LLMs is shrunk toward the average for an LLM that it is
/// new with, then the variances, in log-odds, of that estimate and of an unknown agent's ability.
pub(super) const WITH_NEW_MODEL: f64 = 0.7;
pub(super) const UNSURE_WITH_NEW_MODEL: f64 = 0.3;
pub(super) const UNSURE_OF_NEW_AGENT: f64 = 0.8;

/// Factor of the variance in `MacKay`'s (1992) approximation: the expected logistic of a normal variable
/// is close to the logistic of its mean divided by the square root of 1 + this times the variance.
const PROBIT: f64 = std::f64::consts::PI / 8.0;

impl Ability {
    /// Fits where enough tasks were tried by several; else `None`.
    pub(super) fn fit(examples: &[&Example], encoder: &ColumnEncoder) -> Result<Option<Self>> {
        let tried = tried_tasks(examples);
        if tried.len() < FEWEST_TASKS {
            return Ok(None);
        }
        let attempts: Vec<_> =
            examples.iter().map(|e| (number(solver_of(&e.features)), e.task, e.label)).collect();
        let response = ItemResponse::fit(&attempts);
        execution::check()?;
        let tfidf = Tfidf::fit(examples.iter().map(|e| &e.features.text), 2);
        let firsts: Vec<_> = tried.iter().map(|(_, tries)| tries[0].features.as_ref()).collect();
        let value = |row: usize, place: usize| value_at(&firsts[row].values, place);
        let likeness = Likeness {
            shape: Scaler::fit(places_of(SHAPE), firsts.len(), value, 1.0),
            groups: places_of(GROUPS),
            own: OwnScaler::fit(encoder, &firsts),
        };
        let rows = firsts.iter().map(|row| likeness.of(&tfidf, row)).collect();
        let known: Vec<_> = tried.iter().map(|(task, _)| response.difficulties[task]).collect();
        let values: Vec<_> = known.iter().map(|d| d.value).collect();
        let variances: Vec<_> = known.iter().map(|d| d.variance.max(1e-6)).collect();
        let difficulty = GaussianProcess::fit(rows, &values, &variances)?;
        let solvers: BTreeMap<Solver, f64> = examples
            .iter()
            .map(|e| solver_of(&e.features))
            .map(|solver| (solver, response.abilities[&number(solver)]))
            .collect();
        let (mean, agents) = (response.mean, by_agent(&solvers));
        let unlinked = Self { mean, agents, solvers, tfidf, likeness, difficulty, link: [0.0, 1.0, 1.0] };
        Ok(Some(Self { link: unlinked.fit_link(&tried)?, ..unlinked }))
    }

    /// The log-odds of `row`.
    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        let AbilityTerms { base, solver, text, own } = self.terms(row);
        base + solver + text + own.iter().sum::<f64>()
    }

    /// The same, taken apart.
    pub(super) fn terms(&self, row: &FeatureRow) -> AbilityTerms {
        let like = self.likeness.of(&self.tfidf, row);
        let guess = self.difficulty.guess(&like);
        let (able, unsure) = self.able(solver_of(row));
        let shrink = shrink(guess.variance + unsure);
        let [base, of_able, of_hard] = self.link;
        let middle = self.difficulty.mean();
        let own = self.likeness.own.by_column(&self.difficulty.of_columns(&like));
        let own: Vec<_> = own.into_iter().map(|harder| -shrink * of_hard * harder).collect();
        AbilityTerms {
            base: base + shrink * of_able * (self.mean - middle),
            solver: shrink * of_able * able,
            text: shrink * of_hard * (middle - guess.mean) - own.iter().sum::<f64>(),
            own,
        }
    }

    /// Makes ready after it was read back; whether it can be used.
    fn prepare(&mut self) -> Result<bool> {
        self.tfidf.prepare()?;
        let numbers = self.solvers.values().chain(self.agents.values()).chain(&self.link);
        let fits = self.likeness.is_sound() && self.difficulty.takes(self.likeness.lengths());
        Ok(fits && numbers.chain([&self.mean]).all(|v| v.abs() <= 1e6))
    }

    /// How able, over the average, and how unsure that is.
    fn able(&self, solver: Solver) -> (f64, f64) {
        if let Some(able) = self.solvers.get(&solver) {
            return (*able, 0.0);
        }
        let agent = self.agents.get(&solver.0);
        agent.map_or((0.0, UNSURE_OF_NEW_AGENT), |able| (WITH_NEW_MODEL * able, UNSURE_WITH_NEW_MODEL))
    }

    /// Learns from tasks guessed as if they had not been tried how far to trust ability and
    /// difficulty; all tries of a task weigh as one.
    fn fit_link(&self, tried: &[(u64, Vec<&Example>)]) -> Result<[f64; 3]> {
        let middle = self.difficulty.mean();
        let (mut dense, mut labels, mut weights, mut offsets) = (vec![], vec![], vec![], vec![]);
        for (tries, GpPrediction { mean, variance }) in
            tried.iter().map(|(_, tries)| tries).zip(self.difficulty.left_out())
        {
            for example in tries {
                let shrink = shrink(variance);
                let able = shrink * (self.mean - middle + self.able(solver_of(&example.features)).0);
                let easy = shrink * (middle - mean);
                dense.push([able as f32, easy as f32]);
                offsets.push(able + easy);
                labels.push(example.label);
                weights.push(1.0 / tries.len() as f64);
            }
        }
        let rows: Vec<_> = dense.iter().map(|dense| LinearRow { dense, indices: &[], values: &[] }).collect();
        let target = LinearTarget {
            labels: &labels,
            weights: &weights,
            offsets: &offsets,
            loss: LinearLoss::Logistic,
        };
        let params = LinearParams { dense_l2: 1.0, sparse_l2: 1.0, max_steps: 50 };
        let fitted = Linear::fit(&params, &rows, target, 0)?;
        let [of_able, of_hard] = [0, 1].map(|i| 1.0 + fitted.dense_weights()[i]);
        Ok([fitted.intercept(), of_able, of_hard])
    }
}

/// Tasks tried often enough with their tries, those tried most first, of those the newest; of too many the first.
fn tried_tasks<'a>(examples: &[&'a Example]) -> Vec<(u64, Vec<&'a Example>)> {
    let mut tasks = BTreeMap::<u64, Vec<&Example>>::new();
    examples.iter().for_each(|e| tasks.entry(e.task).or_default().push(e));
    let by_several = |tries: &[&Example]| {
        tries.len() >= FEWEST_TRIES
            && tries.iter().map(|e| solver_of(&e.features)).collect::<BTreeSet<_>>().len() > 1
    };
    let mut tried: Vec<_> = tasks.into_iter().filter(|(_, tries)| by_several(tries)).collect();
    let newest = |tries: &[&Example]| tries.iter().map(|e| e.started_at).max();
    // The task's number is a hash: what is left of ties is broken at random, the same everywhere.
    tried.sort_by_cached_key(|(task, tries)| (Reverse(tries.len()), Reverse(newest(tries)), *task));
    tried.truncate(MOST_OBSERVATIONS);
    tried
}

fn by_agent(solvers: &BTreeMap<Solver, f64>) -> BTreeMap<u32, f64> {
    let mut sums = BTreeMap::<u32, (f64, f64)>::new();
    for ((agent, _), able) in solvers {
        let sum = sums.entry(*agent).or_default();
        *sum = (sum.0 + able, sum.1 + 1.0);
    }
    sums.into_iter().map(|(agent, (sum, n))| (agent, sum / n)).collect()
}

/// The features of agent and LLM.
pub(super) fn solver_places() -> &'static [usize; 2] {
    &[FeatureId::AgentTypeEncoded as usize, FeatureId::ModelUsedEncoded as usize]
}

fn solver_of(row: &FeatureRow) -> Solver {
    let code = |place: usize| match value_at(&row.values, place) {
        missing if missing.is_nan() => u32::MAX,
        code => code as u32,
    };
    let [agent, model] = solver_places();
    (code(*agent), code(*model))
}

fn number((agent, model): Solver) -> u64 {
    u64::from(agent) << 32 | u64::from(model)
}

fn shrink(variance: f64) -> f64 {
    1.0 / (1.0 + PROBIT * variance).sqrt()
}
