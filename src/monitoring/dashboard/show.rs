//! Numbers as people read them; what is not known, or is no number, is a dash.

use crate::monitoring::Kpi;
use crate::monitoring::analytics::Unit;
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Stands for what is not known.
pub(super) const NOTHING: &str = "–";

/// Between a number and its unit: narrow, and no place to break the line.
const GAP: &str = "\u{202f}";

/// A number with so many decimals.
pub(super) fn number(value: impl Into<Option<f64>>, decimals: usize) -> String {
    let Some(value) = finite(value) else { return NOTHING.to_owned() };
    if value.abs() >= 1e12 {
        return format!("{value:.2e}");
    }
    let text = format!("{:.decimals$}", value.abs());
    let negative = value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{}{}{rest}", if negative { "−" } else { "" }, grouped(whole))
}

/// Formats a number like [`number`], always with its sign.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = number(value, decimals);
    if text.starts_with('−') || text == NOTHING { text } else { format!("+{text}") }
}

/// How many.
pub(super) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// A share of 1 as a percentage with one decimal.
pub(super) fn percent(share: impl Into<Option<f64>>) -> String {
    finite(share).map_or_else(|| NOTHING.to_owned(), |share| format!("{}{GAP}%", number(share * 100.0, 1)))
}

/// From one to the other, as percentages.
pub(super) fn percents((low, high): (f64, f64)) -> String {
    format!("{} to {}", number(low * 100.0, 0), percent(high))
}

/// Returns US dollars: cents, or three significant digits below one dollar.
pub(super) fn dollars(value: impl Into<Option<f64>>) -> String {
    let Some(value) = finite(value) else { return NOTHING.to_owned() };
    format!("${}", number(value, if value.abs() < 1.0 { decimals_of(value) } else { 2 }))
}

/// Returns a number with three significant digits, whole numbers without decimals.
pub(super) fn significant(value: impl Into<Option<f64>>) -> String {
    let Some(value) = finite(value) else { return NOTHING.to_owned() };
    number(value, if value.fract() == 0.0 { 0 } else { decimals_of(value) })
}

/// Returns the decimals of three significant digits, eight at most.
fn decimals_of(value: f64) -> usize {
    if value == 0.0 {
        return 2;
    }
    (2 - value.abs().log10().floor() as i32).clamp(0, 8) as usize
}

/// Seconds, or minutes, hours and days where they are many.
pub(super) fn seconds(value: impl Into<Option<f64>>) -> String {
    let Some(value) = finite(value) else { return NOTHING.to_owned() };
    match value.abs() {
        s if s < 120.0 => format!("{}{GAP}s", number(value, 1)),
        s if s < 7_200.0 => format!("{}{GAP}min", number(value / 60.0, 1)),
        s if s < 172_800.0 => format!("{}{GAP}h", number(value / 3_600.0, 1)),
        _ => format!("{}{GAP}days", number(value / 86_400.0, 1)),
    }
}

/// A day: `3 Mar 2025`.
pub(super) fn day(day: NaiveDate) -> String {
    day.format("%-d %b %Y").to_string()
}

/// A day of a year that is told elsewhere: `3 Mar`.
pub(super) fn short_day(day: NaiveDate) -> String {
    day.format("%-d %b").to_string()
}

/// A moment to the minute, in UTC.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// From one day to another.
pub(super) fn days(from: NaiveDate, until: NaiveDate) -> String {
    if from.year() == until.year() {
        format!("{} to {}", short_day(from), day(until))
    } else {
        format!("{} to {}", day(from), day(until))
    }
}

/// A text that fits into a label.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Returns a value in the unit of a KPI.
pub(super) fn in_unit(unit: Unit, value: Option<f64>) -> String {
    match unit {
        Unit::Share => percent(value),
        Unit::Number(decimals) => number(value, decimals),
        Unit::Signed(decimals) => value.map_or_else(|| NOTHING.to_owned(), |v| signed(v, decimals)),
        Unit::Dollars => dollars(value),
        Unit::Seconds => seconds(value),
        Unit::Milliseconds => {
            finite(value).map_or_else(|| NOTHING.to_owned(), |v| format!("{}{GAP}ms", number(v, 2)))
        }
    }
}

/// Returns the change of a KPI since the days before, and whether it is an improvement; `None` where one of the two values
/// is not known.
pub(super) fn kpi_change(kpi: &Kpi) -> Option<(String, bool)> {
    let (now, before) = (finite(kpi.value)?, finite(kpi.before)?);
    let (change, row) = (now - before, kpi.name.row());
    let text = match row.unit {
        Unit::Share => format!("{} pp", signed(change * 100.0, 1)),
        Unit::Signed(decimals) | Unit::Number(decimals @ (0 | 2)) => signed(change, decimals),
        _ if before != 0.0 => format!("{}{GAP}%", signed(change / before.abs() * 100.0, 0)),
        _ => return None,
    };
    Some((text, (change <= 0.0) == row.less_is_better))
}

/// The number where it is one.
pub(super) fn finite(value: impl Into<Option<f64>>) -> Option<f64> {
    value.into().filter(|value| value.is_finite())
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable_and_missing_ones_are_a_dash() {
        assert_eq!(number(1_234_567.891, 1), "1,234,567.9");
        assert_eq!((number(-0.04, 1), number(-0.06, 1)), ("0.0".to_owned(), "−0.1".to_owned()));
        assert_eq!(signed(0.5, 1), "+0.5");
        assert_eq!((count(999), count(1000)), ("999".to_owned(), "1,000".to_owned()));
        for nothing in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let shown = [number(nothing, 2), percent(nothing), dollars(nothing), seconds(nothing)];
            assert!(shown.iter().all(|text| text == NOTHING), "{shown:?}");
        }
        assert_eq!(percent(0.7123), "71.2\u{202f}%");
        assert_eq!((dollars(0.0123), seconds(90.0)), ("$0.0123".to_owned(), "90.0\u{202f}s".to_owned()));
        assert_eq!(
            [0.000_421, 0.0312, 7.5, 42.0, 1234.6].map(significant),
            ["0.000421", "0.0312", "7.50", "42", "1,235"]
        );
        assert_eq!(dollars(0.000_421), "$0.000421");
        assert_eq!(cut("wörter", 3), "wör…");
    }
}
