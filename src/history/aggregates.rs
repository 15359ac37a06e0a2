//! Whole numbers counted by day, so that the order of arrival changes no bit of a sum.

use super::delay::{Delay, MATURE_HOURS};
use super::memo::Memo;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Days after which an outcome no longer counts.
pub(super) const WINDOW_DAYS: i32 = 400;

/// Fixed point of sums of real numbers: six decimals.
const SCALE: f64 = 1e6;

/// Aggregates of one group on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Aggregates {
    /// Outcomes that became known on this day.
    pub(super) judged: i64,
    pub(super) successes: i64,
    pub(super) scored: i64,
    /// Sum of quality, fixed point.
    pub(super) quality: i64,
    pub(super) timed: i64,
    /// Sum of ln(1 + seconds), fixed point.
    pub(super) log_seconds: i64,
    pub(super) metered: i64,
    /// Sum of tokens, in which any number of the largest counts finds room.
    pub(super) tokens: i128,
    /// Sum of ln(tokens), fixed point.
    pub(super) log_tokens: i64,
    /// Generations of known cost.
    pub(super) priced: i64,
    /// Sum of ln(US dollars), fixed point.
    pub(super) log_cost: i64,
    /// Complexities that hosts gave, and their sum, fixed point.
    pub(super) rated: i64,
    pub(super) complexity: i64,
}

/// Amounts below these, in US dollars and tokens, count as these: a logarithm needs a floor, and a millionth of a dollar is
/// below what any generation costs.
pub(crate) const LEAST_COST: f64 = 1e-6;
pub(crate) const LEAST_TOKENS: f64 = 1.0;

/// A real number as it is summed.
pub(super) fn fixed(value: f64) -> i64 {
    (value * SCALE).round() as i64
}

impl Aggregates {
    pub(super) fn add(&mut self, other: &Self, sign: i64) {
        self.judged += sign * other.judged;
        self.successes += sign * other.successes;
        self.scored += sign * other.scored;
        self.quality = self.quality.wrapping_add(sign * other.quality);
        self.timed += sign * other.timed;
        self.log_seconds = self.log_seconds.wrapping_add(sign * other.log_seconds);
        self.metered += sign * other.metered;
        self.tokens += i128::from(sign) * other.tokens;
        self.log_tokens = self.log_tokens.wrapping_add(sign * other.log_tokens);
        self.priced += sign * other.priced;
        self.log_cost = self.log_cost.wrapping_add(sign * other.log_cost);
        self.rated += sign * other.rated;
        self.complexity = self.complexity.wrapping_add(sign * other.complexity);
    }
}

/// One group's past.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series {
    /// Ascending.
    days: Vec<(i32, Aggregates)>,
    /// The sums, as of its end, of each span of days before that of the newest day; ascending. They are the same whatever
    /// was summed before, so that they are a function of the days.
    spans: Vec<(i32, GroupStatistics)>,
    /// Generations without an outcome, by the hour of their start, ascending.
    open: Vec<(i32, i32)>,
    /// The first day on which the group had a generation.
    pub(super) first_start: Option<i32>,
    /// The sum over all days before today: a busy group is asked many times a day. A group with few days has none.
    memo: Memo<GroupStatistics>,
}

/// Days of a span.
const SPAN: i32 = 16;

/// A group with fewer days is summed each time.
const MEMO_DAYS: usize = 8;

impl Series {
    pub(super) fn add(&mut self, day: i32, tally: &Aggregates) {
        at_key(&mut self.days, day, |sum| sum.add(tally, 1));
        self.sum_spans(day);
        self.memo.changed(day, self.days.len() >= MEMO_DAYS);
    }

    /// Sums the spans that a change of `day` concerns: its own, and that which was the newest until now.
    fn sum_spans(&mut self, day: i32) {
        let newest = self.newest_span();
        while self.spans.last().is_some_and(|(span, _)| *span >= newest) {
            self.spans.pop();
        }
        let before = self.days_in(i32::MIN, newest.saturating_mul(SPAN)).last();
        let Some(before) = before.map(|(day, _)| day.div_euclid(SPAN)) else { return self.spans.clear() };
        if self.spans.last().is_none_or(|(span, _)| *span < before) {
            self.sum_span(before);
        }
        if day.div_euclid(SPAN) < newest {
            self.sum_span(day.div_euclid(SPAN));
        }
    }

    fn sum_span(&mut self, span: i32) {
        let end = (span + 1) * SPAN;
        let days = self.days_in(span * SPAN, end);
        let mut sum = GroupStatistics::default();
        days.iter().for_each(|(day, tally)| sum.add(tally, end - day));
        let empty = days.is_empty();
        match self.spans.binary_search_by_key(&span, |(span, _)| *span) {
            Ok(at) if empty => drop(self.spans.remove(at)),
            Ok(at) => self.spans[at].1 = sum,
            Err(_) if empty => {}
            Err(at) => self.spans.insert(at, (span, sum)),
        }
    }

    fn newest_span(&self) -> i32 {
        self.days.last().map_or(i32::MIN, |(day, _)| day.div_euclid(SPAN))
    }

    /// The days from `from` on before `to`.
    fn days_in(&self, from: i32, to: i32) -> &[(i32, Aggregates)] {
        let days = &self.days[..self.days.partition_point(|(day, _)| *day < to)];
        &days[days.partition_point(|(day, _)| *day < from)..]
    }

    pub(super) fn add_open(&mut self, hour: i32, change: i32) {
        at_key(&mut self.open, hour, |count| *count += change);
    }

    /// Returns the group's statistics at `hour`, the hours since 1970.
    pub(super) fn evidence(&self, hour: i32, delay: &Delay) -> GroupStatistics {
        let mut sum = self.outcomes(hour);
        sum.age_days = self.first_start.map(|first| (hour.div_euclid(24) - first).max(0) as u32);
        self.add_open_to(&mut sum, hour, delay);
        sum
    }

    /// Returns the statistics of what has an outcome at `hour`.
    pub(super) fn outcomes(&self, hour: i32) -> GroupStatistics {
        let today = hour.div_euclid(24);
        let mut sum = self.memo.get(today, || self.before(today));
        let newer = self.days.iter().rev().take_while(|(day, _)| *day >= today).count();
        for (day, tally) in &self.days[self.days.len() - newer..] {
            sum.add(tally, today.saturating_sub(*day));
        }
        sum
    }

    /// Adds what is still open, whose chances are the same within each range of ages.
    fn add_open_to(&self, sum: &mut GroupStatistics, hour: i32, delay: &Delay) {
        let mut rest = &self.open[..];
        let until = |starts: &[(i32, i32)], hour| starts.partition_point(|(start, _)| *start <= hour);
        rest = &rest[until(rest, hour.saturating_sub(MATURE_HOURS))..];
        for (from_age, chance) in delay.ages_descending() {
            if rest.is_empty() {
                return;
            }
            // What began after this moment is of no age.
            let end = if from_age == 0 { rest.len() } else { until(rest, hour.saturating_sub(from_age)) };
            let count = f64::from(rest[..end].iter().map(|(_, count)| *count).sum::<i32>());
            sum.open += count;
            sum.open_day += if from_age >= 24 { count } else { 0.0 };
            sum.open_successes += count * chance;
            rest = &rest[end..];
        }
    }

    /// How many generations began at `hour` or later. Those of which an outcome became known since
    /// then count too, whenever they began: it may be too many by these, never too few.
    pub(super) fn begun_since(&self, hour: i32) -> f64 {
        let days = &self.days[self.days.partition_point(|(day, _)| *day < hour.div_euclid(24))..];
        let open = &self.open[self.open.partition_point(|(start, _)| *start < hour)..];
        let judged: i64 = days.iter().map(|(_, tally)| tally.judged).sum();
        (judged + open.iter().map(|(_, count)| i64::from(*count)).sum::<i64>()) as f64
    }

    /// The sum over the days of the window before `today`: spans, and single days where a span is not all of the past or the
    /// window begins within one.
    fn before(&self, today: i32) -> GroupStatistics {
        let mut sum = GroupStatistics::default();
        let mut add = |days: &[(i32, Aggregates)]| {
            days.iter().for_each(|(day, tally)| sum.add(tally, today.saturating_sub(*day)));
        };
        let first = today.saturating_sub(WINDOW_DAYS - 1);
        let begin = first.saturating_add(SPAN - 1).div_euclid(SPAN);
        let end = today.div_euclid(SPAN).min(self.newest_span());
        if begin >= end {
            add(self.days_in(first, today));
            return sum;
        }
        add(self.days_in(first, begin * SPAN));
        let spans = &self.spans[self.spans.partition_point(|(span, _)| *span < begin)..];
        for (span, of_span) in spans.iter().take_while(|(span, _)| *span < end) {
            sum.add_aged(of_span, today - (span + 1) * SPAN);
        }
        let rest = self.days_in(end * SPAN, today);
        rest.iter().for_each(|(day, tally)| sum.add(tally, today - day));
        sum
    }
}

/// Changes the value at `key`, and drops it when nothing is left.
pub(super) fn at_key<V: Default + PartialEq>(
    sorted: &mut Vec<(i32, V)>,
    key: i32,
    change: impl FnOnce(&mut V),
) {
    // Most is about the newest.
    let last = sorted.last().filter(|(last, _)| *last <= key).map(|(last, _)| *last);
    let found = match last {
        Some(last) if last == key => Ok(sorted.len() - 1),
        Some(_) => Err(sorted.len()),
        None => sorted.binary_search_by_key(&key, |(k, _)| *k),
    };
    let at = match found {
        Ok(at) => at,
        Err(at) => {
            // Most groups have one day only: room for four, the usual first step, would be waste.
            if sorted.len() == sorted.capacity() {
                sorted.reserve_exact((sorted.len() / 2).max(1));
            }
            sorted.insert(at, (key, V::default()));
            at
        }
    };
    change(&mut sorted[at].1);
    if sorted[at].1 == V::default() {
        sorted.remove(at);
    }
}

/// Statistics of a group at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub(crate) struct GroupStatistics {
    /// Outcomes, undecayed.
    pub(crate) all: Count,
    /// Outcomes, decayed with a half-life of 30 days.
    pub(crate) month: Count,
    /// Outcomes, decayed with a half-life of 7 days.
    pub(crate) week: Count,
    /// Generations of the last 14 days still without an outcome.
    pub(crate) open: f64,
    /// Those of them that started a day ago or earlier.
    pub(crate) open_day: f64,
    /// How many of the open ones are expected to succeed, from how long they have been open.
    pub(crate) open_successes: f64,
    /// Quality, 0 to 10 (half-life 30 days).
    pub(crate) quality: Mean,
    /// ln(1 + seconds) of a generation (half-life 30 days).
    pub(crate) log_seconds: Mean,
    /// Tokens of a generation (half-life 30 days).
    pub(crate) tokens: Mean,
    /// ln(tokens) of a generation (half-life 90 days).
    pub(crate) log_tokens: Mean,
    /// ln(US dollars) of a generation (half-life 90 days: prices change seldom, and an LLM that was not used for some months
    /// is still told apart from others).
    pub(crate) log_cost: Mean,
    /// ln(1 + 10 × complexity) as the host labelled it (half-life 30 days): hosts give small numbers
    /// often and large ones seldom.
    pub(crate) complexity: Mean,
    /// Days since the group's first generation.
    pub(crate) age_days: Option<u32>,
}

impl GroupStatistics {
    /// Adds a day of this age.
    fn add(&mut self, tally: &Aggregates, age: i32) {
        let age = age.clamp(0, WINDOW_DAYS - 1) as usize;
        let month = DECAY.month[age];
        if tally.judged != 0 {
            let (n, s) = (tally.judged as f64, tally.successes as f64);
            self.all.add(n, s, 1.0);
            self.month.add(n, s, month);
            self.week.add(n, s, DECAY.week[age]);
        }
        if tally.scored != 0 {
            self.quality.add(tally.scored, tally.quality as f64 / SCALE, month);
        }
        if tally.timed != 0 {
            self.log_seconds.add(tally.timed, tally.log_seconds as f64 / SCALE, month);
        }
        if tally.metered != 0 {
            // Of less than 64 bits the processor makes a float itself.
            let wide = |_| tally.tokens as f64;
            let tokens = i64::try_from(tally.tokens).map_or_else(wide, |tokens| tokens as f64);
            self.tokens.add(tally.metered, tokens, month);
            self.log_tokens.add(tally.metered, tally.log_tokens as f64 / SCALE, DECAY.quarter[age]);
        }
        if tally.priced != 0 {
            self.log_cost.add(tally.priced, tally.log_cost as f64 / SCALE, DECAY.quarter[age]);
        }
        if tally.rated != 0 {
            self.complexity.add(tally.rated, tally.complexity as f64 / SCALE, month);
        }
    }
}

impl GroupStatistics {
    /// Adds sums that were made `age` days ago.
    fn add_aged(&mut self, sums: &Self, age: i32) {
        let age = age.clamp(0, WINDOW_DAYS - 1) as usize;
        let (week, month, quarter) = (DECAY.week[age], DECAY.month[age], DECAY.quarter[age]);
        self.all.add(sums.all.n, sums.all.successes, 1.0);
        self.month.add(sums.month.n, sums.month.successes, month);
        self.week.add(sums.week.n, sums.week.successes, week);
        self.quality.add_aged(sums.quality, month);
        self.log_seconds.add_aged(sums.log_seconds, month);
        self.tokens.add_aged(sums.tokens, month);
        self.log_tokens.add_aged(sums.log_tokens, quarter);
        self.log_cost.add_aged(sums.log_cost, quarter);
        self.complexity.add_aged(sums.complexity, month);
    }
}

/// Counts of outcomes and successes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Outcomes.
    pub n: f64,
    /// Successes among them.
    pub successes: f64,
}

/// A weighted mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Mean {
    /// Weight of the values.
    pub(crate) n: f64,
    /// Weighted sum of the values.
    pub(crate) sum: f64,
}

impl Count {
    fn add(&mut self, n: f64, successes: f64, weight: f64) {
        self.n += n * weight;
        self.successes += successes * weight;
    }

    /// Returns the success rate, shrunk toward `prior` with the weight of `strength` outcomes
    /// (the posterior mean under a Beta prior).
    pub(crate) fn rate(&self, prior: f64, strength: f64) -> f64 {
        (self.successes + prior * strength) / (self.n + strength)
    }
}

impl Mean {
    fn add(&mut self, n: i64, sum: f64, weight: f64) {
        self.n += n as f64 * weight;
        self.sum += sum * weight;
    }

    fn add_aged(&mut self, sums: Self, weight: f64) {
        self.n += sums.n * weight;
        self.sum += sums.sum * weight;
    }

    /// The mean, where there is any value.
    pub(crate) fn value(&self) -> Option<f64> {
        (self.n > 0.0).then(|| self.sum / self.n)
    }
}

struct Decay {
    week: Vec<f64>,
    month: Vec<f64>,
    quarter: Vec<f64>,
}

static DECAY: LazyLock<Decay> = LazyLock::new(|| {
    let by = |half_life: f64| (0..WINDOW_DAYS).map(|age| (-f64::from(age) / half_life).exp2()).collect();
    Decay { week: by(7.0), month: by(30.0), quarter: by(90.0) }
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::delay::Delays;

    fn judged(successes: i64) -> Aggregates {
        Aggregates { judged: 1, successes, ..Aggregates::default() }
    }

    fn taken_back(tally: &Aggregates) -> Aggregates {
        let mut back = Aggregates::default();
        back.add(tally, -1);
        back
    }

    #[test]
    fn what_is_open_counts_by_its_age() {
        let mut delays = Delays::default();
        (0..50).for_each(|day| (0..400).for_each(|hours| delays.add(day, hours, hours % (day + 2) == 0, 1)));
        let (delay, now) = (delays.at(100 * 24), 100 * 24);
        let starts: Vec<(i32, i32)> =
            (0..500).map(|i| (now - 400 + i, 1 + i % 3)).filter(|(at, _)| at % 5 != 0).collect();
        let mut series = Series::default();
        starts.iter().for_each(|(at, count)| series.add_open(*at, *count));
        let seen = series.evidence(now, &delay);
        let (mut open, mut day, mut successes) = (0.0, 0.0, 0.0);
        for (at, count) in starts.iter().filter(|(at, _)| now - at < MATURE_HOURS) {
            let age = (now - at).max(0);
            open += f64::from(*count);
            day += if age >= 24 { f64::from(*count) } else { 0.0 };
            successes += f64::from(*count) * delay.success_after(age);
        }
        assert_eq!((seen.open, seen.open_day), (open, day));
        assert!((seen.open_successes - successes).abs() < 1e-9, "{} {successes}", seen.open_successes);
    }

    /// Sums each day by itself.
    fn by_days(series: &Series, hour: i32) -> GroupStatistics {
        let today = hour.div_euclid(24);
        let mut sum = GroupStatistics::default();
        let within = |day: i32| day > today - WINDOW_DAYS;
        series
            .days
            .iter()
            .filter(|(day, _)| within(*day))
            .for_each(|(day, tally)| sum.add(tally, today - day));
        sum
    }

    #[test]
    fn spans_are_a_function_of_the_days_and_sum_what_the_days_do() {
        let tally = |i: i64| Aggregates {
            judged: 2,
            successes: i % 3,
            scored: 1,
            quality: 1_000_000 * (i % 11),
            metered: i % 2,
            tokens: i128::from(i % 2 * 900),
            priced: i % 2,
            log_cost: -i % 2 * 7_000_000,
            ..Aggregates::default()
        };
        let order = |i: i64| (i * 271) % 1_000;
        let (mut ascending, mut mixed) = (Series::default(), Series::default());
        (0..1_000).for_each(|i| ascending.add(i as i32 * 3 / 4, &tally(i)));
        (0..1_000).map(order).for_each(|i| mixed.add(i as i32 * 3 / 4, &tally(i)));
        // What comes and goes leaves nothing, also where it was the newest.
        (700..900).for_each(|day| mixed.add(day, &tally(5)));
        (700..900).rev().for_each(|day| mixed.add(day, &taken_back(&tally(5))));
        assert_eq!(ascending, mixed);
        for today in
            [1, 15, 16, 17, 300, 399, 400, 401, 416, 417, 700, 749, 750, 900, 1_130, 1_149, 1_150, 1_200]
        {
            let (seen, expected) = (ascending.outcomes(today * 24), by_days(&ascending, today * 24));
            if today < 750 {
                let until: Vec<_> = (0..1_000).filter(|i| (*i as i32 * 3 / 4) <= today).collect();
                let mut known = Series::default();
                until.iter().for_each(|i| known.add(*i as i32 * 3 / 4, &tally(*i)));
                check(&known.outcomes(today * 24), &by_days(&known, today * 24));
            } else {
                check(&seen, &expected);
            }
        }
    }

    fn check(seen: &GroupStatistics, expected: &GroupStatistics) {
        let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-12 * b.abs(), "{seen:?} {expected:?}");
        assert_eq!(seen.all, expected.all);
        near(seen.month.n, expected.month.n);
        near(seen.week.successes, expected.week.successes);
        for (seen, expected) in [
            (seen.quality, expected.quality),
            (seen.tokens, expected.tokens),
            (seen.log_cost, expected.log_cost),
        ] {
            near(seen.n, expected.n);
            near(seen.sum, expected.sum);
        }
    }

    #[test]
    fn evidence_halves_with_each_half_life() {
        let mut series = Series::default();
        series.add(100, &judged(1));
        let delay = Delay::default();
        let seen = series.evidence(107 * 24, &delay);
        assert_eq!((seen.all.n, seen.week.n), (1.0, 0.5));
        assert_eq!(series.evidence(130 * 24, &delay).month.successes, 0.5);
        assert_eq!(series.evidence((100 + WINDOW_DAYS) * 24, &delay).all.n, 0.0);
    }

    #[test]
    fn what_began_since_is_counted_whether_it_has_an_outcome_or_not() {
        let mut series = Series::default();
        series.add(10, &judged(1));
        series.add(12, &judged(0));
        series.add_open(11 * 24, 1);
        series.add_open(12 * 24 + 5, 3);
        let since = [0, 11 * 24, 12 * 24, 12 * 24 + 6, 13 * 24].map(|hour| series.begun_since(hour));
        assert_eq!(since, [6.0, 5.0, 4.0, 1.0, 0.0]);
    }

    #[test]
    fn sums_of_the_largest_counts_do_not_wrap() {
        let most = Aggregates { metered: 1, tokens: i128::from(u64::MAX), ..Aggregates::default() };
        let mut series = Series::default();
        (0..1_000).for_each(|_| series.add(5, &most));
        let seen = series.evidence(5 * 24, &Delay::default());
        assert!((seen.tokens.value().unwrap() / u64::MAX as f64 - 1.0).abs() < 1e-9, "{:?}", seen.tokens);
        (0..1_000).for_each(|_| series.add(5, &taken_back(&most)));
        assert_eq!(series, Series::default());
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut series = Series::default();
        series.add(5, &judged(1));
        series.add(5, &taken_back(&judged(1)));
        assert_eq!(series, Series::default());
    }

    #[test]
    fn a_rate_is_drawn_to_its_prior() {
        assert_eq!(Count { n: 0.0, successes: 0.0 }.rate(0.7, 5.0), 0.7);
        assert_eq!(Count { n: 5.0, successes: 5.0 }.rate(0.5, 5.0), 0.75);
    }
}
