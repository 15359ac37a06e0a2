//! Simulated weeks that end now: predicted, recorded and learned from as a host does.

use chrono::{DateTime, TimeDelta, Utc};
use devmatrix_ml::Result;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::collect::DataCollector;
use devmatrix_ml::event::Fact;
use devmatrix_ml::features::FeatureEngineer;
use devmatrix_ml::registry::ModelRegistry;
use devmatrix_ml::serving::PredictionService;
use devmatrix_ml::simulate::{Simulator, SimulatorOptions};
use devmatrix_ml::store::EventStore;
use devmatrix_ml::training::{Gate, TrainingOptions, train_all};
use std::sync::Arc;

/// Lives through `days` days before `now`, with a training of all models at the end of every week.
pub(crate) async fn fill(
    store: Arc<dyn EventStore>,
    registry: &dyn ModelRegistry,
    now: DateTime<Utc>,
    days: u32,
    per_day: f64,
) -> Result<()> {
    let mut options = SimulatorOptions::default();
    (options.start, options.days, options.per_day) = (now - TimeDelta::days(i64::from(days)), days, per_day);
    let mut records = Vec::new();
    for generation in Simulator::new(options)? {
        records.extend(generation.into_event().into_records()?);
    }
    records.sort_by_cached_key(|record| (record.known_at(), record.key()));
    let clock = ManualClock::at(now - TimeDelta::days(i64::from(days)));
    let (time, engineer) = (Arc::new(clock.clone()), FeatureEngineer::default());
    let collector = DataCollector::open(store.clone(), engineer.clone(), time.clone()).await?;
    let predictions = PredictionService::new(collector.history(), engineer.clone(), time);
    let mut options = TrainingOptions::default();
    options.gate = Gate::refreshing();
    let mut learns = clock.now() + TimeDelta::weeks(1);
    for record in records {
        let (id, at, fact) = record.into_parts();
        if at >= now {
            break;
        }
        if at >= learns {
            clock.set(learns);
            train_all(store.as_ref(), registry, &engineer, &clock, &options).await?;
            predictions.reload(registry).await?;
            learns += TimeDelta::weeks(1);
        }
        clock.set(at);
        match fact {
            Fact::Started(mut started) => {
                started.predictions = predictions.predict_all_only(&started.context)?.shown();
                collector.start_as(id, *started).await?;
            }
            Fact::Completed(completion) => collector.complete(&id, *completion).await?,
            Fact::Feedback(feedback) => collector.feedback(&id, *feedback).await?,
        }
    }
    collector.flush().await?;
    collector.checkpoint().await
}
