//! Columns of a host's own out of any field of recorded events.

use crate::fields::field_of;
use anyhow::bail;
use devmatrix_ml::event::{ColumnValue, GenerationEvent};
use devmatrix_ml::features::{HostColumn, HostColumns};
use serde_json::Value;
use std::collections::BTreeMap;

/// Gives each event the columns at `paths`: a field that is an object gives one a key, any other field one of its own
/// name; null is missing. A column of text is a category, of true and false a flag, of numbers a number.
pub(crate) fn declare(events: &mut [GenerationEvent], paths: &[String]) -> anyhow::Result<HostColumns> {
    let mut kinds = BTreeMap::<String, HostColumn>::new();
    for path in paths {
        let before = kinds.len();
        let own_name = path.rsplit('.').next().unwrap_or(path);
        for event in events.iter_mut() {
            let Some(found) = field_of(event, path)? else { continue };
            let values: Vec<(String, Value)> = match found {
                Value::Object(all) => all.into_iter().collect(),
                value => vec![(own_name.to_owned(), value)],
            };
            for (name, value) in values.into_iter().filter(|(_, value)| !value.is_null()) {
                let (column, value) = typed(&event.event_id, path, &name, &value)?;
                let declared = kinds.entry(name.clone()).or_insert_with(|| column.clone());
                if declared.kind != column.kind {
                    bail!(
                        "{}: {path}: {name} is {:?}, in earlier events {:?}",
                        event.event_id,
                        column.kind,
                        declared.kind
                    );
                }
                event.started.value.context.columns.insert(name, value);
            }
        }
        if kinds.len() == before {
            bail!("no event has a new column at {path}");
        }
    }
    Ok(HostColumns::new(kinds.into_values())?)
}

fn typed(
    event: &devmatrix_ml::event::EventId,
    path: &str,
    name: &str,
    value: &Value,
) -> anyhow::Result<(HostColumn, ColumnValue)> {
    Ok(match value {
        Value::Bool(yes) => (HostColumn::flag(name), (*yes).into()),
        Value::String(text) => (HostColumn::category(name), text.as_str().into()),
        Value::Number(number) => (HostColumn::number(name), number.as_f64().unwrap_or(f64::NAN).into()),
        _ => bail!("{event}: {path}: {name} is {value}, expected a number, true or false, or text"),
    })
}
