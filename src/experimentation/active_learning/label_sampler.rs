//! A label sampler with a daily budget.

use super::acquisition::{AcquisitionSignals, AcquisitionWeights};
use crate::error::{Result, in_range};
use crate::event::{EventId, ReviewRequest};
use crate::stats::bucket::place as bucket;
use crate::stats::calendar::{day_of, turns};
use crate::verify::{Verify, verified};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of a label sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LabelSamplerOptions {
    /// Label requests a day (UTC), 0.1 to 1e6; by default 10.
    pub per_day: f64,
    /// Expected generations a day until a day has been counted, from 1; by default 100.
    pub generations_per_day: f64,
    /// Rate of the random audit, 0.001 to 1, by default 0.05; the budget goes there first.
    pub audit_rate: f64,
    /// Share of the budget that is at least spent at random, 0 to 1, by default 0.5: the sample is never much worse than a
    /// random one.
    pub random_share: f64,
    /// Weights of the acquisition function.
    pub weights: AcquisitionWeights,
    /// Salt of the hash: another salt samples other generations.
    pub salt: String,
}

/// Samples the generations that a person is asked to label, one after the other, as they end.
///
/// Propensities are exact: requests are drawn with them, by a hash of the generation's id, so that a repeated call gives
/// the same answer. When there are more generations than on days before, each has a smaller propensity; once the budget
/// is spent, each request halves further propensities, down to an eighth of the audit's. So propensities are never 0, and
/// a day may go a little over its budget. The sampler can be stored and read back.
///
/// ```
/// use devmatrix_ml::experimentation::active_learning::{LabelSampler, LabelSamplerOptions, AcquisitionSignals};
/// use devmatrix_ml::event::{Completion, EventId};
/// let mut sampler = LabelSampler::new(LabelSamplerOptions::default())?;
/// let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let mut done = Completion::default();
/// let request = sampler.consider(&EventId::new("gen_7")?, &AcquisitionSignals::default(), now)?;
/// if request.requested {
///     println!("please label gen_7: {}", request.why);
/// }
/// done.review = Some(request); // stored with the event, requested or not
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSampler {
    #[serde(deserialize_with = "verified")]
    options: LabelSamplerOptions,
    #[serde(deserialize_with = "verified")]
    count: Count,
}

/// Counts of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Count {
    /// The day, since 1970.
    day: Option<i64>,
    seen: f64,
    asked: f64,
    /// Generations a day, as counted.
    volume: f64,
    /// Recent mean of the acquisition function, and its generations.
    mean_value: f64,
    valued: f64,
    /// Counts of what was seen and asked on other days: a clock that is set to and fro begins none of them anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<i64, (f64, f64)>,
}

/// Other days that are remembered.
const MOST_DAYS: usize = 7;

/// Weight of a new value in the decayed mean: it follows within some 50 generations.
const FORGETTING: f64 = 0.02;

/// The share of the audit's propensity that is left when the budget is spent: it bounds inverse weights.
const LEFT: f64 = 0.125;

impl Default for LabelSamplerOptions {
    fn default() -> Self {
        Self {
            per_day: 10.0,
            generations_per_day: 100.0,
            audit_rate: 0.05,
            random_share: 0.5,
            weights: AcquisitionWeights::default(),
            salt: String::new(),
        }
    }
}

impl LabelSamplerOptions {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        in_range("per_day", self.per_day, 0.1, 1e6)?;
        in_range("generations_per_day", self.generations_per_day, 1.0, 1e9)?;
        in_range("audit_rate", self.audit_rate, 0.001, 1.0)?;
        in_range("random_share", self.random_share, 0.0, 1.0)?;
        self.weights.validate()
    }
}

impl LabelSampler {
    /// Creates a sampler.
    ///
    /// # Errors
    /// `InvalidInput` naming the option that is out of range.
    pub fn new(options: LabelSamplerOptions) -> Result<Self> {
        options.validate()?;
        let volume = options.generations_per_day;
        let count = Count {
            day: None,
            seen: 0.0,
            asked: 0.0,
            volume,
            mean_value: 0.0,
            valued: 0.0,
            others: BTreeMap::new(),
        };
        Ok(Self { options, count })
    }

    /// Draws whether a label of `generation` is requested at `now`, and returns the request with its propensity.
    ///
    /// # Errors
    /// `InvalidInput` when a signal is not in 0 to 1.
    pub fn consider(
        &mut self,
        generation: &EventId,
        signals: &AcquisitionSignals,
        now: DateTime<Utc>,
    ) -> Result<ReviewRequest> {
        signals.validate()?;
        self.count.turn(day_of(now));
        let value = signals.value(&self.options.weights);
        let (audit, propensities) = self.propensities(value);
        self.count.add(value);
        let at = bucket(["review", &self.options.salt, generation.as_str()]);
        let asked = at < propensities;
        self.count.asked += f64::from(u8::from(asked));
        let reason = match asked {
            true if at < audit => "random audit",
            true => signals.reason(&self.options.weights),
            false => "",
        };
        ReviewRequest::new(asked, propensities, reason)
    }

    /// Returns the propensity of the random audit, and of audit and acquisition together.
    fn propensities(&self, value: f64) -> (f64, f64) {
        let (options, Count { seen, asked, volume, mean_value, .. }) = (&self.options, &self.count);
        let base = (options.per_day / volume.max(*seen)).min(1.0);
        let audit = options.audit_rate.max(options.random_share * base).min(base);
        let relative = if *mean_value > 0.0 { (value / mean_value).min(f64::MAX) } else { 1.0 };
        let propensities = (audit + (base - audit) * relative).min(1.0);
        let over = asked + 1.0 - options.per_day.max(1.0);
        if over <= 0.0 {
            return (audit, propensities);
        }
        // Half of it with the first request over the budget, a quarter with the second, and so on.
        let propensities = (propensities * 0.5_f64.powf(over)).max(audit * LEFT);
        (audit.min(propensities), propensities)
    }
}

impl Count {
    /// Counts a generation with its acquisition value.
    fn add(&mut self, value: f64) {
        self.seen += 1.0;
        self.valued += 1.0;
        let step = FORGETTING.max(1.0 / self.valued);
        self.mean_value += step * (value - self.mean_value);
    }

    /// Begins another day.
    fn turn(&mut self, day: i64) {
        let Some(counted) = self.day.filter(|counted| turns(*counted, day)) else {
            self.day.get_or_insert(day);
            return;
        };
        let before = self.others.remove(&day);
        if before.is_none() && self.seen > 0.0 {
            // Half of the old, half of the new: one holiday does not double the propensities.
            self.volume = (0.5 * (self.volume + self.seen)).max(1.0);
        }
        self.others.insert(counted, (self.seen, self.asked));
        if self.others.len() > MOST_DAYS {
            self.others.pop_first();
        }
        let (seen, asked) = before.unwrap_or_default();
        (self.day, self.seen, self.asked) = (Some(day), seen, asked);
    }
}

impl Verify for LabelSamplerOptions {
    fn verify(&self) -> Result<()> {
        self.validate()
    }
}

impl Verify for Count {
    fn verify(&self) -> Result<()> {
        let Self { seen, asked, volume, mean_value, valued, .. } = *self;
        let counts = [("seen", seen), ("asked", asked), ("mean_value", mean_value), ("valued", valued)];
        let others = self.others.values().flat_map(|(seen, asked)| [("others", *seen), ("others", *asked)]);
        counts.into_iter().chain(others).try_for_each(|(name, v)| in_range(name, v, 0.0, 1e15))?;
        in_range("volume", volume, 1.0, 1e15)
    }
}
