//! What predicts a number: start, wording, trees, and the ends of its intervals.

use super::fitted::Calibration;
use super::params::RegressionParams;
use super::solver_effects::SolverEffects;
use super::spec::{Regime, Spec};
use super::text_component::{OrdinalChoice, TextComponent, TextRows, sparse};
use super::{Aim, View};
use crate::dataset::Example;
use crate::error::Result;
use crate::execution;
use crate::features::{FEATURES, FeatureRow};
use crate::ml::{
    BoostParams, FitRequest, ForestParams, Interval, Matrix, Objective, QuantileConformal, Sample, SparseRow,
    Tfidf, TreeFamily, Trees,
};
use crate::models::column_encoder::{ColumnEncoder, Encodable};
use crate::models::shares_of_columns;
use crate::models::success::WORDING;
use crate::models::unseen::{UnseenValue, unseen};

/// The levels of the intervals, and the quantiles that they begin from.
pub(in crate::models) const LEVELS: [f64; 2] = [0.8, 0.9];
pub(super) const QUANTILES: [f64; 4] = [0.1, 0.9, 0.05, 0.95];

/// How far a part may be trusted.
pub(super) const TRUSTS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Share of the error by which a correction must lessen it: less is luck of the choice among several.
pub(super) const LEAST_GAIN: f64 = 0.01;

/// Rounding errors are below this.
pub(super) const ROUNDING: f64 = 1e-9;

/// What predicts.
#[derive(Debug, Clone)]
pub(super) struct ModelComponent {
    pub(super) regime: Regime,
    pub(super) places: Vec<usize>,
    /// The host's own columns.
    pub(super) encoder: ColumnEncoder,
    pub(super) expected: usize,
    /// Where nothing is expected.
    pub(super) start: f64,
    pub(super) tfidf: Tfidf,
    pub(super) wording: TextComponent,
    /// Mean contribution of the wording in training.
    pub(super) mean_text: f64,
    pub(super) value: Trees,
    /// The ends of the intervals, where the text's distribution does not give them.
    pub(super) quantiles: Vec<Trees>,
}

/// The inputs of a model component for one row.
pub(super) struct Look {
    trees: Vec<f32>,
    expected: f64,
    /// The correction of the text component.
    wording: f64,
    /// The correction of the trees.
    correction: f64,
    /// Ends of the intervals: of the text's distribution, or of the solver's residuals.
    ends: Vec<f64>,
}

impl Look {
    /// The intervals of the text's distribution, corrected by the trees.
    pub(super) fn text_intervals(&self, trust: [f64; 2]) -> impl Iterator<Item = (f64, f64)> {
        let shift = trust[1] * self.correction;
        self.ends.chunks(2).map(move |ends| (ends[0] + shift, ends[1] + shift))
    }
}

impl ModelComponent {
    pub(super) fn fit(
        spec: &Spec,
        regime: Regime,
        examples: &[Example],
        (view, aim): (View, Aim),
        ordinal: Option<OrdinalChoice>,
        params: &RegressionParams,
    ) -> Result<Self> {
        let rows: Vec<_> =
            examples.iter().filter_map(|e| Some((view.of(e)?, spec.scale.to(e.label)))).collect();
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        let start = median(labels.clone());
        let worded = Self::reads_words(spec, regime, params);
        let tfidf = Tfidf::fit(rows.iter().filter(|_| worded).map(|(r, _)| &r.text), params.min_texts);
        let texts: Vec<_> = rows.iter().map(|(r, _)| sparse(&tfidf, r)).collect();
        let place = spec.expected_place(regime);
        let past = |row| spec.raw_feature_at(row, place).filter(|_| ordinal.is_none());
        let expected: Vec<_> = rows.iter().map(|(row, _)| past(row).unwrap_or(start)).collect();
        execution::check()?;
        let used: Vec<_> = examples.iter().filter(|e| view.of(e).is_some()).collect();
        let weights: Vec<_> = used.iter().map(|e| e.weight).collect();
        let encodable = used.iter().zip(&rows).map(|(e, (row, label))| Encodable {
            row,
            task: e.task,
            label: *label,
            weight: e.weight,
        });
        let (encoder, apart) = ColumnEncoder::fit(&encodable.collect::<Vec<_>>(), &params.without)?;
        let solvers = if spec.by_solver && regime == Regime::Untried {
            let rows: Vec<_> = used.iter().copied().zip(rows.iter().map(|(row, _)| *row)).collect();
            SolverEffects::fit(spec, &rows, &labels, &tfidf, &encoder)?
        } else {
            None
        };
        let fit = |rows: TextRows<'_>| TextComponent::fit(rows, tfidf.width(), ordinal, params);
        let all = TextRows { texts: &texts, labels: &labels, expected: &expected, weights: &weights };
        let (wording, left_out) = match solvers {
            Some((solvers, left_out)) => (TextComponent::Solvers(Box::new(solvers)), Some(left_out)),
            None => (fit(all)?, None),
        };
        let worded: Vec<_> = if let Some(left_out) = left_out {
            left_out.iter().zip(&expected).map(|(guess, expected)| guess - expected).collect()
        } else if regime == Regime::Untried {
            let tasks: Vec<_> = used.iter().map(|e| e.task).collect();
            out_of_fold(&tasks, all, start, fit)?
        } else {
            texts.iter().map(|text| wording.value(text, start)).collect()
        };
        let offsets: Vec<_> = expected.iter().zip(&worded).map(|(a, b)| a + b).collect();
        let mean_text = worded.iter().sum::<f64>() / worded.len().max(1) as f64;
        let mut places = spec.places(regime);
        let given =
            |place: &usize| rows.iter().any(|(row, _)| row.values.get(*place).is_some_and(|v| !v.is_nan()));
        places.extend(spec.given_places().filter(given));
        places.extend(encoder.places());
        places.retain(|place| encoder.name_of(*place).is_some_and(|name| !params.without.contains(name)));
        let value = |i: usize, place: usize| finite(apart.value(rows[i].0, i, place));
        let table: Vec<f32> = (0..rows.len())
            .flat_map(|i| places.iter().map(move |place| (i, *place)))
            .map(|(i, p)| value(i, p))
            .collect();
        let data = Matrix { values: &table, width: places.len() };
        let sample = Sample::new(data, &labels).weighted(&weights).starting_from(&offsets);
        let boosted = |objective| {
            let boost = match objective {
                Objective::Quantile(_) => of_ends(params.boost),
                _ => params.boost,
            };
            Trees::fit(&boost, &FitRequest::new(objective, sample))
        };
        let forest = || Trees::fit_forest(&params.forest, Objective::SquaredError, &sample);
        let (value, quantiles) = if matches!(wording, TextComponent::Solvers(_)) {
            // Nothing is left for trees to tell of solvers and tasks.
            let stump = ForestParams { trees: 1, max_depth: 1, ..params.forest };
            (Trees::fit_forest(&stump, Objective::SquaredError, &sample)?, Vec::new())
        } else if ordinal.is_some() {
            (forest()?, Vec::new())
        } else {
            let levels = if aim == Aim::Intervals { &QUANTILES[..] } else { &[] };
            let ends = levels.iter().map(|q| Some(Objective::Quantile(*q)));
            let value = (params.trees == TreeFamily::Boosting).then_some(Objective::AbsoluteError);
            let all: Vec<_> = std::iter::once(value).chain(ends).collect();
            let mut trees = execution::map(&all, |objective| objective.map_or_else(forest, boosted))?;
            let quantiles = trees.split_off(1);
            (trees.swap_remove(0), quantiles)
        };
        Ok(Self {
            regime,
            places,
            encoder,
            expected: place,
            start,
            tfidf,
            wording,
            mean_text,
            value,
            quantiles,
        })
    }

    /// Widens the ends that the trees give until they hold `rows`.
    pub(super) fn widen(
        &self,
        spec: &Spec,
        rows: &[(&FeatureRow, f64)],
        trust: [f64; 2],
    ) -> Option<Calibration> {
        let bands: Vec<_> = rows.iter().map(|(r, _)| self.bands(&self.look(spec, r, &[]), trust)).collect();
        let of = |level: usize| -> Vec<Interval> { bands.iter().map(|b| b[level]).collect() };
        let (narrow, wide) = (of(0), of(1));
        let labels: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
        let found = QuantileConformal::fit(&LEVELS, &[&narrow, &wide], &labels, &vec![1.0; labels.len()]);
        found.ok().map(Calibration::Widened)
    }

    /// How far to trust what is expected and worded, and the trees: what errs least on rows that were
    /// not learned from, of equal ones the most.
    pub(super) fn trust(&self, spec: &Spec, rows: &[(&FeatureRow, f64)]) -> [f64; 2] {
        let parts = rows.iter().map(|(row, label)| {
            let look = self.look(spec, row, &[]);
            (look.expected + look.wording - self.start, look.correction, spec.scale.from(*label))
        });
        let parts: Vec<_> = parts.collect();
        let error = |trust: [f64; 2]| -> f64 {
            let errors = parts.iter().map(|(past, trees, label)| {
                spec.scale.error(spec.scale.from(self.start + trust[0] * past + trust[1] * trees), *label)
            });
            errors.sum()
        };
        let tried = TRUSTS.iter().flat_map(|a| TRUSTS.iter().map(|b| [*a, *b]));
        let scored = tried.map(|trust| (error(trust), trust));
        let best = scored.min_by(|a, b| a.0.total_cmp(&b.0).then(b.1[0].total_cmp(&a.1[0])));
        best.map_or([1.0; 2], |(_, trust)| trust)
    }

    /// Returns true if a fit is to read the description's words: those of a task that was tried can tell less than what it took.
    pub(super) fn reads_words(spec: &Spec, regime: Regime, params: &RegressionParams) -> bool {
        let by_record = spec.by_solver && regime == Regime::Tried;
        !params.without.contains(WORDING) && !by_record
    }

    /// Returns true if it reads the description's words.
    pub(super) fn is_worded(&self) -> bool {
        self.tfidf.width() > 0
    }

    /// Returns true if on `rows`, which were not learned from, words and trees err hardly less than what the past leads one
    /// to expect does alone: for a task that was tried often its own record can be all there is to know.
    pub(super) fn past_suffices(&self, spec: &Spec, rows: &[(&FeatureRow, f64)], trust: [f64; 2]) -> bool {
        let (mut alone, mut corrected) = (0.0, 0.0);
        for (row, label) in rows {
            let look = self.look(spec, row, &[]);
            let label = spec.scale.from(*label);
            let error = |raw: f64| spec.scale.error(spec.within(spec.scale.from(raw)), label);
            alone += error(look.expected);
            corrected += error(self.margin(&look, trust));
        }
        corrected > (1.0 - LEAST_GAIN) * alone
    }

    /// What `row` shows, each thing read once; where the text gives a distribution, with its narrowest intervals of
    /// these probabilities.
    pub(super) fn look(&self, spec: &Spec, row: &FeatureRow, probabilities: &[f64]) -> Look {
        let text = sparse(&self.tfidf, row);
        let trees: Vec<f32> = self.places.iter().map(|p| finite(self.encoder.value(row, *p))).collect();
        let correction = self.value.margin(&trees).unwrap_or(0.0);
        let (expected, wording, ends) = match &self.wording {
            TextComponent::Linear(_) | TextComponent::NearestNeighbors(_) => {
                let expected = spec.raw_feature_at(row, self.expected).unwrap_or(self.start);
                (expected, self.wording.value(&text, self.start), Vec::new())
            }
            TextComponent::Solvers(solvers) => {
                let guess = solvers.guess(&self.tfidf, row, spec.raw_feature_at(row, self.expected));
                let tails = probabilities.iter().map(|p| 0.5 * (1.0 - p));
                let levels = tails.flat_map(|tail| [tail, 1.0 - tail]);
                let ends = levels.map(|level| guess.spread * solvers.residual(level)).collect();
                (guess.level, guess.effect, ends)
            }
            TextComponent::Ordinal(ordinal) => {
                let distribution = ordinal.distribution(&text);
                let interval =
                    |p: &f64| <[f64; 2]>::from(distribution.narrowest(*p, |raw| spec.scale.from(raw)));
                let ends = probabilities.iter().flat_map(interval).collect();
                (self.start, distribution.median() - self.start, ends)
            }
        };
        Look { trees, expected, wording, correction, ends }
    }

    pub(super) fn margin(&self, look: &Look, trust: [f64; 2]) -> f64 {
        self.start + trust[0] * (look.expected + look.wording - self.start) + trust[1] * look.correction
    }

    /// The intervals of 80 and 90 %: from the text's distribution where there is one, else from the trees.
    pub(super) fn bands(&self, look: &Look, trust: [f64; 2]) -> [Interval; 2] {
        let ends: Vec<f64> = match &self.wording {
            TextComponent::Linear(_) | TextComponent::NearestNeighbors(_) => {
                let offset = look.expected + look.wording;
                self.quantiles.iter().map(|trees| offset + trees.margin(&look.trees).unwrap_or(0.0)).collect()
            }
            TextComponent::Solvers(_) => {
                let margin = self.margin(look, trust);
                look.ends.iter().map(|residual| margin + residual).collect()
            }
            TextComponent::Ordinal(_) => look.text_intervals(trust).flat_map(<[f64; 2]>::from).collect(),
        };
        let narrow = Interval::between(ends[0], ends[1]);
        [narrow, Interval::between(ends[2], ends[3]).hull(&narrow)]
    }

    /// Returns the values of a row that are unlike all that its trees were trained on.
    pub(super) fn unseen(&self, look: &Look, trust: [f64; 2]) -> Vec<UnseenValue> {
        let value = Some(&self.value).filter(|_| trust[1] > 0.0);
        unseen(value.into_iter().chain(&self.quantiles), &look.trees, &self.places, &self.encoder)
    }

    /// Shares of the trees' gain by feature.
    pub(super) fn gains(&self) -> Vec<(String, f64)> {
        if matches!(self.wording, TextComponent::Solvers(_)) {
            return Vec::new();
        }
        shares_of_columns(&self.encoder, &self.places, &self.value.importance())
    }

    pub(super) fn contributions(
        &self,
        spec: &Spec,
        row: &FeatureRow,
        trust: [f64; 2],
    ) -> (f64, Vec<f64>, f64) {
        let look = self.look(spec, row, &[]);
        let mut features = vec![0.0; FEATURES.len() + self.encoder.len()];
        features[self.expected] += trust[0] * (look.expected - self.start);
        let shap = self.value.contributions(&look.trees).unwrap_or_default();
        for (place, part) in self.places.iter().zip(&shap) {
            features[ColumnEncoder::slot(*place)] += trust[1] * f64::from(*part);
        }
        let trees = shap.last().copied().map_or(0.0, f64::from);
        let base = self.start + trust[0] * self.mean_text + trust[1] * trees;
        (base, features, trust[0] * (look.wording - self.mean_text))
    }
}

/// Factor by which the steps of the trees for the ends of intervals are larger, and fewer, and the most bins they
/// choose splits from. What that loses in sharpness is below the differences between seeds (interval scores of
/// `continuous_learning`, seeds 1 and 2), and the conformal step makes the intervals hold; four fifths of the trees
/// are for the ends.
const END_STEP: f64 = 1.75;
const END_BINS: usize = 64;

fn of_ends(boost: BoostParams) -> BoostParams {
    BoostParams {
        rounds: (boost.rounds as f64 / END_STEP).ceil() as usize,
        learning_rate: (boost.learning_rate * END_STEP).min(1.0),
        max_bins: boost.max_bins.min(END_BINS),
        ..boost
    }
}

/// Number of folds of tasks in the cross-fitting of the text component.
const FOLDS: u64 = 5;

/// Returns the out-of-fold correction of the text component for each row. The trees start from it and
/// would otherwise learn from residuals smaller than those of new tasks.
fn out_of_fold(
    tasks: &[u64],
    rows: TextRows<'_>,
    start: f64,
    fit: impl Fn(TextRows<'_>) -> Result<TextComponent>,
) -> Result<Vec<f64>> {
    let mut worded = vec![0.0; tasks.len()];
    for fold in 0..FOLDS {
        let (apart, rest): (Vec<usize>, Vec<usize>) =
            (0..tasks.len()).partition(|row| tasks[*row] % FOLDS == fold);
        if apart.is_empty() || rest.is_empty() {
            continue;
        }
        let of = |values: &[f64]| -> Vec<f64> { rest.iter().map(|row| values[*row]).collect() };
        let texts: Vec<SparseRow> = rest.iter().map(|row| rows.texts[*row].clone()).collect();
        let (labels, expected, weights) = (of(rows.labels), of(rows.expected), of(rows.weights));
        let wording =
            fit(TextRows { texts: &texts, labels: &labels, expected: &expected, weights: &weights })?;
        apart.iter().for_each(|row| worded[*row] = wording.value(&rows.texts[*row], start));
    }
    Ok(worded)
}

/// Returns the value, or missing where it is not finite.
fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { f32::NAN }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
