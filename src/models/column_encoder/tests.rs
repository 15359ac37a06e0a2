use crate::clock::SystemClock;
use crate::collect::DataCollector;
use crate::dataset::{Dataset, DatasetBuilder, Example, Target};
use crate::error::ErrorKind;
use crate::event::{Completion, EventId, Fact, Record, Started, TaskContext};
use crate::features::{FeatureEngineer, FeatureOptions, FeatureRow, HostColumn, HostColumns};
use crate::history::History;
use crate::models::{Predictor, SuccessModel, SuccessTrainer, TimeTrainer, Trainer};
use crate::store::{EventStore, EventStoreExt, MemoryStore, ScanOrder};
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;

fn columns() -> HostColumns {
    HostColumns::new([
        HostColumn::number("difficulty").range(0.0, 5.0).phrase("the ticket's difficulty is {} of 5"),
        HostColumn::category("team").phrase("the team is {}"),
        HostColumn::flag("has_design").phrase("there is {a|no} design"),
        HostColumn::number("noise"),
    ])
    .unwrap()
}

fn engineer(columns: HostColumns) -> FeatureEngineer {
    FeatureEngineer::new(FeatureOptions::default().with_columns(columns))
}

fn words(rng: &mut impl Rng) -> String {
    (0..8).map(|_| format!("word{}", rng.random_range(0..400))).collect::<Vec<_>>().join(" ")
}

/// A start and an end of each of `tasks` tasks by four agents, whose success depends on the columns alone.
fn records(tasks: usize, seed: u64) -> Vec<Record> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let begin: DateTime<Utc> = "2025-01-01T08:00:00Z".parse().unwrap();
    let mut found = Vec::new();
    for number in 0..tasks {
        let (difficulty, team) = (f64::from(rng.random_range(0..=5)), rng.random_range(0..300_u32));
        let (has_design, noise, text) = (rng.random_bool(0.5), rng.random::<f64>(), words(&mut rng));
        for agent in 0..4 {
            let mut task = TaskContext::of(format!("task-{number}")).unwrap();
            task.task_description.clone_from(&text);
            task.agent_type = Some(format!("agent-{agent}"));
            task.columns = [
                ("difficulty".to_owned(), difficulty.into()),
                ("team".to_owned(), format!("team-{team}").as_str().into()),
                ("has_design".to_owned(), has_design.into()),
                ("noise".to_owned(), noise.into()),
            ]
            .into();
            let log_odds =
                1.2 * (2.5 - difficulty) + if has_design { 0.8 } else { -0.8 } + 0.3 * f64::from(agent);
            let p = 1.0 / (1.0 + (-log_odds).exp());
            let at = begin + TimeDelta::minutes(7 * found.len() as i64);
            let id = EventId::new(format!("{number}-{agent}")).unwrap();
            found.push(Record::new(id.clone(), at, Fact::Started(Box::new(task.into()))).unwrap());
            let mut done = Completion::default();
            done.success = Some(rng.random_bool(p));
            done.generation_time_seconds =
                Some(60.0 * (1.0 + difficulty) * (0.8 + 0.4 * rng.random::<f64>()));
            let end = at + TimeDelta::minutes(3);
            found.push(Record::new(id, end, Fact::Completed(Box::new(done))).unwrap());
        }
    }
    found
}

fn dataset(records: &[Record], columns: HostColumns, target: Target) -> Dataset {
    let mut builder = DatasetBuilder::new(engineer(columns));
    records.iter().for_each(|record| builder.apply(record));
    builder.rows(target, records.last().unwrap().known_at() + TimeDelta::hours(1), 100_000)
}

/// The last fifth of the tasks, none of which was in training, and a dataset of the others.
fn split(data: &Dataset, tasks: usize) -> (Dataset, Vec<Example>) {
    let late = |e: &Example| {
        let number: usize = e.event_id.as_str().split('-').next().unwrap().parse().unwrap();
        number >= tasks * 4 / 5
    };
    (data.filter(|_, e| !late(e)), data.examples.iter().filter(|e| late(e)).cloned().collect())
}

fn log_loss(model: &SuccessModel, rows: &[Example]) -> f64 {
    let loss = |e: &Example| {
        let p = model.point(&e.features).clamp(1e-9, 1.0 - 1e-9);
        -(e.label * p.ln() + (1.0 - e.label) * (1.0 - p).ln())
    };
    rows.iter().map(loss).sum::<f64>() / rows.len() as f64
}

/// First tries of new tasks alone: their own record tells nothing yet.
fn first_tries(rows: Vec<Example>) -> Vec<Example> {
    rows.into_iter().filter(|e| e.event_id.as_str().ends_with("-0")).collect()
}

#[test]
fn columns_that_tell_the_outcome_are_learned_and_said() {
    let (tasks, records) = (400, records(400, 1));
    let (train, test) = split(&dataset(&records, columns(), Target::Success), tasks);
    let (blind, blind_test) = split(&dataset(&records, HostColumns::default(), Target::Success), tasks);
    let (test, blind_test) = (first_tries(test), first_tries(blind_test));
    let fit = |data: &Dataset| SuccessTrainer::default().fit(data).unwrap();
    let (with, without) = (fit(&train), fit(&blind));
    let losses = [log_loss(&with, &test), log_loss(&without, &blind_test)];
    assert!(losses[0] < losses[1] - 0.1, "{losses:?}");
    // It is said in the words of its declaration.
    let row = live_row(&records, &test[0]);
    let said: Vec<_> = with.reasons(&row).into_iter().map(|reason| (reason.feature, reason.text)).collect();
    let difficulty = said.iter().find(|(feature, _)| feature == "difficulty").unwrap();
    assert!(
        difficulty.1.starts_with("the ticket's difficulty is ") && difficulty.1.ends_with(" of 5"),
        "{said:?}"
    );
    let (base, parts, wording) = with.contributions(&row);
    let sum = base + parts.iter().sum::<f64>() + wording;
    assert!((sum - with.margin(&row)).abs() < 1e-4, "{sum} {}", with.margin(&row));
}

/// The row of `example` as it was at its start, made as it is for an answer.
fn live_row(records: &[Record], example: &Example) -> FeatureRow {
    let mut history = History::new();
    for record in records {
        if record.event_id() == &example.event_id {
            let Fact::Started(started) = record.fact() else { unreachable!() };
            let view = history.view(&started.context, record.known_at());
            return engineer(columns()).row(&started.context, &view);
        }
        history.apply(record);
    }
    unreachable!()
}

#[test]
fn a_replayed_row_equals_the_live_one_to_the_bit() {
    let records = records(60, 2);
    let data = dataset(&records, columns(), Target::Success);
    let example = &data.examples[200];
    let live = live_row(&records, example);
    assert_eq!(live.text, example.features.text);
    let bits = |row: &FeatureRow| row.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&live), bits(&example.features));
    assert_eq!(live.own, example.features.own);
    assert_eq!(live.own.values[3].to_bits(), example.features.own.values[3].to_bits());
}

#[test]
fn a_number_of_the_hosts_is_learned_by_the_time_model() {
    let (tasks, records) = (300, records(300, 3));
    let error = |columns: HostColumns| {
        let (train, test) = split(&dataset(&records, columns, Target::Time), tasks);
        let (model, test) = (TimeTrainer::default().fit(&train).unwrap(), first_tries(test));
        test.iter().map(|e| (model.point(&e.features) - e.label).abs()).sum::<f64>() / test.len() as f64
    };
    let (with, without) = (error(columns()), error(HostColumns::default()));
    assert!(with < 0.6 * without, "{with} s beside {without} s");
}

#[test]
fn a_model_is_written_with_its_columns_and_serves_rows_that_lack_them() {
    let records = records(200, 4);
    let data = dataset(&records, columns(), Target::Success);
    let model = SuccessTrainer::default().fit(&data).unwrap();
    let read = SuccessTrainer::default().read(&model.to_bytes().unwrap()).unwrap();
    data.examples
        .iter()
        .step_by(17)
        .for_each(|e| assert_eq!(read.point(&e.features), model.point(&e.features)));
    // Other columns are declared later, in another order: those it knows are found by name.
    let more = [HostColumn::flag("new")].into_iter().chain(columns().iter().rev_owned());
    let later = dataset(&records, HostColumns::new(more).unwrap(), Target::Success);
    assert_eq!(later.schema, data.schema, "a declared column does not shut stored models out");
    for (now, then) in later.examples.iter().zip(&data.examples).step_by(23) {
        assert_eq!(model.point(&now.features), model.point(&then.features));
    }
    // And none at all: an answer without them.
    let none = dataset(&records, HostColumns::default(), Target::Success);
    assert!(none.examples.iter().all(|e| (0.0..=1.0).contains(&model.point(&e.features))));
}

/// The columns in the opposite order.
trait RevOwned {
    fn rev_owned(self) -> std::vec::IntoIter<HostColumn>;
}

impl<'a, I: Iterator<Item = &'a HostColumn>> RevOwned for I {
    fn rev_owned(self) -> std::vec::IntoIter<HostColumn> {
        let mut all: Vec<_> = self.cloned().collect();
        all.reverse();
        all.into_iter()
    }
}

#[test]
fn what_is_not_declared_is_refused_and_nothing_is_kept() {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SystemClock);
    let collector = block_on(DataCollector::open(store.clone(), engineer(columns()), clock)).unwrap();
    let start = |name: &str, value: crate::event::ColumnValue| {
        let mut task = TaskContext::of("t").unwrap();
        task.columns.insert(name.to_owned(), value);
        block_on(collector.start(Started::from(task)))
    };
    for (name, value, said) in [
        ("dificulty", 1.0.into(), "columns.dificulty is not declared: did you mean difficulty?"),
        ("difficulty", 9.0.into(), "columns.difficulty is 9, expected 0 to 5"),
        ("difficulty", f64::NAN.into(), "columns.difficulty is NaN"),
        ("team", true.into(), "columns.team is true, it is declared as a category"),
        ("team", "x".repeat(1 << 20).as_str().into(), "columns.team is a category of 1048576 bytes"),
    ] {
        let error = start(name, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(block_on(store.scan(ScanOrder::Known, None, 10)).unwrap().records.is_empty());
    let id = start("difficulty", 2.0.into()).unwrap();
    let mut done = Completion::default();
    done.columns.insert("difficulty".to_owned(), 2.0.into());
    let error = block_on(collector.complete(&id, done)).unwrap_err();
    assert!(error.to_string().contains("known before the start: give it with the task"), "{error}");
    let kept = block_on(store.event(&id)).unwrap();
    assert_eq!(kept.started.value.context.columns, [("difficulty".to_owned(), 2.0.into())].into());
    assert!(kept.completion.is_none());
}

/// The columns with a difficulty in another unit.
fn in_percent() -> HostColumns {
    let others = columns();
    let difficulty = HostColumn::number("difficulty").unit("%").phrase("the ticket's difficulty is {} %");
    HostColumns::new(
        others.iter().map(|c| if c.name == "difficulty" { difficulty.clone() } else { c.clone() }),
    )
    .unwrap()
}

#[test]
fn a_column_in_another_unit_is_not_fed_to_an_old_model_which_says_so() {
    let facts = records(150, 3);
    let rows = |declared: HostColumns| {
        let mut builder = DatasetBuilder::new(engineer(declared));
        facts.iter().for_each(|record| builder.apply(record));
        builder.rows(Target::Success, facts.last().unwrap().known_at() + TimeDelta::days(1), 10_000)
    };
    let (trained_on, now) = (rows(columns()), rows(in_percent()));
    let fitted = SuccessTrainer::default().fit(&trained_on).unwrap();
    let back = SuccessTrainer::default().read(&fitted.to_bytes().unwrap()).unwrap();
    let blank = |row: &FeatureRow| {
        let mut blank = row.clone();
        blank.own.values[0] = f32::NAN;
        blank
    };
    let mut differs = false;
    for (before, after) in trained_on.examples.iter().zip(&now.examples) {
        let (before, after) = (&before.features, &after.features);
        for model in [&fitted, &back] {
            assert_eq!(model.point(after), model.point(&blank(before)));
            assert!(model.predict(before).notes.is_empty());
            let notes = model.predict(after).notes;
            assert!(
                notes[0].starts_with("the model goes without difficulty, declared otherwise"),
                "{notes:?}"
            );
            assert!(model.reasons(after).iter().all(|reason| reason.feature != "difficulty"));
        }
        differs |= fitted.point(after) != fitted.point(before);
    }
    assert!(differs, "the difficulty must matter");
}

#[test]
fn models_that_were_stored_before_declarations_were_kept_read_columns_of_any_unit() {
    let facts = records(150, 4);
    let encodable_rows = {
        let mut builder = DatasetBuilder::new(engineer(columns()));
        facts.iter().for_each(|record| builder.apply(record));
        builder.rows(Target::Success, facts.last().unwrap().known_at() + TimeDelta::days(1), 10_000)
    };
    let rows: Vec<_> = encodable_rows
        .examples
        .iter()
        .map(|e| super::Encodable { row: &e.features, task: e.task, label: e.label, weight: 1.0 })
        .collect();
    let (encoder, _) = super::ColumnEncoder::fit(&rows, &std::collections::BTreeSet::new()).unwrap();
    let with = super::write(Vec::new(), [Some(&encoder)].into_iter()).unwrap();
    assert_eq!(super::read(&with).unwrap().next(), encoder);
    let old = postcard::to_stdvec(&vec![encoder.clone()]).unwrap();
    let read = super::read(&old).unwrap().next();
    assert_ne!(read, encoder);
    assert_eq!(read.value(rows[0].row, super::COLUMNS_AT), encoder.value(rows[0].row, super::COLUMNS_AT));
    assert!(super::read(&with[..with.len() - 1]).is_err());
    assert!(super::read(&[with.as_slice(), &[0]].concat()).is_err());
}
