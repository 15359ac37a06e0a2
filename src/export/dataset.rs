//! Training sets: a row an example.

use super::Exported;
use super::column::{Cell, Holds, Spec};
use super::features::{ngram_cells, ngrams};
use super::file::{FileReader, FileWriter, Row};
use crate::dataset::{About, Dataset, Example, Labels, Priors, ResponseModel, Seen, Target};
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::features::{FEATURES, FeatureEngineer, FeatureRow, HostColumns, KnownWhen, OwnColumns};
use crate::history::Delay;
use crate::text::SparseText;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

const KIND: &str = "dataset 1";
const TARGET: &str = "devmatrix_ml.target";
const DELAY: &str = "devmatrix_ml.open_success";
const ANSWERS: &str = "devmatrix_ml.answers";
const FINGERPRINT: &str = "devmatrix_ml.fingerprint";
const COLUMNS: &str = "devmatrix_ml.columns";

/// Writes a training set to a Parquet file that [`read_dataset`] reads back to the last bit, so that training
/// from it gives the same artefact.
///
/// The file is there whole or not at all.
///
/// # Errors
/// `InvalidInput` where an example's features after its end differ in more than what its code shows, or are
/// not those of this release; `Unavailable` when the file cannot be written; then there is none, or the old
/// one.
pub fn write_dataset(dataset: &Dataset, path: impl AsRef<Path>) -> Result<Exported> {
    if dataset.target == Target::Template {
        return Err(Error::invalid(
            "a ranking's rows have features of their own: only other training sets are exported",
        ));
    }
    let mut file = FileWriter::create(path.as_ref(), KIND, specs())?;
    file.note(super::SCHEMA, super::digits(dataset.schema));
    file.note(TARGET, dataset.target.to_string());
    let rates = dataset.delay.rates().map(|rate| super::digits(rate.to_bits()));
    file.note(DELAY, rates.join(" "));
    file.note(ANSWERS, answers_to_text(&dataset.answers)?);
    file.note(FINGERPRINT, dataset.fingerprint());
    let declared = dataset.examples.first().map(|e| e.features.own.declared.clone()).unwrap_or_default();
    file.note(COLUMNS, declared.meaning());
    for example in &dataset.examples {
        if example.features.own.declared != declared {
            let text = "its columns are declared otherwise than those of the first example";
            return Err(Error::invalid(text).context(&example.event_id));
        }
        file.push(cells(example)?)?;
    }
    file.finish(0)
}

/// Reads a training set that [`write_dataset`] wrote, made with the features of `engineer`.
///
/// ```
/// use devmatrix_ml::dataset::{DatasetBuilder, Target};
/// use devmatrix_ml::export::{read_dataset, write_dataset};
/// use devmatrix_ml::features::FeatureEngineer;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("success.parquet");
/// let engineer = FeatureEngineer::default();
/// let rows = DatasetBuilder::new(engineer.clone()).rows(Target::Success, chrono::Utc::now(), 1000);
/// write_dataset(&rows, &path)?;
/// assert_eq!(read_dataset(&path, &engineer)?.fingerprint(), rows.fingerprint());
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `NotFound`; `InvalidInput` for a file that is no Parquet, or was not written by this crate; `Corrupt` when
/// its bytes are not those that were written; `Incompatible` when it holds something else, or features of
/// another schema than `engineer`'s.
pub fn read_dataset(path: impl AsRef<Path>, engineer: &FeatureEngineer) -> Result<Dataset> {
    let path = path.as_ref();
    let mut file = FileReader::open(path, KIND, specs())?;
    let (schema, expected) = (file.noted(super::SCHEMA)?, engineer.model_schema());
    if schema != super::digits(expected) {
        return Err(Error::incompatible(format!(
            "{}: its features have the schema {schema}, these {expected:016x}: export it again",
            path.display()
        )));
    }
    if file.noted(COLUMNS)? != engineer.columns().meaning() {
        return Err(Error::incompatible(format!(
            "{}: the host's own columns are declared otherwise here: export it again",
            path.display()
        )));
    }
    let target = file.noted(TARGET)?.parse().map_err(|_| file.corrupt("its target is unknown"))?;
    let delay = delay(file.noted(DELAY)?).ok_or_else(|| file.corrupt("its rates of open generations"))?;
    let answers = answers(file.noted(ANSWERS)?).map_err(|e| e.context(path.display()))?;
    let fingerprint = file.noted(FINGERPRINT)?.to_owned();
    let mut dataset = Dataset { examples: Vec::new(), schema: expected, target, delay, answers };
    let mut names = HashSet::new();
    while let Some(mut group) = file.next()? {
        while let Some(row) = group.next() {
            let number = dataset.examples.len() + 1;
            let example = example(row, &mut names, engineer.columns());
            let example = example.map_err(|e| e.context(format!("{}: row {number}", path.display())))?;
            dataset.examples.push(example);
        }
    }
    if dataset.fingerprint() == fingerprint {
        Ok(dataset)
    } else {
        Err(file.corrupt("its rows are not those that were written"))
    }
}

pub(super) fn specs() -> Vec<Spec> {
    let mut specs = vec![
        Spec::required("event_id", Holds::Text),
        Spec::required("project", Holds::Unsigned),
        Spec::required("task", Holds::Unsigned),
        Spec::new("kind", Holds::Unsigned),
        Spec::required("earlier_tries", Holds::Double),
        Spec::required("started_at", Holds::Time),
        Spec::new("known_at", Holds::Time),
        Spec::required("label", Holds::Double),
        Spec::required("weight", Holds::Double),
        Spec::required("source_weight", Holds::Double),
        Spec::required("answer_odds", Holds::Double),
        Spec::new("asked", Holds::Bool),
        Spec::new("label_propensity", Holds::Double),
        Spec::new("success", Holds::Bool),
        Spec::new("success_known_at", Holds::Time),
    ];
    for (name, since, _) in Labels::default().columns() {
        specs.extend([Spec::new(name, Holds::Double), Spec::new(since, Holds::Time)]);
    }
    specs
        .extend(["prior_constant", "prior_agent", "prior_project"].map(|n| Spec::required(n, Holds::Double)));
    specs.extend(["agent", "user", "language", "task_type"].map(|name| Spec::new(name, Holds::Text)));
    specs.extend(["truncated", "completed"].map(|name| Spec::required(name, Holds::Bool)));
    specs.extend(FEATURES.iter().map(|feature| Spec::new(feature.name, Holds::Float)));
    specs.extend(ngrams());
    specs.push(Spec::required("columns", Holds::Floats));
    specs
}

fn cells(example: &Example) -> Result<Vec<Cell>> {
    let row = example.features.as_ref();
    let all = example.completed.as_deref().unwrap_or(row);
    check(row, all).map_err(|e| e.context(&example.event_id))?;
    let mut cells = vec![
        Cell::Text(example.event_id.to_string()),
        Cell::Int(example.project as i64),
        Cell::Int(example.task as i64),
        example.kind.map_or(Cell::Empty, |kind| Cell::Int(kind as i64)),
        Cell::Double(example.attempt),
        time(Some(example.started_at)),
        time(example.known_at),
        Cell::Double(example.label),
        Cell::Double(example.weight),
        Cell::Double(example.share),
        Cell::Double(example.propensity),
        example.review.map_or(Cell::Empty, |(asked, _)| Cell::Bool(asked)),
        example.review.map_or(Cell::Empty, |(_, propensity)| Cell::Double(propensity)),
    ];
    let mut labels = example.labels;
    let success = labels.success;
    cells.extend([success.map_or(Cell::Empty, |(_, s)| Cell::Bool(s)), time(success.map(|(at, _)| at))]);
    for (_, _, label) in labels.columns() {
        cells.extend([label.map_or(Cell::Empty, |(_, v)| Cell::Double(v)), time(label.map(|(at, _)| at))]);
    }
    let Priors { constant, agent, project } = example.priors;
    cells.extend([constant, agent, project].map(Cell::Double));
    let about = &example.about;
    let names = [&about.agent, &about.user, &about.language, &about.task_type];
    cells.extend(names.map(|name| name.as_deref().map_or(Cell::Empty, |name| Cell::Text(name.to_owned()))));
    cells.extend([row.truncated, example.completed.is_some()].map(Cell::Bool));
    // A NaN of other bits than the usual is kept as it is.
    let missing = f32::NAN.to_bits();
    cells.extend(
        all.values.iter().map(|v| if v.to_bits() == missing { Cell::Empty } else { Cell::Float(*v) }),
    );
    cells.extend(ngram_cells(&row.text));
    cells.push(Cell::Floats(all.own.values.clone()));
    Ok(cells)
}

/// Refuses rows that cannot be told from one: features after the end are those at the start and the code's.
fn check(row: &FeatureRow, all: &FeatureRow) -> Result<()> {
    let count = FEATURES.len();
    if row.values.len() != count || all.values.len() != count {
        return Err(Error::invalid(format!("it has not {count} features")));
    }
    let bits = |v: &f32| v.to_bits();
    let same = FEATURES.iter().zip(row.values.iter().zip(&all.values)).all(|(feature, (a, b))| match feature
        .known
    {
        KnownWhen::Before => bits(a) == bits(b),
        KnownWhen::After => bits(a) == bits(&f32::NAN),
    });
    let own = row.own.declared.iter().zip(row.own.values.iter().zip(&all.own.values));
    let same_own =
        own.into_iter().all(|(column, (a, b))| column.known == KnownWhen::After || bits(a) == bits(b));
    if same && same_own && row.text == all.text && row.truncated == all.truncated {
        Ok(())
    } else {
        Err(Error::invalid("its features after the end are not those at the start and its code's"))
    }
}

fn example(mut row: Row<'_>, names: &mut HashSet<Arc<str>>, declared: &HostColumns) -> Result<Example> {
    let event_id = EventId::new(row.text()?.unwrap_or_default())?;
    let [project, task] = [row.int()?, row.int()?].map(|number| number.unwrap_or_default() as u64);
    let kind = row.int()?.map(|kind| kind as u64);
    let attempt = number(row.double()?)?;
    let started_at = since(row.int()?)?.ok_or_else(|| Error::corrupt("started_at is missing"))?;
    let known_at = since(row.int()?)?;
    let (label, weight) = (number(row.double()?)?, number(row.double()?)?);
    let (share, propensity) = (number(row.double()?)?, chance(row.double()?)?);
    let asked = row.bool()?;
    let review = asked.zip(row.double()?.map(|propensity| chance(Some(propensity))).transpose()?);
    let labels = labels(&mut row)?;
    let priors = Priors {
        constant: number(row.double()?)?,
        agent: number(row.double()?)?,
        project: number(row.double()?)?,
    };
    let mut name = || -> Result<Option<Arc<str>>> { Ok(row.text()?.map(|name| shared(names, &name))) };
    let about =
        About { agent: name()?, user: name()?, language: name()?, task_type: name()?, template: None };
    let (truncated, completed) = (row.bool()?.unwrap_or_default(), row.bool()?.unwrap_or_default());
    let values: Vec<f32> =
        FEATURES.iter().map(|_| Ok(row.float()?.unwrap_or(f32::NAN))).collect::<Result<_>>()?;
    let text = SparseText::from_parts(&row.ints()?.unwrap_or_default(), row.floats()?.unwrap_or_default())
        .ok_or_else(|| Error::corrupt("its n-grams are none"))?;
    let at_start = FEATURES.iter().zip(&values).map(|(feature, value)| match feature.known {
        KnownWhen::Before => *value,
        KnownWhen::After => f32::NAN,
    });
    let own = row.floats()?.unwrap_or_default();
    if own.len() != declared.len() {
        return Err(Error::incompatible(format!(
            "it has {} columns of the host's own, {} are declared here",
            own.len(),
            declared.len()
        )));
    }
    let before = declared.iter().zip(&own).map(|(column, value)| match column.known {
        KnownWhen::Before => *value,
        KnownWhen::After => f32::NAN,
    });
    let features = FeatureRow {
        values: at_start.collect(),
        text,
        truncated,
        own: OwnColumns::of(declared.clone(), before.collect()),
    };
    let own = OwnColumns::of(declared.clone(), own);
    let completed = completed.then(|| Arc::new(FeatureRow { values, own, ..features.clone() }));
    let features = Arc::new(features);
    Ok(Example {
        event_id,
        project,
        task,
        started_at,
        known_at,
        features,
        completed,
        label,
        labels,
        priors,
        about,
        weight,
        propensity,
        share,
        review,
        kind,
        attempt,
        shown: None,
    })
}

fn labels(row: &mut Row<'_>) -> Result<Labels> {
    fn with<T>(value: Option<T>, at: Option<i64>) -> Result<Option<(DateTime<Utc>, T)>> {
        Ok(since(at)?.zip(value))
    }
    let mut labels = Labels { success: with(row.bool()?, row.int()?)?, ..Labels::default() };
    for (_, _, label) in labels.columns() {
        *label = with(row.double()?.map(|v| number(Some(v))).transpose()?, row.int()?)?;
    }
    Ok(labels)
}

fn time(at: Option<DateTime<Utc>>) -> Cell {
    at.map_or(Cell::Empty, |at| Cell::Int(at.timestamp_micros()))
}

fn since(micros: Option<i64>) -> Result<Option<DateTime<Utc>>> {
    let moment = |micros| {
        DateTime::from_timestamp_micros(micros)
            .filter(|at| crate::event::is_recordable(*at))
            .ok_or_else(|| Error::corrupt(format!("{micros} microseconds since 1970 is no moment")))
    };
    micros.map(moment).transpose()
}

fn number(value: Option<f64>) -> Result<f64> {
    value.filter(|v| v.is_finite()).ok_or_else(|| Error::corrupt(format!("{value:?} where a number must be")))
}

fn chance(value: Option<f64>) -> Result<f64> {
    number(value).and_then(|probability| match probability {
        probability if (0.0..=1.0).contains(&probability) => Ok(probability),
        other => Err(Error::corrupt(format!("{other}, expected a probability from 0 to 1"))),
    })
}

fn shared(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let new: Arc<str> = name.into();
    names.insert(Arc::clone(&new));
    new
}

fn delay(text: &str) -> Option<Delay> {
    let rate = |digits| u64::from_str_radix(digits, 16).ok().map(f64::from_bits);
    let rates: Vec<f64> = text.split(' ').map(rate).collect::<Option<_>>()?;
    Delay::from_rates(&rates)
}

/// A generation that was answered or not: its start, its outcome and since when that is known, whether a
/// person was asked and with which propensity. Moments are microseconds since 1970.
type Answered = (i64, Option<(i64, bool)>, Option<(bool, f64)>);

fn answers_to_text(answers: &ResponseModel) -> Result<String> {
    let micros = |at: DateTime<Utc>| at.timestamp_micros();
    let flat = |seen: &Seen| -> Answered {
        (micros(seen.started), seen.known.map(|(at, success)| (micros(at), success)), seen.review)
    };
    let all: Vec<_> = answers.seen().iter().map(flat).collect();
    serde_json::to_string(&all).map_err(|e| Error::internal("who answered cannot be written").with_source(e))
}

fn answers(text: &str) -> Result<ResponseModel> {
    let wrong = |e| Error::corrupt("who answered cannot be read").with_source(e);
    let all: Vec<Answered> = serde_json::from_str(text).map_err(wrong)?;
    let seen = |(started, known, review): Answered| {
        let started = since(Some(started))?.ok_or_else(|| Error::corrupt("a start is missing"))?;
        let known = known.map(|(at, success)| Ok::<_, Error>((since(Some(at))?, success))).transpose()?;
        let known = known.and_then(|(at, success)| Some((at?, success)));
        let review = review.map(|(asked, p)| Ok::<_, Error>((asked, chance(Some(p))?))).transpose()?;
        Ok(Seen { started, known, review })
    };
    let all: Vec<Seen> = all.into_iter().map(seen).collect::<Result<_>>()?;
    Ok(ResponseModel::from_seen(all.into_iter()))
}
