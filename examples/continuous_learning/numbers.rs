//! Errors and interval coverage of the predicted seconds and quality, beside a constant baseline.

use devmatrix_ml::event::EventId;
use devmatrix_ml::models::Estimate;
use devmatrix_ml::serving::Predictions;
use std::collections::HashMap;

/// Predictions by promoted models, with the observed values.
#[derive(Default)]
pub(crate) struct Numbers {
    open: HashMap<EventId, (Option<Estimate>, Option<Estimate>)>,
    seconds: Vec<(Estimate, f64)>,
    quality: Vec<(Estimate, f64)>,
}

impl Numbers {
    /// Keeps predictions made before their generation started; cold-start predictions are not evaluated.
    pub(crate) fn predicted(&mut self, id: &EventId, predictions: &Predictions) {
        let by_model = |e: &Estimate| Some(e.clone()).filter(|e| e.model_version > 0);
        let (time, quality) = (by_model(&predictions.time.estimate), by_model(&predictions.quality.estimate));
        self.open.insert(id.clone(), (time, quality));
    }

    pub(crate) fn took(&mut self, id: &EventId, seconds: Option<f64>) {
        let predicted = self.open.get_mut(id).and_then(|(time, _)| time.take_if(|_| seconds.is_some()));
        self.seconds.extend(predicted.zip(seconds));
    }

    pub(crate) fn scored(&mut self, id: &EventId, quality: Option<f64>) {
        let predicted = self.open.get_mut(id).and_then(|(_, q)| q.take_if(|_| quality.is_some()));
        self.quality.extend(predicted.zip(quality));
    }

    pub(crate) fn print(&self) {
        line("seconds", &self.seconds);
        line("quality", &self.quality);
    }
}

fn line(name: &str, rows: &[(Estimate, f64)]) {
    if rows.is_empty() {
        return;
    }
    let n = rows.len() as f64;
    let mut actual: Vec<_> = rows.iter().map(|(_, y)| *y).collect();
    actual.sort_by(f64::total_cmp);
    let median = actual[actual.len() / 2];
    let error = rows.iter().map(|(e, y)| (e.value - y).abs()).sum::<f64>() / n;
    let by_median = actual.iter().map(|y| (median - y).abs()).sum::<f64>() / n;
    let covers = |(low, high): (f64, f64), y: f64| (low..=high).contains(&y);
    let share =
        |f: &dyn Fn(&Estimate, f64) -> bool| 100.0 * rows.iter().filter(|(e, y)| f(e, *y)).count() as f64 / n;
    println!(
        "{name}: {} predicted by a model, mean absolute error {error:.2} (constant baseline {by_median:.2}), \
         empirical coverage of 80 and 90 % intervals: {:.0} and {:.0} %",
        rows.len(),
        share(&|e, y| covers(e.interval_80, y)),
        share(&|e, y| covers(e.interval_90, y))
    );
}
