//! A fitted regression with what it is worth.

use super::component::{LEVELS, ModelComponent, QUANTILES, ROUNDING};
use super::forward::{self, Chosen};
use super::params::RegressionParams;
use super::spec::{Regime, Spec};
use super::text_component::TextComponent;
use super::{Aim, Estimate, View};
use crate::dataset::{Dataset, Example, same_rows};
use crate::error::{Error, Result};
use crate::features::FeatureRow;
use crate::ml::{QuantileConformal, Tfidf, Trees};
use crate::models::column_encoder::ColumnEncoder;
use crate::models::unseen::UnseenValues;
use crate::models::{Status, unseen};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A fitted regression.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    pub(super) spec: Spec,
    pub(super) part: ModelComponent,
    /// How far what is expected and worded, and the trees, are trusted, 0 to 1.
    pub(super) trust: [f64; 2],
    pub(super) calibration: Option<Calibration>,
}

/// What makes the intervals hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Calibration {
    /// How far to widen them.
    Widened(QuantileConformal),
    /// Read of older artefacts alone: tails to leave out at either end.
    Tails([f64; 2]),
    /// The probabilities of the narrowest intervals of a distribution: where labels have few values, widening by a
    /// little takes in no more of them and narrowing by a little leaves out many.
    Probabilities([f64; 2]),
}

impl Fitted {
    /// Fits on some rows, trusts it as far as the others show, widens the intervals until they hold
    /// those, and fits on all. `known` was fitted before to the rows beside it: where the first fit would
    /// be to the same ones, it is taken from there.
    pub(super) fn fit(
        spec: &Spec,
        regime: Regime,
        data: &Dataset,
        (view, aim): (View, Aim),
        params: &RegressionParams,
        known: Option<(&Dataset, &Self)>,
    ) -> Result<Self> {
        if spec.ordinal {
            return Self::fit_ordinal(spec, regime, data, (view, aim), params);
        }
        let aims = (view, Aim::Intervals);
        let fit =
            |rows: &[Example], aims, params: &_| ModelComponent::fit(spec, regime, rows, aims, None, params);
        let by_solver =
            (spec.by_solver && regime == Regime::Untried).then(|| fit(&data.examples, aims, params));
        let fitted = by_solver.transpose()?;
        if let Some(part) = &fitted
            && matches!(part.wording, TextComponent::Solvers(_))
        {
            // Its residuals are of tasks that were left out, and there is nothing to trust it against.
            let calibration = Some(Calibration::Probabilities(LEVELS));
            return Ok(Self { spec: *spec, part: part.clone(), trust: PAST_ALONE, calibration });
        }
        let past_alone = params.past_alone && regime == Regime::Tried;
        let Some((earlier, later)) = hold_out(spec, regime, data) else {
            let part = fitted.map_or_else(|| fit(&data.examples, aims, params), Ok)?;
            let trust = if past_alone { PAST_ALONE } else { [1.0; 2] };
            return Ok(Self { spec: *spec, part, trust, calibration: None });
        };
        let same: Vec<_> = earlier.iter().collect();
        let worded = ModelComponent::reads_words(spec, regime, params);
        // One that was left without words is not what these parameters fit.
        let as_asked = |part: &ModelComponent| part.is_worded() == worded;
        let known =
            known.filter(|(known, fitted)| as_asked(&fitted.part) && same_rows(&known.examples, &same));
        let mut held_out = match known {
            Some((_, known)) => Cow::Borrowed(&known.part),
            None => Cow::Owned(fit(&earlier, (view, aim), params)?),
        };
        let later: Vec<_> =
            later.iter().filter_map(|e| Some((view.of(e)?, spec.scale.to(e.label)))).collect();
        let mut trust = held_out.trust(spec, &later);
        let mut without_words = None;
        if past_alone || worded && held_out.past_suffices(spec, &later, trust) {
            trust = PAST_ALONE;
            let params = without_words.insert(params.without_words());
            if aim == Aim::Intervals {
                held_out = Cow::Owned(fit(&earlier, aims, params)?);
            }
        }
        let calibration = (aim == Aim::Intervals).then(|| held_out.widen(spec, &later, trust)).flatten();
        let part = match (without_words, fitted) {
            (Some(params), _) => fit(&data.examples, aims, &params)?,
            (None, Some(part)) => part,
            (None, None) => fit(&data.examples, aims, params)?,
        };
        Ok(Self { spec: *spec, part, trust, calibration })
    }

    fn fit_ordinal(
        spec: &Spec,
        regime: Regime,
        data: &Dataset,
        (view, aim): (View, Aim),
        params: &RegressionParams,
    ) -> Result<Self> {
        let Chosen { ordinal, trust, calibration } =
            forward::choose(spec, regime, data, (view, aim), params)?;
        let aims = (view, Aim::Points);
        let part = ModelComponent::fit(spec, regime, &data.examples, aims, Some(ordinal), params)?;
        Ok(Self { spec: *spec, part, trust, calibration })
    }

    pub(super) fn margin(&self, row: &FeatureRow) -> f64 {
        self.part.margin(&self.part.look(&self.spec, row, &[]), self.trust)
    }

    pub(super) fn point(&self, row: &FeatureRow) -> f64 {
        self.number(self.margin(row))
    }

    /// The estimate with intervals at `levels`, which are [`LEVELS`] unless outcomes asked for others.
    pub(super) fn estimate(&self, row: &FeatureRow, levels: [f64; 2], schema: u64) -> Estimate {
        let probabilities = match &self.calibration {
            Some(Calibration::Probabilities(probabilities)) => probabilities_at(*probabilities, levels),
            _ => levels,
        };
        let look = self.part.look(&self.spec, row, &probabilities);
        let margin = self.part.margin(&look, self.trust);
        let mut bands = self.part.bands(&look, self.trust);
        if let Some(Calibration::Widened(conformal)) = &self.calibration
            && let Ok(held) = conformal.intervals_at(&bands, &levels)
        {
            bands = [held[0], held[1]];
        }
        let [narrow, wide] = bands.map(|b| (b.lower.min(margin), b.upper.max(margin)));
        let wide = (wide.0.min(narrow.0), wide.1.max(narrow.1));
        // A label that is an end is within, whatever rounding does on the way to its scale and back.
        let number = |(low, high): (f64, f64)| (self.number(low - ROUNDING), self.number(high + ROUNDING));
        let mut notes = Vec::new();
        if self.calibration.is_none() {
            notes.push("too few later generations to test the interval on".to_owned());
        }
        let unseen = self.part.unseen(&look, self.trust);
        notes.extend(unseen::notes(&unseen));
        Estimate {
            value: self.number(margin),
            interval_80: number(narrow),
            interval_90: number(wide),
            status: Status::Calibrated,
            factors: Vec::new(),
            factors_by_topic: Vec::new(),
            notes,
            model_version: 0,
            feature_schema: schema,
            unseen: UnseenValues(unseen),
        }
    }

    /// Base, features in the order of the table followed by the host's own columns, wording: they add up to the margin.
    pub(super) fn contributions(&self, row: &FeatureRow) -> (f64, Vec<f64>, f64) {
        self.part.contributions(&self.spec, row, self.trust)
    }

    /// Shares of the trees' gain by feature.
    pub(super) fn gains(&self) -> Vec<(String, f64)> {
        self.part.gains()
    }

    fn number(&self, raw: f64) -> f64 {
        self.spec.scale.from(raw).clamp(self.spec.range.0, self.spec.range.1)
    }

    pub(super) fn store(&self) -> Result<StoredFitted> {
        let quantiles = self.part.quantiles.iter().map(Trees::to_bytes).collect::<Result<_>>()?;
        Ok(StoredFitted {
            regime: self.part.regime,
            trust: self.trust,
            places: self.part.places.clone(),
            start: self.part.start,
            tfidf: self.part.tfidf.clone(),
            wording: self.part.wording.clone(),
            mean_text: self.part.mean_text,
            value: self.part.value.to_bytes()?,
            quantiles,
            calibration: self.calibration.clone(),
        })
    }
}

/// Trust in what the past leads one to expect, and none in trees.
const PAST_ALONE: [f64; 2] = [1.0, 0.0];

/// A regression as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredFitted {
    regime: Regime,
    trust: [f64; 2],
    places: Vec<usize>,
    start: f64,
    tfidf: Tfidf,
    wording: TextComponent,
    #[serde(alias = "mean_wording")]
    mean_text: f64,
    value: Vec<u8>,
    quantiles: Vec<Vec<u8>>,
    calibration: Option<Calibration>,
}

impl StoredFitted {
    /// Checks everything that a prediction relies on.
    pub(super) fn open(mut self, spec: &Spec, encoder: ColumnEncoder) -> Result<Fitted> {
        self.tfidf.prepare()?;
        self.wording.prepare(self.tfidf.width())?;
        let linear = matches!(self.wording, TextComponent::Linear(_));
        let ordinal = matches!(self.wording, TextComponent::Ordinal(_));
        let ends = if linear { QUANTILES.len() } else { 0 };
        let value = Trees::from_bytes(&self.value)?;
        let quantiles =
            self.quantiles.iter().map(|bytes| Trees::from_bytes(bytes)).collect::<Result<Vec<_>>>()?;
        let width = self.places.len();
        let fits = self.places.iter().all(|place| encoder.has(*place))
            && value.width() == width
            && ordinal == spec.ordinal
            && quantiles.len() == ends
            && quantiles.iter().all(|trees| trees.width() == width)
            && self.trust.iter().all(|trust| (0.0..=1.0).contains(trust))
            && self.start.abs() <= 1e9
            && self.mean_text.abs() <= 1e9
            && !matches!(&self.wording, TextComponent::Solvers(solvers) if !solvers.is_sound(spec))
            && !matches!(&self.wording, TextComponent::Linear(linear) if !linear.dense_weights().is_empty())
            && self.calibration.as_ref().is_none_or(Calibration::is_sound);
        if !fits {
            return Err(Error::corrupt(format!("{} model: its parts do not fit together", spec.target)));
        }
        let part = ModelComponent {
            regime: self.regime,
            places: self.places,
            encoder,
            expected: spec.expected_place(self.regime),
            start: self.start,
            tfidf: self.tfidf,
            wording: self.wording,
            mean_text: self.mean_text,
            value,
            quantiles,
        };
        Ok(Fitted { spec: *spec, part, trust: self.trust, calibration: self.calibration })
    }
}

/// Share of the newest examples that the intervals must hold.
const HELD_OUT: f64 = 0.2;

/// Fewer rows than this test nothing.
const FEWEST_ROWS: usize = 30;

/// One in so many tasks is held out.
const HELD_OUT_TASKS: u64 = 5;

/// Rows to learn from and rows of the regime's own kind that are later or of other tasks: the newest
/// where enough of them are of that kind, else whole tasks.
fn hold_out(spec: &Spec, regime: Regime, data: &Dataset) -> Option<(Vec<Example>, Vec<Example>)> {
    let (earlier, newest) = data.split_by_time(HELD_OUT).ok()?;
    let fits = |e: &Example| spec.tries.is_none() || spec.is_tried(&e.features) == (regime == Regime::Tried);
    let own: Vec<_> = newest.into_iter().filter(fits).collect();
    if own.len() >= FEWEST_ROWS {
        return Some((earlier.examples, own));
    }
    if regime == Regime::Tried {
        return None;
    }
    let (apart, rest): (Vec<_>, Vec<_>) =
        data.examples.iter().cloned().partition(|e| e.task % HELD_OUT_TASKS == 0);
    (apart.len() >= FEWEST_ROWS && rest.len() >= FEWEST_ROWS).then_some((rest, apart))
}

/// The probabilities to ask for where other levels than the nominal are: 1 from 1 on.
fn probabilities_at(probabilities: [f64; 2], levels: [f64; 2]) -> [f64; 2] {
    let [narrow, wide] = [0, 1].map(|i| {
        let share = (1.0 - levels[i]) / (1.0 - LEVELS[i]);
        (1.0 - (1.0 - probabilities[i]) * share).clamp(0.0, 1.0)
    });
    [narrow, wide.max(narrow)]
}

impl Calibration {
    fn is_sound(&self) -> bool {
        match self {
            Self::Widened(conformal) => conformal.is_sound() && conformal.levels().len() == LEVELS.len(),
            Self::Tails(_) => false,
            Self::Probabilities(probabilities) => probabilities.iter().all(|p| (0.0..=1.0).contains(p)),
        }
    }
}
