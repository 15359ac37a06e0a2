//! What every trainer and its models must keep to; a host runs it on its own (feature `testing`).

use super::{Predictor, Trainer};
use crate::dataset::Dataset;
use crate::error::ErrorKind;
use crate::features::{FeatureRow, index_of};

/// Checks `trainer` on `data`, which must be enough to fit.
///
/// Fitting twice gives the same bytes, also beside a model of the earlier rows; a model fitted for its points
/// has those of a full one; a model read back from its bytes predicts the same; the same
/// row gets the same answer each time; a row of missing values gets a finite one; reasons never
/// name a missing feature and are finite; no data is a typed error; damaged bytes are an error.
///
/// # Panics
/// With the rule that is broken: it is meant for tests.
pub fn check<T: Trainer>(trainer: &T, data: &Dataset) {
    let name = trainer.name();
    let model = trainer.fit(data).unwrap_or_else(|e| panic!("{name}: must fit on the data given: {e:#}"));
    let bytes = bytes_of(name, &model);
    let again = trainer.fit(data).unwrap_or_else(|e| panic!("{name}: must fit again: {e:#}"));
    assert!(bytes == bytes_of(name, &again), "{name}: the same data must give the same bytes");
    let back = trainer.read(&bytes).unwrap_or_else(|e| panic!("{name}: must be read back: {e:#}"));
    assert!(bytes == bytes_of(name, &back), "{name}: reading and writing must change no byte");
    assert_eq!(model.schema(), data.schema, "{name}: must know the features it was fitted on");
    for example in &data.examples {
        same_answers(name, &model, &back, &example.features);
    }
    shared_fits(trainer, data, &bytes);
    refusals(trainer, data, &bytes);
}

/// Checks what a training cycle fits beside the model: it must be what fitting alone gives.
fn shared_fits<T: Trainer>(trainer: &T, data: &Dataset, bytes: &[u8]) {
    let name = trainer.name();
    let Ok((earlier, later)) = data.split_by_time(0.2) else { return };
    let (Ok(alone), Ok(points)) = (trainer.fit(&earlier), trainer.fit_points(&earlier)) else { return };
    for example in &later {
        let row = &example.features;
        assert!(alone.point(row) == points.point(row), "{name}: fit_points must give the points of fit");
    }
    let beside = trainer.fit_beside(data, &earlier, &points);
    let beside = beside.unwrap_or_else(|e| panic!("{name}: must fit beside an earlier model: {e:#}"));
    assert!(bytes == bytes_of(name, &beside), "{name}: fit_beside must give the bytes of fit");
}

fn bytes_of<P: Predictor>(name: &str, model: &P) -> Vec<u8> {
    model.to_bytes().unwrap_or_else(|e| panic!("{name}: must be written: {e:#}"))
}

fn same_answers<P: Predictor>(name: &str, model: &P, back: &P, row: &FeatureRow) {
    let point = model.point(row);
    assert!(point.is_finite(), "{name}: every answer must be finite");
    assert!(point == model.point(row), "{name}: the same row must get the same answer");
    assert!(point == back.point(row), "{name}: a model read back must answer the same");
    for reason in model.reasons(row) {
        assert!(reason.contribution.is_finite(), "{name}: {}'s contribution must be finite", reason.feature);
        let missing = index_of(&reason.feature).is_some_and(|at| row.values[at].is_nan());
        assert!(!missing, "{name}: a reason names {}, which is missing", reason.feature);
    }
}

fn refusals<T: Trainer>(trainer: &T, data: &Dataset, bytes: &[u8]) {
    let name = trainer.name();
    let nothing = data.filter(|_, _| false);
    match trainer.fit(&nothing).map_err(|e| e.kind()) {
        Err(ErrorKind::NotEnoughData { have: 0, need }) if need > 0 => {}
        other => panic!(
            "{name}: no data must be NotEnoughData with both numbers, not {:?}",
            other.map(|_| "a model")
        ),
    }
    assert!(trainer.read(&bytes[..bytes.len() / 2]).is_err(), "{name}: half its bytes must be an error");
    assert!(trainer.read(&[]).is_err(), "{name}: no bytes must be an error");
    assert!(trainer.scores(&[0.5], &[]).is_err(), "{name}: more predictions than labels must be an error");
}
