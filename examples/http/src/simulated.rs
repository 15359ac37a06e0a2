//! Simulated weeks that end now: predicted, recorded and trained on as a host does.

use crate::service::Host;
use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::collect::{CollectorOptions, DataCollector};
use devmatrix_ml::event::{Fact, Record};
use devmatrix_ml::execution::{ExecutionContext, check};
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::registry::ModelRegistry;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::EventStore;
use devmatrix_ml::training::{Gate, Training, TrainingOptions};
use devmatrix_ml::{ErrorKind, Result};
use std::sync::Arc;

/// Starts to record and learn from `days` simulated days with `per_day` generations each, on a background
/// thread. Until it is done `host` reports that it is learning, gives cold-start predictions and starts no other
/// training; stopping the service cancels it.
pub fn learn_beside(host: &Arc<Host>, days: u32, per_day: f64) {
    let Some(learning) = host.begin_learning() else { return };
    let (host, runtime) = (Arc::clone(host), tokio::runtime::Handle::current());
    tokio::task::spawn_blocking(move || {
        let lived = runtime.block_on(async {
            let execution = host.execution()?;
            fill(host.store.clone(), host.registry.as_ref(), Utc::now(), days, per_day, execution).await?;
            host.catch_up().await
        });
        match lived {
            Ok(()) => println!("learned from the simulated weeks"),
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) => eprintln!("learning from the simulated weeks failed: {error:#}"),
        }
        drop(learning);
    });
}

/// Records `days` simulated days before `now`, with a training of all models at the end of every week.
///
/// # Errors
/// `Cancelled` by `execution`; those of the store and the registry.
pub async fn fill(
    store: Arc<dyn EventStore>,
    registry: &dyn ModelRegistry,
    now: DateTime<Utc>,
    days: u32,
    per_day: f64,
    execution: ExecutionContext,
) -> Result<()> {
    let start = now - TimeDelta::days(i64::from(days));
    let clock = ManualClock::at(start);
    let (time, engineer) = (Arc::new(clock.clone()), FeatureEngineer::default());
    // Its clock is meant to be in the past, whatever clients have recorded meanwhile.
    let mut options = CollectorOptions::default();
    options.clock_tolerance = TimeDelta::days(36_500);
    let collector = DataCollector::open_with(store.clone(), engineer.clone(), time.clone(), options).await?;
    let predictions =
        PredictionService::new(collector.history(), engineer.clone(), time).without_explanations();
    let mut options = TrainingOptions::default();
    options.gate = Gate::refreshing();
    let mut learns = start + TimeDelta::weeks(1);
    for record in records(start, days, per_day)? {
        execution.run(check)?;
        let (id, at, fact) = record.into_parts();
        if at >= now {
            break;
        }
        if at >= learns {
            clock.set(learns);
            let training = Training::new(store.as_ref(), registry, &engineer, &clock);
            training.with_options(options.clone()).with_execution(execution.clone()).run_all().await?;
            predictions.reload(registry).await?;
            learns += TimeDelta::weeks(1);
        }
        clock.set(at);
        match fact {
            Fact::Started(mut started) => {
                started.predictions = predictions.predict_all(&started.context)?.shown();
                collector.start_as(id, *started).await?;
            }
            Fact::Completed(completion) => collector.complete(&id, *completion).await?,
            Fact::Feedback(feedback) => collector.feedback(&id, *feedback).await?,
        }
    }
    collector.flush().await?;
    collector.checkpoint().await
}

/// Returns the facts of the simulated days, in the order in which they became known.
fn records(start: DateTime<Utc>, days: u32, per_day: f64) -> Result<Vec<Record>> {
    let mut options = SimulatorOptions::default();
    (options.start, options.days, options.per_day) = (start, days, per_day);
    let mut records = Vec::new();
    for generation in Simulator::new(options)? {
        records.extend(generation.into_event().into_records()?);
    }
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    Ok(records)
}
