//! Proves a [`ModelRegistry`] right: for the registries of this crate and for a host's own.

use super::{ModelRegistry, ModelVersion, NewVersion, Stage, Verdict};
use crate::error::{Error, ErrorKind, Result};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Runs every check on an empty registry, whose models `conformance-…` it then holds.
///
/// # Errors
/// Those of the registry where it should have succeeded.
///
/// # Panics
/// With what the registry got wrong.
pub async fn check(registry: &dyn ModelRegistry) -> Result<()> {
    nothing_is_known_of_an_unknown_model(registry).await?;
    a_version_comes_back_as_it_was_registered(registry).await?;
    numbers_ascend_and_models_are_apart(registry).await?;
    promotion_compares_and_sets(registry).await?;
    of_rivals_one_wins(registry).await?;
    rolling_back_goes_step_by_step(registry).await?;
    only_promotion_gives_production(registry).await?;
    verdicts_are_a_history(registry).await?;
    hostile_names_are_refused(registry).await?;
    what_cannot_be_kept_is_refused(registry).await
}

async fn nothing_is_known_of_an_unknown_model(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-unknown";
    assert_eq!(registry.versions(model).await?, []);
    assert_eq!(registry.production(model).await?, None);
    let at = time("2025-03-01T00:00:00Z")?;
    fails(registry.version(model, 1).await, ErrorKind::NotFound);
    fails(registry.artefact(model, 1).await, ErrorKind::NotFound);
    fails(registry.evaluation_artefact(model, 1).await, ErrorKind::NotFound);
    fails(registry.promote(model, 1, None).await, ErrorKind::NotFound);
    fails(registry.roll_back(model).await, ErrorKind::NotFound);
    fails(registry.set_stage(model, 1, Stage::Staging).await, ErrorKind::NotFound);
    fails(registry.note_verdict(model, 1, Verdict::new(at, false, ["x"])).await, ErrorKind::NotFound);
    assert_eq!(registry.versions(model).await?, [], "asking must not make a model");
    Ok(())
}

async fn a_version_comes_back_as_it_was_registered(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-complete";
    let given = complete(model)?;
    let stored = registry.register(given.clone()).await?;
    assert_eq!(stored, given.record(1, stored.created_at)?, "the record differs from what was given");
    assert_eq!(registry.version(model, 1).await?, stored);
    assert_eq!(registry.versions(model).await?, [stored]);
    assert_eq!(registry.artefact(model, 1).await?, given.artefact);
    assert_eq!(registry.evaluation_artefact(model, 1).await?, given.evaluation_artefact);

    registry.register(NewVersion::new(model, vec![0])).await?;
    assert_eq!(registry.evaluation_artefact(model, 2).await?, None, "version 2 has no holdout model");
    for absent in [0, 3, u64::MAX] {
        fails(registry.version(model, absent).await, ErrorKind::NotFound);
        fails(registry.artefact(model, absent).await, ErrorKind::NotFound);
    }
    Ok(())
}

async fn numbers_ascend_and_models_are_apart(registry: &dyn ModelRegistry) -> Result<()> {
    let (one, other) = ("conformance-one", "conformance-other");
    for number in 1..=12 {
        assert_eq!(register(registry, one).await?, number);
    }
    assert_eq!(register(registry, other).await?, 1, "each model counts for itself");
    let numbers: Vec<_> = registry.versions(one).await?.iter().map(|v| v.version).collect();
    assert!(numbers.iter().copied().eq(1..=12), "{numbers:?}");
    registry.promote(one, 3, None).await?;
    assert_eq!(registry.production(other).await?, None, "another model's promotion");
    Ok(())
}

async fn promotion_compares_and_sets(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-promote";
    register_three(registry, model).await?;
    assert_eq!(registry.production(model).await?, None, "registering must not promote");
    fails(registry.promote(model, 1, Some(1)).await, ErrorKind::Conflict);
    registry.promote(model, 1, None).await?;
    fails(registry.promote(model, 2, None).await, ErrorKind::Conflict);
    fails(registry.promote(model, 2, Some(3)).await, ErrorKind::Conflict);
    fails(registry.promote(model, 4, Some(1)).await, ErrorKind::NotFound);
    stands(registry, model, Some(1), [Stage::Production, Stage::None, Stage::None]).await?;
    registry.promote(model, 2, Some(1)).await?;
    registry.promote(model, 2, Some(2)).await?;
    stands(registry, model, Some(2), [Stage::Archived, Stage::Production, Stage::None]).await?;
    fails(registry.promote(model, 3, Some(1)).await, ErrorKind::Conflict);
    stands(registry, model, Some(2), [Stage::Archived, Stage::Production, Stage::None]).await
}

async fn of_rivals_one_wins(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-rivals";
    for _ in 0..9 {
        register(registry, model).await?;
    }
    registry.promote(model, 1, None).await?;
    let incumbents = (2..=9).map(|number| registry.promote(model, number, Some(1))).collect();
    let (mut won, mut lost) = (Vec::new(), 0);
    for (number, outcome) in (2..=9).zip(all(incumbents).await) {
        match outcome {
            Ok(()) => won.push(number),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error:#}");
                lost += 1;
            }
        }
    }
    assert_eq!((won.len(), lost), (1, 7), "of rivals for one place exactly one wins");
    assert_eq!(registry.production(model).await?.map(|v| v.version), won.first().copied());
    Ok(())
}

async fn rolling_back_goes_step_by_step(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-roll-back";
    register_three(registry, model).await?;
    fails(registry.roll_back(model).await, ErrorKind::NotFound);
    registry.promote(model, 1, None).await?;
    fails(registry.roll_back(model).await, ErrorKind::NotFound);
    registry.promote(model, 2, Some(1)).await?;
    // Once more, which is no step.
    registry.promote(model, 2, Some(2)).await?;
    registry.promote(model, 3, Some(2)).await?;

    let back = registry.roll_back(model).await?;
    assert_eq!((back.version, back.stage), (2, Stage::Production));
    stands(registry, model, Some(2), [Stage::Archived, Stage::Production, Stage::Archived]).await?;
    registry.promote(model, 3, Some(2)).await?;
    assert_eq!(registry.roll_back(model).await?.version, 2);
    assert_eq!(registry.roll_back(model).await?.version, 1);
    fails(registry.roll_back(model).await, ErrorKind::NotFound);
    stands(registry, model, Some(1), [Stage::Production, Stage::Archived, Stage::Archived]).await
}

async fn only_promotion_gives_production(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-stages";
    register_three(registry, model).await?;
    fails(registry.set_stage(model, 1, Stage::Production).await, ErrorKind::InvalidInput);
    registry.set_stage(model, 1, Stage::Staging).await?;
    registry.set_stage(model, 2, Stage::Archived).await?;
    stands(registry, model, None, [Stage::Staging, Stage::Archived, Stage::None]).await?;
    registry.promote(model, 1, None).await?;
    for stage in [Stage::None, Stage::Staging, Stage::Archived] {
        fails(registry.set_stage(model, 1, stage).await, ErrorKind::Conflict);
    }
    registry.set_stage(model, 2, Stage::None).await?;
    stands(registry, model, Some(1), [Stage::Production, Stage::None, Stage::None]).await
}

async fn verdicts_are_a_history(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-verdicts";
    let early = Verdict::new(time("2025-03-01T00:00:00Z")?, true, ["better by 0.02"]);
    // Noted later though it is dated earlier: the order is that of noting.
    let mut late =
        Verdict::new(time("2024-01-01T00:00:00.000001Z")?, false, ["rolled back", "errors \"\u{1F4A5}\""]);
    late.compared_with = Some(7);
    let mut version = NewVersion::new(model, vec![1]);
    version.about.verdicts = vec![early.clone()];
    registry.register(version).await?;
    registry.note_verdict(model, 1, late.clone()).await?;
    registry.note_verdict(model, 1, late.clone()).await?;
    registry.promote(model, 1, None).await?;
    let expected = [early, late.clone(), late];
    assert_eq!(registry.version(model, 1).await?.verdicts, expected);
    assert_eq!(registry.production(model).await?.map(|v| v.verdicts), Some(expected.to_vec()));
    Ok(())
}

async fn hostile_names_are_refused(registry: &dyn ModelRegistry) -> Result<()> {
    let at = time("2025-03-01T00:00:00Z")?;
    let long = "x".repeat(65);
    for name in
        ["", ".", "..", "../up", "a/b", "a\\b", "/etc", "Upper", "\u{e9}", "a\0b", "a b", "a.b", &long]
    {
        let refused = ErrorKind::InvalidInput;
        fails(registry.register(NewVersion::new(name, vec![1])).await, refused);
        fails(registry.versions(name).await, refused);
        fails(registry.version(name, 1).await, refused);
        fails(registry.production(name).await, refused);
        fails(registry.artefact(name, 1).await, refused);
        fails(registry.evaluation_artefact(name, 1).await, refused);
        fails(registry.promote(name, 1, None).await, refused);
        fails(registry.roll_back(name).await, refused);
        fails(registry.set_stage(name, 1, Stage::None).await, refused);
        fails(registry.note_verdict(name, 1, Verdict::new(at, false, ["x"])).await, refused);
    }
    Ok(())
}

async fn what_cannot_be_kept_is_refused(registry: &dyn ModelRegistry) -> Result<()> {
    let model = "conformance-refused";
    let mut version = NewVersion::new(model, vec![1]);
    version.about.metrics = BTreeMap::from([("auc".to_owned(), f64::NAN)]);
    fails(registry.register(version).await, ErrorKind::InvalidInput);
    fails(registry.register(NewVersion::new(model, Vec::new())).await, ErrorKind::InvalidInput);
    assert_eq!(registry.versions(model).await?, [], "a refused version must leave nothing");
    assert_eq!(register(registry, model).await?, 1, "a refused version must use no number");
    let verdict = Verdict::new(DateTime::<Utc>::MAX_UTC, false, ["x"]);
    fails(registry.note_verdict(model, 1, verdict).await, ErrorKind::InvalidInput);
    assert_eq!(registry.version(model, 1).await?.verdicts, []);
    Ok(())
}

/// A version with every field set, to the digits and characters that are easily lost.
fn complete(model: &str) -> Result<NewVersion> {
    let mut version = NewVersion::new(model, (0..=255).cycle().take(5000).collect());
    version.evaluation_artefact = Some(b"\0twin\r\n".to_vec());
    version.about.parameters = json!({"rate": 0.1 + 0.2, "deep": [[{"empty": {}}], null], "big": u64::MAX});
    version.about.metrics =
        [("auc", 0.1 + 0.7), ("tiny", f64::MIN_POSITIVE), ("zero", -0.0), ("big", f64::MAX)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
    version.about.feature_schema = u64::MAX;
    version.about.data_from = Some(time("2024-02-29T23:59:59.999999Z")?);
    version.about.data_until = Some(time("9999-12-31T00:00:00Z")?);
    version.about.rows = 123_456;
    version.about.parent = Some(9);
    version.about.library_version = "0.0.1-\u{3b1}".into();
    version.about.verdicts = vec![Verdict::new(time("2025-03-01T00:00:00Z")?, false, [""])];
    // As deep as is allowed: a parser's own limit must not be lower.
    let deep = (0..63).fold(Value::Null, |inner, _| json!([inner]));
    version.about.metadata.insert("deep".to_owned(), deep);
    version.about.metadata.insert("who \"\\\u{1F980}".to_owned(), Value::from("line\nbreak\ttab"));
    Ok(version)
}

async fn register(registry: &dyn ModelRegistry, model: &str) -> Result<u64> {
    Ok(registry.register(NewVersion::new(model, model.as_bytes().to_vec())).await?.version)
}

async fn register_three(registry: &dyn ModelRegistry, model: &str) -> Result<()> {
    for number in 1..=3 {
        assert_eq!(register(registry, model).await?, number);
    }
    Ok(())
}

/// Every way of asking must give the same answer.
async fn stands(
    registry: &dyn ModelRegistry,
    model: &str,
    production: Option<u64>,
    stages: [Stage; 3],
) -> Result<()> {
    assert_eq!(registry.production(model).await?.map(|v| v.version), production);
    let versions: Vec<ModelVersion> = registry.versions(model).await?;
    assert_eq!(versions.iter().map(|v| v.stage).collect::<Vec<_>>(), stages);
    for version in versions {
        assert_eq!(registry.version(model, version.version).await?, version);
    }
    Ok(())
}

#[track_caller]
fn fails<T: Debug>(outcome: Result<T>, kind: ErrorKind) {
    match outcome {
        Ok(value) => panic!("expected {kind:?}, got {value:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{error:#}"),
    }
}

fn time(text: &str) -> Result<DateTime<Utc>> {
    text.parse().map_err(|error: chrono::ParseError| Error::internal(text).with_source(error))
}

/// Drives all futures at once, on this task: some registries need the runtime that it runs on.
async fn all<T: Unpin>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(move |context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(done.iter_mut().filter_map(Option::take).collect())
    })
    .await
}
