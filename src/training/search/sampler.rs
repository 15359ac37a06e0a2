//! What a parameter is tried at next.

use super::{Hyperparameter, Range};
use crate::error::{Error, Result};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;
use tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator};

/// What proposes values for one parameter.
pub(super) struct Sampler {
    range: Range,
    optimizer: TpeOptimizer,
}

impl Sampler {
    pub(super) fn of(knob: &Hyperparameter) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("the space of {}: {why}", knob.path));
        let real = |low: f64, high: f64| {
            let range = tpe::range(low, high).map_err(|_| wrong("its lower end must be below the upper"))?;
            Ok::<_, Error>(TpeOptimizer::new(parzen_estimator(), range))
        };
        let optimizer = match &knob.range {
            Range::Log(low, high) if *low > 0.0 => real(low.ln(), high.ln())?,
            Range::Linear(low, high) => real(*low, *high)?,
            Range::Whole(low, high) if *low > 0 => {
                real((f64::from(*low) - 0.5).ln(), (f64::from(*high) + 0.5).ln())?
            }
            Range::Log(..) | Range::Whole(..) => {
                return Err(wrong("a logarithmic scale begins above 0"));
            }
            Range::OneOf(values) => {
                let range =
                    categorical_range(values.len()).map_err(|_| wrong("there is nothing to choose"))?;
                TpeOptimizer::new(histogram_estimator(), range)
            }
        };
        Ok(Self { range: knob.range.clone(), optimizer })
    }

    pub(super) fn ask(&mut self, rng: &mut Pcg64Mcg) -> Result<Value> {
        let at = self.optimizer.ask(rng).map_err(|e| Error::internal("no trial came").with_source(e))?;
        Ok(match &self.range {
            Range::Log(..) => Value::from(at.exp()),
            Range::Linear(..) => Value::from(at),
            Range::Whole(low, high) => Value::from((at.exp().round() as u32).clamp(*low, *high)),
            Range::OneOf(values) => values[(at as usize).min(values.len() - 1)].clone(),
        })
    }

    pub(super) fn tell(&mut self, value: &Value, loss: f64) -> Result<()> {
        let number = || value.as_f64().unwrap_or(f64::NAN);
        let at = match &self.range {
            Range::Log(..) | Range::Whole(..) => number().ln(),
            Range::Linear(..) => number(),
            Range::OneOf(values) => values.iter().position(|v| v == value).map_or(f64::NAN, |at| at as f64),
        };
        self.optimizer.tell(at, loss).map_err(|e| {
            Error::invalid(format!("a trial with {value} and loss {loss} cannot be added to the study"))
                .with_source(e)
        })
    }
}
