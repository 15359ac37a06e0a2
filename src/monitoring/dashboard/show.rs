//! Numbers as people read them; what is not known, or is no number, is a dash.

use crate::monitoring::{Kpi, KpiName};
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

/// The same with its sign in any case.
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

/// US dollars: cents where they are few.
pub(super) fn dollars(value: impl Into<Option<f64>>) -> String {
    let Some(value) = finite(value) else { return NOTHING.to_owned() };
    let decimals = if value.abs() < 1.0 { 4 } else { 2 };
    format!("${}", number(value, decimals))
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

/// What a figure to steer by is called.
pub(super) fn kpi_name(name: KpiName) -> &'static str {
    match name {
        KpiName::PredictionAccuracy => "Prediction accuracy",
        KpiName::SuccessRate => "Approved unmodified",
        KpiName::Quality => "Quality, of 10",
        KpiName::QualityTrend => "Quality trend a week",
        KpiName::RegenerationsSaved => "Regenerations saved",
        KpiName::Cost => "Cost a generation",
        KpiName::CostPerSuccess => "Cost a success",
        KpiName::QualityPerDollar => "Quality a dollar",
        KpiName::TimeToApproval => "Median to approval",
        KpiName::RecordedShare => "Recorded",
        KpiName::PredictionLatency => "Predicted in, p99",
    }
}

/// Its value, or another in its unit.
pub(super) fn kpi_value(name: KpiName, value: Option<f64>) -> String {
    match name {
        KpiName::PredictionAccuracy | KpiName::SuccessRate | KpiName::RecordedShare => percent(value),
        KpiName::Quality => number(value, 2),
        KpiName::QualityTrend => value.map_or_else(|| NOTHING.to_owned(), |v| signed(v, 3)),
        KpiName::RegenerationsSaved => number(value, 0),
        KpiName::QualityPerDollar => number(value, 1),
        KpiName::Cost | KpiName::CostPerSuccess => dollars(value),
        KpiName::TimeToApproval => seconds(value),
        KpiName::PredictionLatency => {
            finite(value).map_or_else(|| NOTHING.to_owned(), |v| format!("{}{GAP}ms", number(v, 2)))
        }
    }
}

/// Whether a smaller value is the better one.
fn less_is_better(name: KpiName) -> bool {
    matches!(
        name,
        KpiName::Cost | KpiName::CostPerSuccess | KpiName::TimeToApproval | KpiName::PredictionLatency
    )
}

/// By how much a figure has changed since the days before, and whether that is good; `None` where one of
/// the two is not known.
pub(super) fn kpi_change(kpi: &Kpi) -> Option<(String, bool)> {
    let (now, before) = (finite(kpi.value)?, finite(kpi.before)?);
    let change = now - before;
    let text = match kpi.name {
        KpiName::PredictionAccuracy | KpiName::SuccessRate | KpiName::RecordedShare => {
            format!("{} points", signed(change * 100.0, 1))
        }
        KpiName::Quality => signed(change, 2),
        KpiName::QualityTrend => signed(change, 3),
        KpiName::RegenerationsSaved => signed(change, 0),
        _ if before != 0.0 => format!("{}{GAP}%", signed(change / before.abs() * 100.0, 0)),
        _ => return None,
    };
    Some((text, (change <= 0.0) == less_is_better(kpi.name)))
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
    fn numbers_read_well_and_what_is_none_is_a_dash() {
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
        assert_eq!(cut("wörter", 3), "wör…");
    }
}
