//! Damaged and forged artefacts: an error, or a model with sound predictions.

#[cfg(test)]
use crate::ErrorKind;
use crate::common::small;
use crate::dataset::Target;
use crate::features::{FeatureEngineer, FeatureRow};
use crate::history::SharedHistory;
use crate::models::open_artefact;
use crate::models::{Predictor, SuccessModel, SuccessTrainer};
use crate::registry::envelope;
use crate::similarity::SimilarTasks;
use crate::store::{Cursor, EventStore, MemoryStore};
use chrono::{DateTime, Utc};
use futures_executor::block_on;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// A serialized model, and rows to predict.
struct Original {
    payload: Vec<u8>,
    sealed: Vec<u8>,
    rows: Vec<Arc<FeatureRow>>,
}

static ORIGINAL: LazyLock<Original> = LazyLock::new(|| {
    let (builder, now) = small::world();
    let data = builder.rows(Target::Success, now, 10_000);
    let payload = small::model(&data).to_bytes().unwrap();
    let rows = data.examples.iter().step_by(60).map(|e| Arc::clone(&e.features)).collect();
    Original { sealed: envelope::seal("success", &payload).unwrap(), payload, rows }
});

fn open(bytes: &[u8]) -> crate::Result<SuccessModel> {
    open_artefact(&SuccessTrainer::default(), bytes)
}

fn predictions(model: &SuccessModel) -> Vec<String> {
    ORIGINAL.rows.iter().map(|row| format!("{:?} {:?}", model.predict(row), model.reasons(row))).collect()
}

/// Numbers that have broken readers before.
const EDGES: [[u8; 8]; 10] = [
    f64::NAN.to_le_bytes(),
    f64::INFINITY.to_le_bytes(),
    f64::NEG_INFINITY.to_le_bytes(),
    f64::MAX.to_le_bytes(),
    f64::MIN_POSITIVE.to_le_bytes(),
    [0xFF; 8],
    [0; 8],
    (1_u64 << 62).to_be_bytes(),
    [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0],
    [0x7F; 8],
];

fn mutated(bytes: &[u8], rng: &mut Pcg64Mcg) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let length = bytes.len().max(1);
        let (a, b) = (rng.random_range(0..length), rng.random_range(0..length));
        let run = rng.random_range(1..=16_usize).min(bytes.len().saturating_sub(a));
        match rng.random_range(0..8_u8) {
            0 => bytes.truncate(a),
            1 => bytes.extend((0..rng.random_range(1..64)).map(|_| rng.next_u32() as u8)),
            2 => bytes[a..a + run].fill(0),
            3 => drop(bytes.drain(a..a + run)),
            4 => {
                let piece = bytes[a..a + run].to_vec();
                bytes.splice(b..b, piece);
            }
            5 => {
                let edge = EDGES[rng.random_range(0..EDGES.len())];
                let width = run.min(edge.len());
                // High bytes change floats most, low bytes counts.
                let edge = if rng.random_bool(0.5) { &edge[..width] } else { &edge[8 - width..] };
                bytes[a..a + width].copy_from_slice(edge);
            }
            6 if run > 0 => bytes[a] = rng.next_u32() as u8,
            _ if run > 0 => bytes[a] ^= 1 << rng.random_range(0..8_u8),
            _ => {}
        }
    }
    bytes
}

/// Returns the peak memory of this process in bytes, where the system reports it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
}

#[test]
fn a_sealed_model_predicts_the_same() {
    let model = open(&ORIGINAL.sealed).unwrap();
    assert_eq!(model.to_bytes().unwrap(), ORIGINAL.payload);
    assert_eq!(predictions(&model), predictions(&model.clone()));
    assert!(ORIGINAL.rows.len() > 5 && ORIGINAL.payload.len() < 64 << 10, "{}", ORIGINAL.payload.len());
}

#[test]
fn damage_is_found() {
    let expected = predictions(&open(&ORIGINAL.sealed).unwrap());
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    for i in 0..100_000 {
        let bytes = mutated(&ORIGINAL.sealed, &mut rng);
        match open(&bytes) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{i}: {error}");
                assert!(format!("{error:#}").contains("damaged"), "{i}: {error}");
            }
            Ok(model) => {
                assert_eq!(bytes, ORIGINAL.sealed, "{i}: damage went unnoticed");
                assert_eq!(predictions(&model), expected, "{i}");
            }
        }
    }
    for cut in 0..ORIGINAL.sealed.len().min(2000) {
        assert_eq!(open(&ORIGINAL.sealed[..cut]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn another_kind_or_size_is_rejected() {
    let other = envelope::seal("quality", &ORIGINAL.payload).unwrap();
    assert_eq!(open(&other).unwrap_err().kind(), ErrorKind::Incompatible);
    let huge = vec![0; (256 << 20) + 1000];
    assert_eq!(open(&huge).unwrap_err().kind(), ErrorKind::Corrupt);
    for payload in [&[][..], &[0], &[0xFF; 100], &[0; 10_000]] {
        let error = open(&envelope::seal("success", payload).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

/// A writer of the registry can seal anything: still no panic, no hang, bounded memory, and every prediction is a
/// probability.
#[test]
fn forged_models_are_rejected_or_predict_soundly() {
    LazyLock::force(&ORIGINAL);
    let before = peak();
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (mut opened, mut slowest) = (0, Duration::ZERO);
    for i in 0..30_000 {
        let sealed = if i % 2 == 0 {
            envelope::seal("success", &mutated(&ORIGINAL.payload, &mut rng)).unwrap()
        } else {
            sealed_with(&|m| m.new_task.trees = mutated(&m.new_task.trees, &mut rng.clone()))
        };
        rng.next_u64();
        let started = Instant::now();
        match open(&sealed) {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible), "{error}");
            }
            Ok(model) => {
                opened += 1;
                ORIGINAL.rows.iter().take(4).for_each(|row| sound(i, &model, row));
            }
        }
        slowest = slowest.max(started.elapsed());
    }
    println!("{opened} of 30,000 forged models opened, the slowest took {slowest:?}");
    assert!(opened > 1000, "{opened}: too few forgeries open to test anything");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after - before < 512 << 20, "{} MB of address space", (after - before) >> 20);
    }
}

fn sound(i: usize, model: &SuccessModel, row: &FeatureRow) {
    let found = model.predict(row);
    let (p, (low, high)) = (found.success_probability, found.interval);
    assert!((0.0..=1.0).contains(&p), "{i}: probability {p}");
    assert!(0.0 <= low && low <= p && p <= high && high <= 1.0, "{i}: {low} {p} {high}");
    assert!((0.0..=1.0).contains(&found.confidence), "{i}: confidence {}", found.confidence);
    assert!(
        model.reasons(row).iter().all(|r| r.contribution.is_finite()),
        "{i}: an attribution that is not finite"
    );
}

/// Layout of the payload.
#[derive(Clone, Serialize, Deserialize)]
struct Layout {
    new_task: PartLayout,
    seen_task: Option<PartLayout>,
    schema: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct PartLayout {
    regime: u32,
    places: Vec<usize>,
    means: Vec<f64>,
    scales: Vec<f64>,
    idf: Vec<(u32, f32)>,
    intercept: f64,
    dense: Vec<f64>,
    sparse: Vec<(u32, f32)>,
    trees: Vec<u8>,
    tree_places: Vec<usize>,
    blend: f64,
    wording: f64,
    /// Always none here: forged abilities are in `item_response.rs`.
    ability: Option<()>,
    share: f64,
    /// Kind of calibration: temperature scaling, with only a slope.
    calibration: u32,
    slope: f64,
    predicted: Vec<f32>,
    successes: Vec<u32>,
    weight: f64,
    venn_abers: Option<Vec<(f64, f64, f64)>>,
}

fn layout() -> Layout {
    static LAYOUT: LazyLock<Layout> = LazyLock::new(|| postcard::from_bytes(&ORIGINAL.payload).unwrap());
    LAYOUT.clone()
}

fn sealed_with(change: &dyn Fn(&mut Layout)) -> Vec<u8> {
    let mut layout = layout();
    change(&mut layout);
    envelope::seal("success", &postcard::to_stdvec(&layout).unwrap()).unwrap()
}

fn alternate<'a>(weights: impl Iterator<Item = &'a mut f64>, v: f64) {
    weights.enumerate().for_each(|(i, w)| *w = if i % 2 == 0 { v } else { -v });
}

/// Forgeries by the layout: each number at its most harmful value.
#[test]
fn forged_numbers_are_rejected_or_harmless() {
    assert_eq!(postcard::to_stdvec(&layout()).unwrap(), ORIGINAL.payload);
    let numbers = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        -1e300,
        1e30,
        -1e30,
        1e-30,
        3e38,
        1e-300,
        0.0,
        -0.0,
        -1.0,
    ];
    for (i, v) in numbers.into_iter().enumerate() {
        let w = v as f32;
        let changes: [&dyn Fn(&mut Layout); 20] = [
            &|m| m.new_task.weight = v,
            &|m| m.new_task.slope = v,
            &|m| m.new_task.predicted.fill(w),
            &|m| m.new_task.means.fill(v),
            &|m| m.new_task.scales.fill(v),
            &|m| m.new_task.idf.iter_mut().for_each(|(_, idf)| *idf = w),
            &|m| m.new_task.idf[0].1 = w,
            &|m| m.new_task.intercept = v,
            &|m| alternate(m.new_task.dense.iter_mut(), v),
            &|m| m.new_task.sparse.iter_mut().for_each(|(i, s)| *s = if *i % 2 == 0 { w } else { -w }),
            &|m| m.new_task.blend = v,
            &|m| m.new_task.wording = v,
            &|m| m.seen_task.as_mut().unwrap().dense.fill(v),
            &|m| (m.new_task.predicted, m.new_task.successes) = (vec![], vec![]),
            &|m| (m.new_task.predicted, m.new_task.successes) = (vec![w], vec![1]),
            &|m| (m.new_task.intercept, m.new_task.slope) = (v, 10.0),
            &|m| (m.new_task.wording, m.new_task.blend) = (v, 1.0),
            &|m| m.new_task.share = v,
            &|m| m.new_task.venn_abers = Some(vec![(v, v, v)]),
            &|m| m.new_task.venn_abers.iter_mut().flatten().for_each(|group| group.1 = v),
        ];
        for (k, change) in changes.iter().enumerate() {
            if let Ok(model) = open(&sealed_with(*change)) {
                ORIGINAL.rows.iter().for_each(|row| sound(1000 * i + k, &model, row));
            }
        }
    }
}

#[test]
fn forged_shapes_are_rejected_or_harmless() {
    let rejected: [&dyn Fn(&mut Layout); 16] = [
        &|m| m.new_task.successes.clear(),
        &|m| m.new_task.predicted.truncate(3),
        &|m| m.new_task.successes[0] = 2,
        &|m| m.new_task.successes.iter_mut().enumerate().for_each(|(i, s)| *s = if i > 20 { 40 } else { 0 }),
        &|m| m.new_task.predicted.reverse(),
        &|m| m.new_task.places[0] = usize::MAX,
        &|m| m.new_task.places.truncate(1),
        &|m| m.new_task.scales.truncate(1),
        &|m| m.new_task.dense.truncate(1),
        &|m| m.new_task.tree_places[0] = 1 << 40,
        &|m| m.new_task.tree_places.push(0),
        &|m| m.new_task.idf.push((u32::MAX, 1.0)),
        &|m| m.new_task.sparse.push((u32::MAX, 1.0)),
        &|m| m.new_task.regime = 9,
        &|m| m.new_task.idf.reverse(),
        &|m| m.new_task.venn_abers.iter_mut().for_each(|groups| groups.reverse()),
    ];
    for (i, change) in rejected.iter().enumerate() {
        assert_eq!(open(&sealed_with(*change)).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt, "{i}");
    }
    let harmless: [&dyn Fn(&mut Layout); 5] = [
        &|m| m.seen_task = None,
        &|m| m.new_task.regime = 1,
        &|m| m.new_task.sparse = vec![(0, 1.0); 200_000],
        &|m| m.new_task.venn_abers = None,
        &|m| m.new_task.tree_places.reverse(),
    ];
    for (i, change) in harmless.iter().enumerate() {
        let model = open(&sealed_with(*change)).unwrap();
        ORIGINAL.rows.iter().for_each(|row| sound(i, &model, row));
    }
}

/// A forged checkpoint of the history is discarded or harmless.
#[test]
fn forged_checkpoints_do_not_prevent_opening() {
    block_on(async {
        let store = MemoryStore::new();
        let events = small::events(4, 20.0, 3);
        let records: Vec<_> = events.iter().flat_map(|e| e.clone().into_records().unwrap()).collect();
        store.append(records.clone()).await.unwrap();
        SharedHistory::open(&store).await.unwrap().checkpoint(&store).await.unwrap();
        let sealed = store.checkpoint("history").await.unwrap().unwrap();
        let payload = envelope::open(&sealed, "history-5", 1 << 30).unwrap().to_vec();
        let task = &events[0].started.value.context;
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let mut forgeries: Vec<_> = (0..4000).map(|_| mutated(&payload, &mut rng)).collect();
        let other_order =
            Position { cursor: Some(Cursor::Known(1, "e".into(), 0, String::new())), erasures: 0 };
        let behind = Position { cursor: Some(Cursor::Arrival(-7)), erasures: 0 };
        for position in [other_order, behind] {
            forgeries
                .push(postcard::to_stdvec(&(position, Vec::<u8>::new(), SimilarTasks::default())).unwrap());
        }
        for forged in forgeries {
            let bytes = envelope::seal("history-5", &forged).unwrap();
            store.put_checkpoint("history", Some(bytes)).await.unwrap();
            let history = SharedHistory::open(&store).await.unwrap();
            history.apply(&records);
            for now in [DateTime::UNIX_EPOCH, events[9].started.known_at, DateTime::<Utc>::MAX_UTC] {
                let row = FeatureEngineer::default().row(task, &history.view(task, now));
                assert!(row.values.iter().all(|v| !v.is_infinite()));
            }
        }
    });
}

#[derive(Serialize)]
struct Position {
    cursor: Option<Cursor>,
    erasures: u64,
}
