//! hessboost and LightGBM on the same simulated rows and parameters, for each kind of model. Every fit runs in its
//! own process, to measure its peak memory.
//!
//! ```sh
//! .ci/with_lightgbm cargo bench --features lightgbm --bench engines            # 10,000 and 300,000 rows
//! .ci/with_lightgbm cargo bench --features lightgbm --bench engines -- 10000   # or the given numbers
//! ```
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

use devmatrix_ml::dataset::{DatasetBuilder, Example, Target};
use devmatrix_ml::event::Record;
use devmatrix_ml::features::{FEATURES, FeatureEngineer, KnownWhen};
use devmatrix_ml::ml::metrics::{RankingScores, compare_paired};
use devmatrix_ml::ml::{BoostParams, BoostingLibrary, FitRequest, Matrix, Objective, Sample, Trees};
use devmatrix_ml::simulate::{Generation, Simulator, SimulatorOptions};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Rows per ranking group.
const GROUP: usize = 10;

/// A kind of model: name, loss, objective, parameters and target.
struct Kind {
    name: &'static str,
    loss: &'static str,
    objective: Objective,
    params: fn() -> BoostParams,
    target: Target,
}

/// The objectives and parameters of this crate's own models.
fn kinds() -> [Kind; 5] {
    let numbers = || {
        let mut params = BoostParams::default();
        (params.rounds, params.learning_rate, params.max_leaves) = (70, 0.08, 15);
        (params.l2, params.min_child_weight, params.min_rows, params.colsample) = (1.0, 1.0, 10, 0.8);
        params
    };
    let kind = |name, loss, objective, params, target| Kind { name, loss, objective, params, target };
    [
        kind("binary", "log loss", Objective::Logistic, BoostParams::default, Target::Success),
        kind("mean", "squared error", Objective::SquaredError, numbers, Target::Time),
        kind("median", "absolute error", Objective::AbsoluteError, numbers, Target::Time),
        kind("quantile 0.9", "pinball loss", Objective::Quantile(0.9), numbers, Target::Time),
        kind(
            "order",
            "1 - NDCG@10",
            Objective::LambdaRank { top: 10 },
            BoostParams::ranking,
            Target::Quality,
        ),
    ]
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [fit, engine, kind, folder] = given.as_slice()
        && fit == "fit"
    {
        return one_fit(engine, kind.parse().unwrap(), Path::new(folder));
    }
    let sizes: Vec<usize> = given.iter().map(|n| n.parse().unwrap()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 300_000] } else { sizes };
    println!(
        "| Rows | Model | Loss | hessboost | LightGBM | difference (95 %) | seconds | CPU seconds | MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for rows in sizes {
        let data = simulated(rows);
        for (index, kind) in kinds().iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let table = Table::of(&data, kind, rows);
            table.write(folder.path());
            let [ours, theirs] =
                ["hessboost", "lightgbm"].map(|engine| Fit::of(engine, index, folder.path()));
            table.compare(kind, rows, &ours, &theirs);
        }
    }
}

/// Simulates the training set and a newer test set of a fifth of its size (at least 5,000).
fn simulated(rows: usize) -> [Vec<Example>; 3] {
    let wanted = rows + test_rows(rows);
    let mut options = SimulatorOptions::default();
    // Not all are labelled, and fewer have a quality.
    (options.days, options.per_day) = (365, wanted as f64 / 365.0 * 1.8);
    (options.projects, options.users) = (100, 200);
    let events = Simulator::new(options).unwrap().map(Generation::into_event);
    let mut records: Vec<Record> = events.flat_map(|e| e.into_records().unwrap()).collect();
    records.sort_by_cached_key(|r| (r.known_at(), r.key()));
    let mut builder = DatasetBuilder::new(FeatureEngineer::default());
    records.iter().for_each(|record| builder.apply(record));
    let now = records.last().unwrap().known_at();
    [Target::Success, Target::Time, Target::Quality].map(|target| {
        let all = builder.rows(target, now, usize::MAX).examples;
        let mut certain: Vec<_> = all.into_iter().filter(|e| e.known_at.is_some()).collect();
        assert!(certain.len() >= wanted, "{target}: {} of {wanted}", certain.len());
        certain.split_off(certain.len() - wanted)
    })
}

fn test_rows(rows: usize) -> usize {
    (rows / 5).max(5000)
}

/// Input of a fit: features known before a generation, labels and clusters.
struct Table {
    values: Vec<f32>,
    labels: Vec<f64>,
    clusters: Vec<u64>,
}

impl Table {
    fn of([success, time, quality]: &[Vec<Example>; 3], kind: &Kind, rows: usize) -> Self {
        let examples = match kind.target {
            Target::Success => success,
            Target::Time => time,
            _ => quality,
        };
        assert!(rows.is_multiple_of(GROUP));
        let columns: Vec<_> =
            (0..FEATURES.len()).filter(|f| FEATURES[*f].known == KnownWhen::Before).collect();
        let label = |e: &Example| match kind.objective {
            Objective::LambdaRank { .. } => (e.label / 2.5).floor().clamp(0.0, 4.0),
            _ if kind.target == Target::Time => e.label.ln_1p(),
            _ => e.label,
        };
        Self {
            values: examples.iter().flat_map(|e| columns.iter().map(|f| e.features.values[*f])).collect(),
            labels: examples.iter().map(label).collect(),
            clusters: examples.iter().map(|e| e.project).collect(),
        }
    }

    fn write(&self, folder: &Path) {
        let values: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder.join("values"), values).unwrap();
        let labels: Vec<u8> = self.labels.iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder.join("labels"), labels).unwrap();
    }

    fn compare(&self, kind: &Kind, rows: usize, ours: &Fit, theirs: &Fit) {
        let labels = &self.labels[rows..];
        let losses = |predictions: &[f64]| -> Vec<f64> {
            if matches!(kind.objective, Objective::LambdaRank { .. }) {
                let groups = predictions.chunks_exact(GROUP).zip(labels.chunks_exact(GROUP));
                // Groups in which nothing is relevant have no loss.
                let of = |(s, y): (&[f64], &[f64])| RankingScores::of(s, y, &[GROUP]).ok();
                return groups.filter_map(|group| Some(1.0 - of(group)?.to_map()["ndcg@10"])).collect();
            }
            predictions.iter().zip(labels).map(|(p, y)| loss(kind.objective, *p, *y)).collect()
        };
        let (first, second) = (losses(&ours.predictions), losses(&theirs.predictions));
        let clusters: Vec<u64> = match kind.objective {
            // Groups have rows of many projects.
            Objective::LambdaRank { .. } => (0..first.len() as u64).collect(),
            _ => self.clusters[rows..].to_vec(),
        };
        // Each end is exceeded by chance in one of forty cases.
        let found = compare_paired(&first, &second, &clusters, 0.975, 1).unwrap();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        println!(
            "| {rows} | {} | {} | {:.5} | {:.5} | {:+.5} ({:+.5} to {:+.5}) | {:.2}, {:.2} | {:.2}, {:.2} | {:.0}, {:.0} |",
            kind.name,
            kind.loss,
            mean(&first),
            mean(&second),
            found.difference,
            found.lower,
            found.upper,
            ours.seconds,
            theirs.seconds,
            ours.cpu,
            theirs.cpu,
            ours.megabytes,
            theirs.megabytes
        );
    }
}

fn loss(objective: Objective, prediction: f64, label: f64) -> f64 {
    match objective {
        // The log loss of the log-odds.
        Objective::Logistic => (if label >= 0.5 { -prediction } else { prediction }).exp().ln_1p(),
        Objective::SquaredError => (prediction - label).powi(2),
        Objective::Quantile(level) => {
            (level * (label - prediction)).max((level - 1.0) * (label - prediction))
        }
        _ => (prediction - label).abs(),
    }
}

/// Result of a fit.
struct Fit {
    predictions: Vec<f64>,
    seconds: f64,
    /// CPU seconds of all threads, hardly affected by other load.
    cpu: f64,
    megabytes: f64,
}

impl Fit {
    /// Fits in a child process.
    fn of(engine: &str, kind: usize, folder: &Path) -> Self {
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["fit", engine, &kind.to_string()])
            .arg(folder)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let printed = String::from_utf8(done.stdout).unwrap();
        let numbers: Vec<f64> = printed.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let bytes = fs::read(folder.join("predictions")).unwrap();
        let predictions = bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
        Self { predictions, seconds: numbers[0], cpu: numbers[1], megabytes: numbers[2] }
    }
}

/// Fits, writes the predictions, and prints the seconds and the megabytes beyond the rows.
fn one_fit(engine: &str, kind: usize, folder: &Path) {
    let kind = &kinds()[kind];
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let labels: Vec<f64> =
        read("labels").chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    let values: Vec<f32> =
        read("values").chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let width = values.len() / labels.len();
    let rows = train_rows(labels.len());
    let mut params = (kind.params)();
    params.library =
        if engine == "lightgbm" { BoostingLibrary::Lightgbm } else { BoostingLibrary::Hessboost };
    let groups = vec![GROUP; rows / GROUP];
    let mut sample = Sample::new(Matrix { values: &values[..rows * width], width }, &labels[..rows]);
    if matches!(kind.objective, Objective::LambdaRank { .. }) {
        sample = sample.grouped(&groups);
    }
    // Memory of reading does not count.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_megabytes();
    let (timer, cpu) = (Instant::now(), cpu_seconds());
    let trees = Trees::fit(&params, &FitRequest::new(kind.objective, sample)).unwrap();
    let (seconds, cpu) = (timer.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let megabytes = peak_megabytes() - before;
    let predictions =
        values[rows * width..].chunks(width).flat_map(|row| trees.margin(row).unwrap().to_le_bytes());
    fs::write(folder.join("predictions"), predictions.collect::<Vec<u8>>()).unwrap();
    println!("{seconds} {cpu} {megabytes}");
}

/// Returns the number of training rows among all.
fn train_rows(all: usize) -> usize {
    if all > 30_000 { all / 6 * 5 } else { all - 5000 }
}

/// Returns the CPU time of all threads of this process, in steps of a hundredth.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program ends with the last bracket; user and system time are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Returns the peak memory of this process.
fn peak_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
