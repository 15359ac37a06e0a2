//! The whole loop: an orchestrator predicts before each generation and records it, trains every night at
//! 02:00, promotes through the gate, rolls back a model that fails its post-deployment check, and renders
//! the dashboard.
//!
//! ```sh
//! cargo run --release --example continuous_learning                      # 60 simulated days
//! cargo run --release --example continuous_learning -- EVENTS.jsonl[.gz] # recorded events
//! ```

#[path = "../common/out.rs"]
#[macro_use]
mod out;
#[path = "../common/interrupt.rs"]
mod interrupt;

#[path = "../common/mod.rs"]
mod common;
mod data_fault;
mod moments;
mod numbers;
mod report;

use anyhow::Context;
use chrono::{DateTime, Datelike, Utc, Weekday};
use clap::Parser;
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::{EventId, TaskContext};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::models::{QualityTrainer, SuccessTrainer, TimeTrainer};
use devmatrix_ml::monitoring::{
    AlertRule, Alerts, HostFacts, ModelFacts, MonitorOptions, SharedMonitor, dashboard,
};
use devmatrix_ml::registry::DiskRegistry;
use devmatrix_ml::serving::{PredictionService, Predictions};
use devmatrix_ml::store::{Durability, EventStore, SqliteOptions, SqliteStore};
use devmatrix_ml::training::{
    Gate, NightlyReport, ReplayCache, Training, TrainingOptions, TrainingReport, TrainingSchedule,
    TrainingSignals,
};
use devmatrix_ml::{ErrorKind, Result};
use moments::{Moment, What};
use numbers::Numbers;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Records, predicts, trains and promotes over simulated days or recorded events.
#[derive(Parser)]
struct Args {
    /// Events in JSON Lines, optionally gzipped; without it, a simulation
    events: Option<PathBuf>,
    /// Days to simulate
    #[arg(long, default_value_t = 60)]
    days: u32,
    /// Seed of the simulation
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Write the events to this JSON Lines file, for the backtest
    #[arg(long)]
    write_events: Option<PathBuf>,
    /// Keep events.db and the models in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Write the dashboard to this HTML file; by default to the folder for temporary files
    #[arg(long)]
    dashboard: Option<PathBuf>,
    /// Skip lines that cannot be read
    #[arg(long)]
    skip_bad: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Args::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let timer = Instant::now();
    let moments = match &args.events {
        Some(path) => moments::of_events(common::read_events(path, args.skip_bad)?.events)?,
        None => moments::simulated(args.days, args.seed)?,
    };
    if let Some(path) = &args.write_events {
        moments::write_events(&moments, path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let temporary = std::env::temp_dir().join(format!("devmatrix-ml-{}", std::process::id()));
    let folder = args.keep.clone().unwrap_or_else(|| temporary.clone());
    interrupt::removes(temporary.clone())?;
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    let mut host = Host::open(&folder, moments.first().map(|m| m.at).context("there are no events")?).await?;
    host.replay(moments).await?;
    host.report.print(args.events.is_none());
    host.numbers.print();
    let page = args.dashboard.unwrap_or_else(|| std::env::temp_dir().join("devmatrix-ml-dashboard.html"));
    std::fs::write(&page, host.dashboard().await?)
        .with_context(|| format!("{}: cannot be written", page.display()))?;
    if args.events.is_none() {
        data_fault::show(args.seed).await?;
    }
    println!("dashboard: {}", page.display());
    println!("took {:.1} s", timer.elapsed().as_secs_f64());
    if args.keep.is_none() {
        std::fs::remove_dir_all(&temporary)?;
    }
    Ok(())
}

/// An orchestrator and the parts of this crate that it uses.
struct Host {
    clock: ManualClock,
    last_start: DateTime<Utc>,
    store: Arc<dyn EventStore>,
    registry: DiskRegistry,
    collector: DataCollector,
    replay: ReplayCache,
    predictions: PredictionService,
    report: Report,
    numbers: Numbers,
}

impl Host {
    async fn open(folder: &std::path::Path, now: DateTime<Utc>) -> Result<Self> {
        let clock = ManualClock::at(now);
        // Virtual time runs thousands of times faster than a disk syncs: a real host keeps FULL.
        let mut options = SqliteOptions::default();
        options.durability = Durability::Normal;
        let store: Arc<dyn EventStore> = Arc::new(SqliteStore::open_with(folder.join("events.db"), options)?);
        let time = Arc::new(clock.clone());
        let collector = DataCollector::open(store.clone(), FeatureEngineer::default(), time.clone()).await?;
        let predictions = PredictionService::new(collector.history(), FeatureEngineer::default(), time);
        let registry = DiskRegistry::open(folder.join("models"))?.with_clock(Arc::new(clock.clone()));
        let report = Report::new(now);
        let (last_start, replay, numbers) = (now, ReplayCache::default(), Numbers::default());
        Ok(Self { clock, last_start, store, registry, collector, replay, predictions, report, numbers })
    }

    /// Replays the moments, with a training cycle each night at 02:00.
    async fn replay(&mut self, moments: Vec<Moment>) -> Result<()> {
        let schedule = TrainingSchedule::default();
        let mut next_cycle = schedule.next(moments[0].at);
        let last_week = moments.last().map_or(0, |moment| self.report.week_of(moment.at));
        let mut week = 0;
        for moment in moments {
            while week < self.report.week_of(moment.at) {
                self.report.print_progress(week, last_week);
                week += 1;
            }
            while moment.at >= next_cycle {
                self.clock.set(next_cycle);
                self.learn(&schedule, next_cycle).await?;
                next_cycle = schedule.next(next_cycle);
            }
            self.clock.set(moment.at);
            self.record(moment).await?;
        }
        self.report.print_progress(week, last_week);
        println!();
        self.collector.flush().await.map(drop)
    }

    /// Predicts before a generation starts, and records its start, its end and its feedback.
    async fn record(&mut self, moment: Moment) -> Result<()> {
        match moment.what {
            What::Start(mut started) => {
                let predictions =
                    self.predict(&moment.id, &started.context, moment.at, moment.probability)?;
                started.predictions = predictions.shown();
                self.last_start = moment.at;
                self.collector.start_as(moment.id, *started).await?;
            }
            What::Complete(completion) => {
                self.report.outcome(&moment.id, completion.success);
                self.numbers.took(&moment.id, completion.generation_time_seconds);
                self.collector.complete(&moment.id, *completion).await?;
            }
            What::Feedback(feedback) => {
                self.report.outcome(&moment.id, Some(feedback.succeeded()));
                self.numbers.scored(&moment.id, feedback.final_quality_score);
                self.collector.feedback(&moment.id, *feedback).await?;
            }
        }
        Ok(())
    }

    fn predict(
        &mut self,
        id: &EventId,
        task: &TaskContext,
        now: DateTime<Utc>,
        probability: Option<f64>,
    ) -> Result<Predictions> {
        let predictions = self.predictions.predict_all(task)?;
        self.report.predicted(id, now, &predictions.success, probability);
        self.numbers.predicted(id, &predictions);
        Ok(predictions)
    }

    /// Renders the dashboard as of the last start; after it there was only feedback.
    async fn dashboard(&self) -> Result<String> {
        let monitor = SharedMonitor::open(self.store.as_ref(), MonitorOptions::default()).await?;
        let models = ModelFacts::read(&self.registry).await?;
        let mut seen = monitor.analytics(self.last_start, &models);
        let mut alerts = Alerts::new(AlertRule::defaults(), Arc::new(ManualClock::at(self.last_start)), [])?;
        alerts.check(&mut seen, &HostFacts::default());
        Ok(dashboard::render(&seen, &[]))
    }

    /// Trains success each night, the regression models on Sundays.
    async fn train(&self, training: &Training<'_>, now: DateTime<Utc>) -> Result<NightlyReport> {
        let night = training.nightly(&SuccessTrainer::default()).await?;
        if now.weekday() == Weekday::Sun {
            too_little(training.run(&TimeTrainer::default()).await)?;
            too_little(training.run(&QualityTrainer::default()).await)?;
        }
        Ok(night)
    }

    /// Runs a training cycle where one is due and no other host has claimed it, and serves what was promoted.
    async fn learn(&mut self, schedule: &TrainingSchedule, now: DateTime<Utc>) -> Result<()> {
        let (store, registry) = (self.store.as_ref(), &self.registry);
        let (mut options, engineer) = (TrainingOptions::default(), FeatureEngineer::default());
        options.gate = Gate::refreshing();
        let training = Training::new(store, registry, &engineer, &self.clock);
        let training = training.with_options(options).with_replay(&self.replay);
        let claim = schedule.claim(&training, "success", TrainingSignals::default()).await?;
        let Some(claim) = claim else { return Ok(()) };
        let training = training.with_claim(&claim);
        let night = self.train(&training, now).await;
        claim.conclude(&night).await?;
        self.report.night(now, night?)?;
        self.predictions.reload(&self.registry).await?;
        self.collector.checkpoint().await
    }
}

/// Passes over too little data: that is no error here.
fn too_little(trained: Result<TrainingReport>) -> Result<()> {
    match trained {
        Err(e) if !matches!(e.kind(), ErrorKind::NotEnoughData { .. }) => Err(e),
        _ => Ok(()),
    }
}
