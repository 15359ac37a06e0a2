//! Values of other tools' JSON and CSV by their paths, however the tool writes them.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

/// Returns the first value that is there and not null. A path is a key, or keys with dots between them.
pub(super) fn at<'a>(value: &'a Value, paths: &[&str]) -> Option<&'a Value> {
    paths.iter().find_map(|path| {
        let whole = value.get(*path).filter(|value| !value.is_null());
        let nested = || path.split('.').try_fold(value, |value, key| value.get(key));
        whole.or_else(nested).filter(|value| !value.is_null())
    })
}

/// Returns a text that is not empty; a number is one too.
pub(super) fn text(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| match at(value, &[path])? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Returns a finite number, also one written as text.
pub(super) fn number(value: &Value, paths: &[&str]) -> Option<f64> {
    paths.iter().find_map(|path| as_number(at(value, &[path])?))
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

/// Returns a whole number, also `12.0` and `"12"`.
pub(super) fn count(value: &Value, paths: &[&str]) -> Option<u64> {
    paths.iter().find_map(|path| {
        let found = at(value, &[path])?;
        found.as_u64().or_else(|| {
            as_number(found).filter(|n| n.fract() == 0.0 && (0.0..1.8e19).contains(n)).map(|n| n as u64)
        })
    })
}

/// Returns yes or no: `true`, `"True"`, `1`, `1.0`.
pub(super) fn flag(value: &Value, paths: &[&str]) -> Option<bool> {
    paths.iter().find_map(|path| as_flag(at(value, &[path])?))
}

pub(super) fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => match as_number(value)? {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        },
    }
}

/// Returns a moment: RFC 3339, a date and time without a zone (UTC), or a number of s, ms, us or ns since 1970. Years before
/// 1900 are how Go writes that there is none.
pub(super) fn time(value: &Value, paths: &[&str]) -> Option<DateTime<Utc>> {
    paths.iter().find_map(|path| as_time(at(value, &[path])?))
}

pub(super) fn as_time(value: &Value) -> Option<DateTime<Utc>> {
    let time =
        match value {
            Value::Number(number) => {
                since_1970(number.as_i64().map_or_else(|| number.as_f64(), |_| None), number.as_i64())
            }
            Value::String(text) => {
                let text = text.trim();
                let zoned = || DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
                let spaced =
                    || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z").ok().map(|t| t.to_utc());
                let short =
                    || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok().map(|t| t.to_utc());
                let named = || plain(text.strip_suffix(" UTC")?);
                zoned().or_else(spaced).or_else(short).or_else(named).or_else(|| plain(text)).or_else(|| {
                    since_1970(text.parse().ok().filter(|_| text.contains('.')), text.parse().ok())
                })
            }
            _ => None,
        }?;
    let year = chrono::Datelike::year(&time);
    (1900..=9999).contains(&year).then_some(time)
}

fn plain(text: &str) -> Option<DateTime<Utc>> {
    let at = |form| NaiveDateTime::parse_from_str(text, form).ok();
    at("%Y-%m-%dT%H:%M:%S%.f").or_else(|| at("%Y-%m-%d %H:%M:%S%.f")).map(|time| time.and_utc())
}

/// The unit follows from the size: seconds reach 100 billion in the year 5138.
fn since_1970(broken: Option<f64>, whole: Option<i64>) -> Option<DateTime<Utc>> {
    if let Some(number) = whole {
        return match number.unsigned_abs() {
            0 => None, // no moment that anything was recorded at
            1..100_000_000_000 => DateTime::from_timestamp(number, 0),
            100_000_000_000..100_000_000_000_000 => DateTime::from_timestamp_millis(number),
            100_000_000_000_000..100_000_000_000_000_000 => DateTime::from_timestamp_micros(number),
            _ => Some(DateTime::from_timestamp_nanos(number)),
        };
    }
    let number = broken.filter(|n| n.is_finite() && *n != 0.0)?;
    let seconds = if number.abs() < 1e11 { number } else { number / 1e3 };
    DateTime::from_timestamp_micros((seconds * 1e6).round() as i64)
}

/// Returns JSON that is given as it is or as text.
pub(super) fn embedded(value: &Value, paths: &[&str]) -> Option<Value> {
    paths.iter().find_map(|path| match at(value, &[path])? {
        Value::String(text) => serde_json::from_str(text).ok(),
        value => Some(value.clone()),
    })
}

/// Returns the items of a list, also of GraphQL's `nodes` and `edges`.
pub(super) fn list<'a>(value: &'a Value, paths: &[&str]) -> Vec<&'a Value> {
    let Some(found) = at(value, paths) else { return Vec::new() };
    if let Some(items) = found.as_array().or_else(|| found.get("nodes")?.as_array()) {
        return items.iter().filter(|item| !item.is_null()).collect();
    }
    let edges = found.get("edges").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    edges.iter().filter_map(|edge| at(edge, &["node"])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_moment_is_read_as_tools_write_it() {
        let moment = |value| as_time(&value).map(|t: DateTime<Utc>| t.to_rfc3339());
        for value in [
            json!("2026-11-30T09:35:41.5Z"),
            json!("2026-11-30 09:35:41.500000+00:00"),
            json!("2026-11-30 10:35:41.5+01"),
            json!("2026-11-30 09:35:41.500000"),
            json!("2026-11-30T09:35:41.5"),
            json!("2026-11-30 09:35:41.500 UTC"),
            json!(1_796_031_341.5),
            json!(1_796_031_341_500_i64),
            json!("1796031341500000000"),
            json!(1_796_031_341_500_000_i64),
        ] {
            assert_eq!(moment(value.clone()).as_deref(), Some("2026-11-30T09:35:41.500+00:00"), "{value}");
        }
        for value in [
            json!("0001-01-01T00:00:00Z"),
            json!(""),
            json!(0),
            json!(true),
            json!("soon"),
            json!("9".repeat(30)),
        ] {
            assert_eq!(moment(value.clone()), None, "{value}");
        }
    }

    #[test]
    fn numbers_and_flags_are_read_as_tools_write_them() {
        let v = json!({"a": {"b": "12.0"}, "a.b": null, "c": "None", "d": "True", "e": 1.0, "f": "", "g": f64::MAX});
        assert_eq!((count(&v, &["a.b"]), number(&v, &["x", "a.b"])), (Some(12), Some(12.0)));
        assert_eq!((flag(&v, &["c"]), flag(&v, &["d"]), flag(&v, &["e"])), (None, Some(true), Some(true)));
        assert_eq!((text(&v, &["f"]), count(&v, &["g"]), number(&v, &["f"])), (None, None, None));
        let pages = json!({"x": {"edges": [{"node": 1}, {"node": null}]}, "y": {"nodes": [2]}, "z": [3]});
        let all: Vec<_> = ["x", "y", "z", "w"].iter().flat_map(|path| list(&pages, &[path])).collect();
        assert_eq!(all, [&json!(1), &json!(2), &json!(3)]);
    }
}
