//! Damaged and forged artefacts: an error, or a model that answers soundly.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use common::small;
use devmatrix_ml::ErrorKind;
use devmatrix_ml::features::FeatureRow;
use devmatrix_ml::models::{Predictor, SuccessModel, SuccessTrainer};
use devmatrix_ml::registry::envelope;
use devmatrix_ml::train::open_artefact;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// A model as it is written, and rows to ask it about.
struct Original {
    payload: Vec<u8>,
    sealed: Vec<u8>,
    rows: Vec<Arc<FeatureRow>>,
}

static ORIGINAL: LazyLock<Original> = LazyLock::new(|| {
    let (builder, now) = small::world();
    let data = builder.success_rows(now, 10_000);
    let payload = small::model(&data).to_bytes().unwrap();
    let rows = data.examples.iter().step_by(60).map(|e| Arc::clone(&e.features)).collect();
    Original { sealed: envelope::seal("success", &payload).unwrap(), payload, rows }
});

fn open(bytes: &[u8]) -> devmatrix_ml::Result<SuccessModel> {
    open_artefact(&SuccessTrainer::default(), bytes)
}

fn answers(model: &SuccessModel) -> Vec<String> {
    ORIGINAL.rows.iter().map(|row| format!("{:?} {:?}", model.predict(row), model.reasons(row))).collect()
}

/// Numbers that readers have tripped over.
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
                // The high bytes make a float what it is, the low ones a count.
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

/// The most memory that this process ever had, in bytes, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
}

#[test]
fn what_was_sealed_answers_the_same() {
    let model = open(&ORIGINAL.sealed).unwrap();
    assert_eq!(model.to_bytes().unwrap(), ORIGINAL.payload);
    assert_eq!(answers(&model), answers(&model.clone()));
    assert!(ORIGINAL.rows.len() > 5 && ORIGINAL.payload.len() < 64 << 10, "{}", ORIGINAL.payload.len());
}

#[test]
fn damage_is_found() {
    let expected = answers(&open(&ORIGINAL.sealed).unwrap());
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    for i in 0..100_000 {
        let bytes = mutated(&ORIGINAL.sealed, &mut rng);
        match open(&bytes) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{i}: {error}");
                assert!(error.to_string().contains("damaged"), "{i}: {error}");
            }
            Ok(model) => {
                assert_eq!(bytes, ORIGINAL.sealed, "{i}: damage went unnoticed");
                assert_eq!(answers(&model), expected, "{i}");
            }
        }
    }
    for cut in 0..ORIGINAL.sealed.len().min(2000) {
        assert_eq!(open(&ORIGINAL.sealed[..cut]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn another_kind_or_size_is_refused() {
    let other = envelope::seal("quality", &ORIGINAL.payload).unwrap();
    assert_eq!(open(&other).unwrap_err().kind(), ErrorKind::Incompatible);
    let huge = vec![0; (256 << 20) + 1000];
    assert_eq!(open(&huge).unwrap_err().kind(), ErrorKind::Corrupt);
    for payload in [&[][..], &[0], &[0xFF; 100], &[0; 10_000]] {
        let error = open(&envelope::seal("success", payload).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

/// Whoever can write the registry can seal anything: still no panic, no hang, no flood of memory,
/// and every answer is a probability.
#[test]
fn forged_models_answer_soundly_or_not_at_all() {
    LazyLock::force(&ORIGINAL);
    let before = peak();
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (mut opened, mut slowest) = (0, Duration::ZERO);
    for i in 0..20_000 {
        let sealed = envelope::seal("success", &mutated(&ORIGINAL.payload, &mut rng)).unwrap();
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
    println!("{opened} of 20,000 forged models opened, the slowest took {slowest:?}");
    assert!(opened > 1000, "{opened}: the forgeries are too crude to prove anything");
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
    assert!(model.reasons(row).iter().all(|r| r.contribution.is_finite()), "{i}: a reason without a number");
}
