//! Learning to rank: fits a ranker to a file and scores it on another, or by cross-validation over groups.
//!
//! ```sh
//! cargo run --release --example rank -- TRAIN [--test TEST] [--params JSON] [--scores OUT]
//! ```
//!
//! Files are in SVMlight format (`RELEVANCE FEATURE:VALUE …`), each with a file `….query` of group sizes.

#[path = "common/out.rs"]
#[macro_use]
mod out;

use anyhow::{Context, ensure};
use clap::Parser;
use devmatrix_ml::ml::metrics::RankingScores;
use devmatrix_ml::ml::{BoostParams, FitRequest, Matrix, Objective, Sample, Trees};
use std::fs::read_to_string;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Fits and scores a ranker.
#[derive(Parser)]
struct Args {
    /// Training set
    train: PathBuf,
    /// Test set; without it, cross-validation
    #[arg(long)]
    test: Option<PathBuf>,
    /// Folds of the cross-validation; groups are assigned in turn
    #[arg(long, default_value_t = 5)]
    folds: usize,
    /// Changes to `BoostParams::ranking()`, in JSON
    #[arg(long, default_value = "{}")]
    params: String,
    /// Truncation level of LambdaRank
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Write the scores of the test rows to this file, one per line
    #[arg(long)]
    scores: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let params = with_changes(&args.params)?;
    let mut train = Rows::read(&args.train)?;
    let mut test = args.test.as_deref().map(Rows::read).transpose()?;
    let width = train.width.max(test.as_ref().map_or(0, |t| t.width));
    train.fill(width);
    let Some(test) = &mut test else {
        let scores = train.cross_validated(&params, &args)?;
        println!("{}", serde_json::to_string(&scores)?);
        return Ok(());
    };
    test.fill(width);
    let margins = fit(&params, args.top, &train)?.margins(test)?;
    let scores = RankingScores::of(&margins, &test.labels, &test.groups)?;
    println!("{}", serde_json::to_string(&scores)?);
    if let Some(path) = args.scores {
        std::fs::write(path, margins.iter().map(|m| format!("{m}\n")).collect::<String>())?;
    }
    Ok(())
}

fn with_changes(changes: &str) -> anyhow::Result<BoostParams> {
    let mut all = serde_json::to_value(BoostParams::ranking())?;
    for (name, value) in serde_json::from_str::<serde_json::Map<_, _>>(changes)? {
        ensure!(all.get(&name).is_some(), "there is no parameter {name}");
        all[name] = value;
    }
    Ok(serde_json::from_value(all)?)
}

fn fit(params: &BoostParams, top: usize, rows: &Rows) -> anyhow::Result<Ranker> {
    let sample = Sample::new(rows.matrix(), &rows.labels).grouped(&rows.groups);
    Ok(Ranker(Trees::fit(params, &FitRequest::new(Objective::LambdaRank { top }, sample))?))
}

struct Ranker(Trees);

impl Ranker {
    fn margins(&self, rows: &Rows) -> devmatrix_ml::Result<Vec<f64>> {
        rows.values.chunks(rows.width).map(|row| self.0.margin(row)).collect()
    }
}

#[derive(Default)]
struct Rows {
    sparse: Vec<Vec<(usize, f32)>>,
    values: Vec<f32>,
    width: usize,
    labels: Vec<f64>,
    groups: Vec<usize>,
}

impl Rows {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut rows = Self::default();
        for line in read_to_string(path).with_context(|| format!("{}", path.display()))?.lines() {
            let mut words = line.split_whitespace();
            rows.labels.push(words.next().context("an empty line")?.parse()?);
            let pair = |word: &str| -> anyhow::Result<(usize, f32)> {
                let (feature, value) = word.split_once(':').with_context(|| format!("{word}: no pair"))?;
                Ok((feature.parse()?, value.parse()?))
            };
            let row = words.map(pair).collect::<anyhow::Result<Vec<_>>>()?;
            rows.width = row.iter().map(|(f, _)| f + 1).chain([rows.width]).max().unwrap_or(0);
            rows.sparse.push(row);
        }
        let sizes = PathBuf::from(format!("{}.query", path.display()));
        let sizes = read_to_string(&sizes).with_context(|| format!("{}", sizes.display()))?;
        rows.groups = sizes.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Fills the dense rows; features that a sparse row leaves out are 0.
    fn fill(&mut self, width: usize) {
        self.width = width;
        self.values = vec![0.0; width * self.sparse.len()];
        for (row, pairs) in self.values.chunks_mut(width).zip(&self.sparse) {
            pairs.iter().for_each(|(feature, value)| row[*feature] = *value);
        }
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix { values: &self.values, width: self.width }
    }

    fn cross_validated(&self, params: &BoostParams, args: &Args) -> anyhow::Result<RankingScores> {
        let (mut margins, mut labels, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for fold in 0..args.folds {
            let held_out = self.only(|group| group % args.folds == fold);
            let trees = fit(params, args.top, &self.only(|group| group % args.folds != fold))?;
            margins.extend(trees.margins(&held_out)?);
            labels.extend(held_out.labels);
            groups.extend(held_out.groups);
        }
        Ok(RankingScores::of(&margins, &labels, &groups)?)
    }

    fn only(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let mut found = Self { width: self.width, ..Self::default() };
        let mut start = 0;
        for (group, size) in self.groups.iter().enumerate() {
            let rows: Range<usize> = start..start + size;
            start += size;
            if wanted(group) {
                found.values.extend(&self.values[rows.start * self.width..rows.end * self.width]);
                found.labels.extend(&self.labels[rows]);
                found.groups.push(*size);
            }
        }
        found
    }
}
