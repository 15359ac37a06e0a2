//! The router: from a task and its candidates to a stored decision, and from outcomes back to the policy.

use super::budget::{Held, Moment, POSSIBLE, Reservation};
use super::candidates::Candidate;
use super::choice::{Choice, money, sentence};
use super::cost_model::Outlier;
use super::features::{TextFeatures, features};
use super::guard::{self, Guard};
use super::leaderboard::LeaderboardEntry;
use super::objective::Objective;
use super::options::RouterOptions;
use super::policies::{Arm, Policy, Posterior, all_on, draw};
use super::request::Request;
use super::state::{CostState, State};
use super::{telemetry, until_success};
use crate::dataset::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Completion, Decision, GenerationEvent, TaskContext};
use crate::models::Estimate;
use crate::serving::{CandidatePrediction, PredictionService};
use crate::stats::{fnv, logit, sigmoid};
use crate::zones::Zone;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Chooses among candidates and learns from the outcomes.
///
/// ```
/// use chrono::Utc;
/// use devmatrix_ml::routing::{Candidate, Request, Router, RouterOptions, Thompson};
/// use devmatrix_ml::event::{TaskContext, TaskId};
/// let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default())?;
/// let candidates = ["claude-sonnet-4.5", "gpt-4.1-mini"].map(Candidate::by_llm);
/// let task = TaskContext::new(TaskId::new("TASK-7")?);
/// let choice = router.choose(&Request::new(&task, &candidates, Utc::now()))?;
/// assert!((choice.decision.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
/// assert_eq!(choice.task.model_used.as_deref(), Some(choice.decision.chosen.as_str()));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug)]
pub struct Router {
    pub(super) policy: Box<dyn Policy>,
    pub(super) options: RouterOptions,
    pub(super) state: State,
    pub(super) costs: CostState,
    pub(super) zone: Zone,
    /// Choices that have not started; no part of the state, which follows from the store.
    pub(super) held: Held,
    pub(super) guard: Guard,
}

/// The ranking of the permitted arms.
struct Ranking {
    /// The greedy choice, or the default where the router abstains.
    best: usize,
    posteriors: Vec<Posterior>,
    abstained: Option<String>,
}

/// The candidates that may be chosen.
struct Permitted {
    at: Vec<usize>,
    /// Why it is the default alone, where the budget is used up.
    fallback: Option<String>,
}

impl Router {
    /// Creates a router that chooses by `policy`.
    ///
    /// # Errors
    /// `InvalidInput` naming the option that is out of range.
    pub fn new(policy: Box<dyn Policy>, options: RouterOptions) -> Result<Self> {
        options.validate()?;
        let (zone, held) = (Zone::of(options.zone), Held::default());
        let (state, costs, guard) = (State::default(), CostState::default(), Guard::default());
        Ok(Self { policy, options, state, costs, zone, held, guard })
    }

    /// Returns its options.
    pub(crate) fn options(&self) -> &RouterOptions {
        &self.options
    }

    /// Returns the policy in its current state.
    pub fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    /// Chooses one of the candidates.
    ///
    /// # Errors
    /// `InvalidInput` for a task or candidate out of range, no candidate, two of one name, or
    /// predictions that are not one a candidate; `Unavailable` when the day's budget is used up, the request names no default
    /// to fall back on (or that is beyond the hard limit), and no candidate is free.
    pub fn choose(&mut self, request: &Request<'_>) -> Result<Choice> {
        request.candidates.iter().try_for_each(Candidate::validate)?;
        for candidate in request.candidates {
            if let (Some(llm), Some(family)) = (&candidate.plan.llm, &candidate.family) {
                self.state.note_family(llm, family);
            }
            if let (Some(llm), Some(price)) = (&candidate.plan.llm, candidate.usd_per_1k_tokens) {
                self.costs.usd_per_1k_tokens.insert(llm.clone(), price);
            }
        }
        let choice = self.propose(request, None)?;
        self.record_decision(&choice.decision, &choice.task, request.now);
        Ok(choice)
    }

    /// Chooses one of the candidates without changing the state: [`record_decision`](Self::record_decision) does so once
    /// the choice is recorded, so that the state is a function of the store. `draw` salts the seed of choices that are
    /// proposed from one state.
    ///
    /// # Errors
    /// Those of [`Router::choose`].
    pub(crate) fn propose(&self, request: &Request<'_>, draw: Option<u64>) -> Result<Choice> {
        telemetry::decided(|| self.choose_among(request, draw))
    }

    fn choose_among(&self, request: &Request<'_>, salt: Option<u64>) -> Result<Choice> {
        request.validate()?;
        let mut arms = self.arms(request);
        let moment = self.moment(request.now);
        let Permitted { mut at, fallback } = self.permitted(request, &arms, &moment)?;
        if let Some(choice) = self.repeated(request, &arms, &at)? {
            return Ok(choice);
        }
        let mut budget = self.state.budget.paced();
        budget.pace(self.limit(), self.committed(&moment), &moment);
        self.keep_worthwhile(&mut at, &arms, &moment);
        let permitted = at;
        let seed = mixed(self.options.seed, self.state.decisions + 1);
        let seed = salt.map_or(seed, |salt| mixed(seed, salt));
        if self.guard.recalls() {
            self.remember(request.task, &mut arms);
        }
        let allowed: Vec<Arm> = permitted.iter().map(|at| budget.priced(&arms[*at])).collect();
        let mut ranking = self.rank(request, &allowed, seed);
        ranking.abstained = fallback.or(ranking.abstained);
        until_success::set(&mut arms, &permitted, &ranking.posteriors);
        let propensities = self.propensities(request, &allowed, &permitted, &ranking, seed);
        let drawn = draw(&propensities, unit(mixed(seed, 1)))?;
        let mut all_propensities = vec![0.0; arms.len()];
        permitted.iter().zip(&propensities).for_each(|(at, p)| all_propensities[*at] = *p);
        let names = request.candidates.iter().map(|candidate| candidate.name.clone()).collect();
        let mut decision = Decision::drawn(self.policy.name(), names, all_propensities, permitted[drawn])?;
        decision.inputs = Some(self.fingerprint(&arms, seed)?);
        decision.versions = request.predictions.and_then(<[_]>::first).map(versions).unwrap_or_default();
        let plain: Vec<&Arm> = permitted.iter().map(|at| &arms[*at]).collect();
        decision.reason = Some(sentence(
            request,
            &plain,
            &ranking.posteriors,
            drawn,
            ranking.best,
            ranking.abstained.as_deref(),
        ));
        let candidate = &request.candidates[permitted[drawn]];
        decision.family.clone_from(&candidate.family);
        decision.usd_per_1k_tokens = candidate.usd_per_1k_tokens;
        decision.terms = Some(self.terms(request, permitted[drawn]));
        self.note_cost(&mut decision, &arms[permitted[drawn]]);
        decision.unit = self.session(request).map(str::to_owned);
        Ok(Choice::new(request, permitted[drawn], decision, arms, ranking.abstained))
    }

    /// Chooses with the predictions of the models in production for each candidate, made in one call.
    ///
    /// # Errors
    /// Those of [`Router::choose`].
    pub fn choose_predicted(&mut self, service: &PredictionService, request: &Request<'_>) -> Result<Choice> {
        request.validate()?;
        let variants: Vec<_> = request.candidates.iter().map(|c| c.plan.apply(request.task)).collect();
        let text = service.read(request.task);
        let predictions = service.predict_candidates(&variants, &text)?;
        let request = request.with_predictions(&predictions);
        // Outcomes are learned with the router's lexicon.
        let shared = service.lexicon() == &self.options.lexicon;
        self.choose(&if shared { request.with_text(&text.facts) } else { request })
    }

    /// Updates cost model and budget when a generation has ended; numbers out of range are left out. A cost that is not given
    /// follows from the tokens and the LLM's price; without these the budget counts the expected cost, and the first such
    /// generation is said in the log.
    pub fn completed(&mut self, task: &TaskContext, done: &Completion, now: DateTime<Utc>) {
        let (cost, moment) = (self.cost_of(task, done, now), self.moment(now));
        if cost.is_none() {
            self.costs.unpriced += 1;
            if self.costs.unpriced == 1 {
                let llm = task.model_used.as_deref().unwrap_or_default();
                tracing::warn!(
                    llm,
                    "a generation ended without cost_usd, and without tokens that have a price: the budget counts its expected cost"
                );
            }
        }
        let expected = self.state.cost_model.expected(task, self.price_of(task, None, now)).usd;
        self.state.budget.settle(Reservation::key_of_start(task), cost, expected, &moment);
        self.state.cost_model.learn(task, done, cost);
        self.costs.caches.note(task, done, now);
    }

    /// Returns the cost or the seconds of a generation that ended at `now`, where they are far from what its LLM usually takes.
    pub(crate) fn outlier(
        &self,
        task: &TaskContext,
        done: &Completion,
        now: DateTime<Utc>,
    ) -> Option<Outlier> {
        self.state.cost_model.outlier(task, done, self.cost_of(task, done, now))
    }

    /// Returns the cost of a generation: as given, else by its tokens.
    fn cost_of(&self, task: &TaskContext, done: &Completion, now: DateTime<Utc>) -> Option<f64> {
        let llm = task.model_used.as_deref();
        let by_table = || self.options.prices.cost_usd(llm?, done, done.completed_at.unwrap_or(now));
        // As it was chosen: what costs nothing is not billed by the table, which tells apart what tokens were read from.
        let by_own = || (self.costs.usd_per_1k_tokens.get(llm?) == Some(&0.0)).then_some(0.0);
        let by_candidate = || Some(self.costs.usd_per_1k_tokens.get(llm?)? / 1000.0 * done.tokens()? as f64);
        done.cost_usd
            .filter(|usd| POSSIBLE.contains(usd))
            .or_else(by_own)
            .or_else(by_table)
            .or_else(by_candidate)
    }

    /// Returns US dollars for a thousand tokens of any kind: as the candidate has it, else by the table.
    fn price_of(&self, task: &TaskContext, own: Option<f64>, now: DateTime<Utc>) -> Option<f64> {
        let llm = task.model_used.as_deref();
        let by_table = || Some(self.options.prices.on(llm?, now)?.blended() / 1000.0);
        own.or_else(|| self.costs.usd_per_1k_tokens.get(llm?).copied()).or_else(by_table)
    }

    /// Updates the policy and the leaderboard with a labelled generation, and returns whether it had a label. Give each
    /// once, in the order in which the labels became known.
    pub fn feedback(&mut self, event: &GenerationEvent) -> bool {
        self.learn_label(event, false)
    }

    /// Learns a label; one that is `corrected` was another before.
    pub(crate) fn learn_label(&mut self, event: &GenerationEvent, corrected: bool) -> bool {
        let Some(success) = event.outcome().and_then(|outcome| outcome.success) else { return false };
        let started = &event.started.value;
        let shown = started.predictions.iter().find(|shown| shown.target == Target::Success.name());
        let predicted = shown.filter(|shown| shown.model_version > 0);
        let model_version = predicted.map_or(0, |shown| shown.model_version);
        let predicted = predicted.map(|shown| Posterior::new(shown.value, (shown.lower, shown.upper)));
        let mut arm = Arm { predicted, model_version, ..self.arm(&started.context) };
        let margin = self.margins(std::slice::from_ref(&arm))[0].1;
        self.remember(&started.context, std::slice::from_mut(&mut arm));
        let task = task_key(&started.context);
        let is_news = corrected || self.options.by_task || self.guard.memory.is_news(task, arm.key);
        if is_news {
            self.policy.learn(&arm, success);
        }
        let surprise = f64::from(u8::from(success)) - sigmoid(margin + arm.shift);
        let at_any_task = sigmoid(margin) + surprise;
        self.guard.learn(arm.key, &started.context, is_news.then_some(at_any_task));
        if corrected {
            self.guard.memory.correct(task, arm.key, success);
        } else if !self.options.by_task {
            self.guard.memory.learn(task, arm.key, margin, success);
        }
        self.state.records.learn(&started.context, success);
        true
    }

    /// Records a decision that was made at `at`, from which `task` came: its family, its session, what it reserves and the price
    /// of a dollar.
    pub(crate) fn record_decision(&mut self, decision: &Decision, task: &TaskContext, at: DateTime<Utc>) {
        let (llm, moment) = (task.model_used.as_deref(), self.moment(at));
        if let (Some(llm), Some(family)) = (llm, &decision.family) {
            self.state.note_family(llm, family);
        }
        if let (Some(llm), Some(price)) = (llm, decision.usd_per_1k_tokens) {
            self.costs.usd_per_1k_tokens.insert(llm.to_owned(), price);
        }
        if let Some(reservation) = Reservation::of(decision, Reservation::key_of_start(task), &moment) {
            self.state.budget.reserve(reservation, &moment);
        }
        if !decision.repeated {
            self.state.decisions += 1;
            let committed = self.state.budget.committed(&moment);
            self.state.budget.pace(self.limit(), committed, &moment);
            if self.options.sticky_sessions {
                self.state.sessions.keep(decision);
            }
        }
    }

    /// Returns the LLM leaderboard by type of task, the highest win probability first. It rests on plain counts: an LLM that
    /// gets the hard tasks looks worse than it is.
    pub fn leaderboard(&self) -> Vec<LeaderboardEntry> {
        self.state.records.leaderboard()
    }
}

impl Router {
    fn arms(&self, request: &Request<'_>) -> Vec<Arm> {
        let text = match request.text {
            Some(facts) => TextFeatures::of(facts),
            None => self.read(request.task),
        };
        let arm = |(at, candidate): (usize, &Candidate)| {
            let task = candidate.plan.apply(request.task);
            let predicted = request.predictions.map(|all| &all[at]);
            let price = self.price_of(&task, candidate.usd_per_1k_tokens, request.now);
            let expected = self.state.cost_model.expected(&task, price);
            let switch_usd = match price {
                Some(0.0) => 0.0,
                _ => self.costs.caches.switch_usd(&task, &self.options.prices, request.now),
            };
            let cost = predicted.map(|p| p.cost.clone());
            // A model of amounts on the logarithmic scale knows none that is free.
            let model = cost.as_ref().filter(|cost| cost.model_version > 0 && expected.usd > 0.0);
            let by_model = model.map(Estimate::mean_of_amount);
            let usd = by_model.unwrap_or(expected.usd);
            let upper = model.map_or(expected.upper_usd, |cost| cost.interval_80.1.max(usd));
            let time = predicted.filter(|p| p.time.estimate.model_version > 0);
            Arm {
                name: candidate.name.clone(),
                predicted: predicted
                    .filter(|p| p.success.model_version > 0)
                    .map(|p| Posterior::new(p.success.success_probability, p.success.interval)),
                model_version: predicted.map_or(0, |p| p.success.model_version),
                cost_usd: usd + switch_usd,
                reserve_usd: upper + switch_usd,
                tries: until_success::tries(candidate),
                cost,
                tokens: predicted.map(|p| p.tokens.clone()),
                switch_usd,
                seconds: time.map_or(expected.seconds, |p| p.time.estimated_seconds),
                ..self.arm_in(&task, &text, candidate.family.as_deref().or_else(|| self.family_of(&task)))
            }
        };
        request.candidates.iter().enumerate().map(arm).collect()
    }

    fn read(&self, task: &TaskContext) -> TextFeatures {
        TextFeatures::read(&self.options.lexicon, &task.task_description)
    }

    /// Returns the policy's view of a task.
    pub(super) fn arm(&self, task: &TaskContext) -> Arm {
        self.arm_in(task, &self.read(task), self.family_of(task))
    }

    fn arm_in(&self, task: &TaskContext, text: &TextFeatures, family: Option<&str>) -> Arm {
        let columns = self.guard.columns(task);
        let features = features(task, text, family, self.options.by_task, &columns);
        Arm { features, key: guard::key(task), ..Arm::default() }
    }

    /// Returns key and predicted log-odds of each arm, without what earlier outcomes of the task add.
    fn margins(&self, arms: &[Arm]) -> Vec<(u64, f64)> {
        let margin = |posterior: &Posterior| logit(posterior.success.clamp(1e-6, 1.0 - 1e-6));
        let posteriors = self.policy.posteriors(arms);
        arms.iter().zip(&posteriors).map(|(arm, posterior)| (arm.key, margin(posterior))).collect()
    }

    /// Sets what earlier outcomes of this very task add.
    fn remember(&self, task: &TaskContext, arms: &mut [Arm]) {
        let key = task_key(task);
        if self.options.by_task || !self.guard.memory.knows(key) {
            return;
        }
        let shifts = self.guard.memory.shifts(key, &self.margins(arms));
        arms.iter_mut().zip(shifts).for_each(|(arm, shift)| arm.shift = shift);
    }

    fn family_of(&self, task: &TaskContext) -> Option<&str> {
        task.model_used.as_ref().and_then(|llm| self.state.families.get(llm)).map(String::as_str)
    }

    /// Returns the indices of the arms within the limits of time, cost and budget; where none is, the nearest. Candidates on
    /// trial are left out where exploration is not allowed, unless all are on trial.
    fn permitted(&self, request: &Request<'_>, arms: &[Arm], moment: &Moment) -> Result<Permitted> {
        let objective = &self.options.objective;
        let mut permitted: Vec<usize> = (0..arms.len()).collect();
        if (request.critical || self.options.safety.exploration_off)
            && request.candidates.iter().any(|candidate| !candidate.on_trial)
        {
            permitted.retain(|at| !request.candidates[*at].on_trial);
        }
        let afforded = self.afforded(request, arms, moment, permitted)?;
        if afforded.fallback.is_some() {
            return Ok(afforded);
        }
        let mut permitted = afforded.at;
        keep(&mut permitted, objective.max_seconds, |at| arms[at].seconds);
        keep(&mut permitted, objective.max_cost_usd, |at| arms[at].cost_usd);
        Ok(Permitted { at: permitted, fallback: None })
    }

    /// Returns those of the `permitted` arms that the budget can pay; where there are none, the default, else any that is free.
    fn afforded(
        &self,
        request: &Request<'_>,
        arms: &[Arm],
        moment: &Moment,
        mut permitted: Vec<usize>,
    ) -> Result<Permitted> {
        let Objective { usd_per_day, hard_usd_per_day, .. } = self.options.objective;
        let Some(limit) = self.limit() else { return Ok(Permitted { at: permitted, fallback: None }) };
        let (committed, is_idle) = (self.committed(moment), self.is_idle(moment));
        // What a try may cost must fit; where nothing is in flight, what it is expected to cost: else a candidate whose bound is
        // above the day's budget would never be tried, and its bound never become narrower.
        let fits = |arm: &Arm, limit: f64| {
            let usd = if is_idle { arm.cost_usd } else { arm.reserve_usd };
            arm.cost_usd == 0.0 || committed + usd <= limit
        };
        let first = limit.min(hard_usd_per_day.unwrap_or(limit));
        permitted.retain(|at| fits(&arms[*at], first));
        if !permitted.is_empty() {
            return Ok(Permitted { at: permitted, fallback: None });
        }
        let left = (first - committed).max(0.0);
        let default = request.default.and_then(|name| arms.iter().position(|arm| arm.name == name));
        let may = |at: &usize| hard_usd_per_day.is_none_or(|hard| fits(&arms[*at], hard));
        if let Some(at) = default.filter(may).filter(|_| usd_per_day.is_some()) {
            let why = format!("of the day's {} only {} are left: the default", money(first), money(left));
            return Ok(Permitted { at: vec![at], fallback: Some(why) });
        }
        // What is free is permitted still, be it on trial.
        let free: Vec<_> = (0..arms.len()).filter(|at| arms[*at].cost_usd == 0.0).collect();
        if !free.is_empty() {
            return Ok(Permitted { at: free, fallback: None });
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "of the day's ${first} only ${left:.4} are left: raise it, offer a candidate that costs nothing, or wait until \
                 midnight {}",
                self.options.zone
            ),
        ))
    }

    /// Leaves out arms that cannot be worth their cost, and those ahead of the day's pace: the price of a dollar moves no goal
    /// but utility, and where a success is worth much not that one.
    fn keep_worthwhile(&self, permitted: &mut Vec<usize>, arms: &[Arm], moment: &Moment) {
        let objective = &self.options.objective;
        let cost = |at: &usize| arms[*at].cost_usd;
        let Some(cheapest) = permitted.iter().copied().min_by(|a, b| cost(a).total_cmp(&cost(b))) else {
            return;
        };
        permitted.retain(|at| !objective.is_hopeless(&arms[*at], &arms[cheapest]));
        let Some(limit) = self.limit() else { return };
        let left = moment.pace_usd(limit) - self.committed(moment);
        permitted.retain(|at| *at == cheapest || arms[*at].reserve_usd <= left);
    }

    /// Returns the limit of the day for which spending is paced.
    fn limit(&self) -> Option<f64> {
        self.options.objective.usd_per_day.or(self.options.objective.hard_usd_per_day)
    }

    fn moment(&self, now: DateTime<Utc>) -> Moment {
        let lapse = TimeDelta::milliseconds((self.options.reserve_minutes * 60_000.0) as i64);
        Moment::of(now, &self.zone, lapse)
    }

    /// Returns US dollars spent, reserved for tries in flight and held for choices that have not started.
    fn committed(&self, moment: &Moment) -> f64 {
        self.state.budget.committed(moment) + self.held.usd(moment).unwrap_or(0.0)
    }

    fn is_idle(&self, moment: &Moment) -> bool {
        self.state.budget.is_idle(moment) && self.held.usd(moment).is_none()
    }

    /// Notes in a decision what its try is expected to cost and what is reserved for it, where there is a budget.
    fn note_cost(&self, decision: &mut Decision, arm: &Arm) {
        if self.limit().is_some() {
            (decision.expected_usd, decision.reserved_usd) = (Some(arm.cost_usd), Some(arm.reserve_usd));
        }
    }

    /// Holds what a decision reserves until it starts.
    pub(crate) fn hold(&mut self, decision: &Decision, at: DateTime<Utc>) {
        let moment = self.moment(at);
        if let Some(held) = Reservation::of(decision, Reservation::key_of_choice(decision), &moment) {
            self.held.hold(held, &moment);
        }
    }

    /// Gives back what is held for a decision: it has started, or never will.
    pub(crate) fn release(&mut self, decision: &Decision) {
        self.held.release(Reservation::key_of_choice(decision));
    }

    /// Holds what `task` may cost, where that is more than the decision reserved: another plan than was chosen is carried out.
    pub(crate) fn hold_more(&mut self, decision: &mut Decision, task: &TaskContext, now: DateTime<Utc>) {
        let expected = self.state.cost_model.expected(task, self.price_of(task, None, now));
        let (Some(usd), Some(reserved)) = (decision.expected_usd, decision.reserved_usd) else { return };
        self.release(decision);
        decision.expected_usd = Some(usd.max(expected.usd));
        decision.reserved_usd = Some(reserved.max(expected.upper_usd));
        self.hold(decision, now);
    }

    /// Returns the choice of the session's first task, where it is still permitted and still made on the same terms.
    fn repeated(&self, request: &Request<'_>, arms: &[Arm], permitted: &[usize]) -> Result<Option<Choice>> {
        let Some(decision) = self.session(request).and_then(|session| self.state.sessions.drawn(session))
        else {
            return Ok(None);
        };
        let mut decision = decision?;
        let at = request.candidates.iter().position(|candidate| candidate.name == decision.chosen);
        let Some(at) = at.filter(|at| permitted.contains(at)) else { return Ok(None) };
        // Earlier releases did not note the terms.
        let holds = decision.terms.as_ref().is_none_or(|terms| *terms == self.terms(request, at));
        if !holds || self.options.safety.exploration_off && decision.propensity < 1.0 {
            return Ok(None);
        }
        self.note_cost(&mut decision, &arms[at]);
        Ok(Some(Choice::new(request, at, decision, arms.to_vec(), None)))
    }

    /// Returns the fingerprint of what a draw that holds for a session depends on: the objective, the limits on exploration and
    /// the price of the one chosen. Where one changes, the session is drawn anew.
    fn terms(&self, request: &Request<'_>, at: usize) -> String {
        let candidate = &request.candidates[at];
        let llm = candidate.plan.llm.as_deref().or(request.task.model_used.as_deref());
        let listed = llm.and_then(|llm| self.options.prices.on(llm, request.now));
        let price = (candidate.usd_per_1k_tokens, listed.map(crate::event::Price::of_parts));
        let terms = format!("{:?} {:?} {price:?}", self.options.objective, self.options.safety);
        format!("{:016x}", fnv::hash(terms.as_bytes()))
    }

    /// Switches exploration off or on again: off, the greedy choice has probability 1, also within sessions that began before.
    ///
    /// ```
    /// # use devmatrix_ml::routing::{Router, RouterOptions, Thompson};
    /// let mut router = Router::new(Box::new(Thompson::default()), RouterOptions::default())?;
    /// router.set_exploration(false); // the kill switch
    /// # Ok::<(), devmatrix_ml::Error>(())
    /// ```
    pub fn set_exploration(&mut self, on: bool) {
        self.options.safety.exploration_off = !on;
    }

    /// Returns the sticky session, if any; critical tasks have none.
    fn session<'a>(&self, request: &'a Request<'_>) -> Option<&'a str> {
        let session = request.task.session_id.as_ref().filter(|_| self.options.sticky_sessions);
        session.filter(|_| !request.critical).map(crate::event::SessionId::as_str)
    }

    fn rank(&self, request: &Request<'_>, arms: &[Arm], seed: u64) -> Ranking {
        let objective = &self.options.objective;
        let posteriors = self.policy.posteriors(arms);
        let means: Vec<_> = posteriors.iter().map(|posterior| posterior.success).collect();
        let best = objective.best(arms, &means);
        let named = request.default.and_then(|name| arms.iter().position(|arm| arm.name == name));
        let cheapest = || {
            let costs = arms.iter().enumerate();
            costs.min_by(|a, b| a.1.cost_usd.total_cmp(&b.1.cost_usd)).map_or(best, |(at, _)| at)
        };
        let incumbent = self.guard.incumbent(arms, objective);
        let fallback = named.or(incumbent).unwrap_or_else(cheapest);
        if best == fallback {
            return Ranking { best, posteriors, abstained: None };
        }
        let probability =
            self.policy.beats(&[arms[best].clone(), arms[fallback].clone()], objective, mixed(seed, 2));
        if probability >= self.options.certainty {
            return Ranking { best, posteriors, abstained: None };
        }
        let which = match (named, incumbent) {
            (Some(_), _) => "the default",
            (None, Some(_)) => "the best constant so far",
            (None, None) => "the cheapest",
        };
        let abstained = format!(
            "inconclusive: {} is better than {which}, {}, with probability {:.0} %, at least {:.0} % is required",
            arms[best].name,
            arms[fallback].name,
            probability * 100.0,
            self.options.certainty * 100.0
        );
        Ranking { best: fallback, posteriors, abstained: Some(abstained) }
    }

    /// Returns the propensities of the permitted arms.
    fn propensities(
        &self,
        request: &Request<'_>,
        arms: &[Arm],
        permitted: &[usize],
        ranking: &Ranking,
        seed: u64,
    ) -> Vec<f64> {
        if request.critical || self.options.safety.exploration_off {
            return all_on(ranking.best, arms.len());
        }
        let mut propensities = self.policy.propensities(arms, &self.options.objective, seed);
        if ranking.abstained.is_some()
            && let Some(most) =
                (0..propensities.len()).max_by(|a, b| propensities[*a].total_cmp(&propensities[*b]))
        {
            // The default takes the place of the best.
            propensities.swap(most, ranking.best);
        }
        let cold = self.cold_start_arms(request, arms, permitted, ranking);
        let llms: BTreeSet<_> =
            cold.iter().map(|index| &request.candidates[permitted[*index]].plan.llm).collect();
        let share = 1.0 - (1.0 - self.options.cold_start_share).powi(llms.len() as i32);
        propensities.iter_mut().for_each(|p| *p *= 1.0 - share);
        cold.iter().for_each(|at| propensities[*at] += share / cold.len() as f64);
        let objective = &self.options.objective;
        self.guard.limit(&mut propensities, arms, &ranking.posteriors, ranking.best, objective, &cold);
        self.options.safety.bounded(propensities, ranking.best)
    }

    /// Returns the permitted arms whose LLM is in cold start while another's is not; arms without an LLM are not.
    fn cold_start_arms(
        &self,
        request: &Request<'_>,
        arms: &[Arm],
        permitted: &[usize],
        ranking: &Ranking,
    ) -> Vec<usize> {
        let enough = self.options.cold_start_outcomes.min((COLD_START_TOTAL / permitted.len() as u64).max(5));
        let is_new = |index: &usize| {
            let llm = request.candidates[permitted[*index]].plan.llm.as_deref();
            let llm = llm.or(request.task.model_used.as_deref());
            llm.is_some_and(|llm| self.state.records.outcomes(llm) < enough)
        };
        let all = 0..permitted.len();
        if all.clone().all(|index| is_new(&index)) {
            return Vec::new();
        }
        let (best, bounds) = (ranking.best, |at: usize| (&arms[at], &ranking.posteriors[at]));
        let is_hopeless = |index: &usize| {
            self.guard.outcomes(&arms[*index]) >= FEWEST_OF_HOPELESS
                && self.options.objective.is_below(bounds(*index), bounds(best))
        };
        // Twice as long as its share takes.
        let window = 2.0 * enough as f64 / self.options.cold_start_share;
        let is_fresh = |index: &usize| self.guard.is_fresh(&arms[*index], window);
        all.filter(|index| is_new(index) && is_fresh(index) && !is_hopeless(index)).collect()
    }

    /// Returns a hash of the inputs of the choice, without the state of the policy.
    fn fingerprint(&self, arms: &[Arm], seed: u64) -> Result<String> {
        let seen = postcard::to_stdvec(&(arms, &self.options, seed))
            .map_err(|e| Error::internal("a choice's inputs cannot be written").with_source(e))?;
        Ok(format!("{:016x}", fnv::hash(&seen)))
    }
}

/// Keeps the arms within a limit; where none is, the lowest.
fn keep(permitted: &mut Vec<usize>, limit: Option<f64>, of: impl Fn(usize) -> f64) {
    let Some(limit) = limit else { return };
    let Some(lowest) = permitted.iter().copied().min_by(|a, b| of(*a).total_cmp(&of(*b))) else { return };
    permitted.retain(|at| of(*at) <= limit);
    if permitted.is_empty() {
        permitted.push(lowest);
    }
}

/// Outcomes at most that the cold starts of all candidates take together.
const COLD_START_TOTAL: u64 = 400;

/// Outcomes after which the cold start of a candidate may end by its bounds: its cost is known then.
const FEWEST_OF_HOPELESS: f64 = 3.0;

fn task_key(task: &TaskContext) -> u64 {
    fnv::hash(task.task_id.as_str().as_bytes())
}

fn versions(predictions: &CandidatePrediction) -> BTreeMap<String, u64> {
    let success = (Target::Success, predictions.success.model_version);
    let time = (Target::Time, predictions.time.estimate.model_version);
    [success, time].map(|(target, version)| (target.name().to_owned(), version)).into()
}

/// Mixes two numbers by `SplitMix64` (Steele, Lea and Flood 2014).
fn mixed(a: u64, b: u64) -> u64 {
    let z = a.wrapping_add(b.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Returns a number in [0, 1).
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
