//! Prices of LLMs, from which a generation's cost follows where its tokens are known.

use super::completion::Completion;
use crate::error::{Error, Result};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The host's table of prices: US dollars for a million tokens, by LLM and date.
///
/// Its JSON is a list. Each price has the `llm` as [`TaskContext::model_used`](crate::event::TaskContext::model_used) has it,
/// `input` (tokens read that no cache had), `output`, and optionally `cache_read` and `cache_write`, which by default cost as
/// `input` does. It holds from the day `since` (UTC) until a later one of the LLM does, without one from the beginning. A price
/// that is negative or above a million, an unknown key, and two prices of an LLM from one day on are errors that say so.
///
/// ```
/// use devmatrix_ml::event::{Completion, Prices};
/// let prices: Prices = devmatrix_ml::config::from_json(
///     r#"[{"llm": "claude-sonnet-4.5", "input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
///         {"llm": "gpt-4.1-mini", "since": "2025-04-14", "input": 0.4, "output": 1.6}]"#,
/// )?;
/// let mut done = Completion::default();
/// (done.input_tokens, done.output_tokens, done.cache_read_tokens) = (Some(10_000), Some(2_000), Some(100_000));
/// let now = "2025-09-30T12:00:00Z".parse().unwrap();
/// assert_eq!(prices.cost_usd("claude-sonnet-4.5", &done, now), Some(0.03 + 0.03 + 0.03));
/// assert_eq!(prices.cost_usd("unheard of", &done, now), None);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Price>", into = "Vec<Price>")]
pub struct Prices(BTreeMap<String, Vec<Price>>);

/// The price of an LLM from a day on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// The LLM, as [`TaskContext::model_used`](crate::event::TaskContext::model_used) has it.
    llm: String,
    /// The first day (UTC) on which the price holds, until a later price of the LLM does; from the beginning without.
    #[serde(default)]
    since: Option<NaiveDate>,
    /// US dollars for a million tokens read that no cache had.
    input: f64,
    /// US dollars for a million tokens written.
    output: f64,
    /// US dollars for a million tokens read from the cache; by default as `input`.
    #[serde(default)]
    cache_read: Option<f64>,
    /// US dollars for a million tokens read and written to the cache; by default as `input`.
    #[serde(default)]
    cache_write: Option<f64>,
}

/// More than any LLM costs, in US dollars for a million tokens.
const MOST: f64 = 1e6;

impl Prices {
    /// Creates the table.
    ///
    /// # Errors
    /// `InvalidInput` naming the LLM whose price is negative, not finite or above a million, that has no name, or that has
    /// two prices from one day on.
    fn new(prices: Vec<Price>) -> Result<Self> {
        let mut table = BTreeMap::<String, Vec<Price>>::new();
        for price in prices {
            price.validate()?;
            let dated = table.entry(price.llm.clone()).or_default();
            if dated.iter().any(|other| other.since == price.since) {
                let since = price.since.map_or_else(|| "no date".to_owned(), |day| day.to_string());
                return Err(Error::invalid(format!(
                    "prices: {:?} has two with {since} as `since`: keep one, or date the newer",
                    price.llm
                )));
            }
            dated.push(price);
        }
        table.values_mut().for_each(|dated| dated.sort_by_key(|price| price.since));
        Ok(Self(table))
    }

    /// Returns what the tokens of a generation that ended at `at` cost with `llm`; `None` where no token is known or the LLM
    /// has no price on that day.
    ///
    /// Tokens of a total whose part is not known count by the price of the part that is missing: as input where output is
    /// known, as output where input is, and at the mean of both where neither is.
    pub fn cost_usd(&self, llm: &str, done: &Completion, at: DateTime<Utc>) -> Option<f64> {
        let (price, all) = (self.on(llm, at)?, done.tokens()? as f64);
        let parts = done.token_parts();
        let known: f64 = parts.iter().flatten().map(|tokens| *tokens as f64).sum();
        let cost: f64 =
            price.of_parts().iter().zip(parts).map(|(usd, tokens)| usd * tokens.unwrap_or(0) as f64).sum();
        let rest = match (done.input_tokens, done.output_tokens) {
            (_, Some(_)) => price.input,
            (Some(_), None) => price.output,
            (None, None) => price.blended(),
        };
        Some((cost + rest * (all - known).max(0.0)) / 1e6)
    }

    /// Returns whether there is no price at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the price of `llm` on the day of `at`.
    pub(crate) fn on(&self, llm: &str, at: DateTime<Utc>) -> Option<&Price> {
        let day = at.date_naive();
        self.0.get(llm)?.iter().rev().find(|price| price.since.is_none_or(|since| since <= day))
    }
}

impl Price {
    /// Returns US dollars for a million tokens of input, output, cache read and cache write.
    pub(crate) fn of_parts(&self) -> [f64; 4] {
        let cached = |price: Option<f64>| price.unwrap_or(self.input);
        [self.input, self.output, cached(self.cache_read), cached(self.cache_write)]
    }

    /// Returns US dollars for a million tokens of which nothing else is known.
    pub(crate) fn blended(&self) -> f64 {
        0.5 * (self.input + self.output)
    }

    fn validate(&self) -> Result<()> {
        if self.llm.is_empty() {
            return Err(Error::invalid("prices: an LLM's name is empty"));
        }
        let named = ["input", "output", "cache_read", "cache_write"].into_iter().zip(self.of_parts());
        for (name, usd) in named {
            if !(0.0..=MOST).contains(&usd) {
                return Err(Error::invalid(format!(
                    "prices: {name} of {:?} is {usd}, expected 0 to {MOST} US dollars for a million tokens",
                    self.llm
                )));
            }
        }
        Ok(())
    }
}

#[allow(private_interfaces)] // the form that serde reads
impl TryFrom<Vec<Price>> for Prices {
    type Error = Error;

    fn try_from(prices: Vec<Price>) -> Result<Self> {
        Self::new(prices)
    }
}

impl From<Prices> for Vec<Price> {
    fn from(prices: Prices) -> Self {
        prices.0.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(text: &str) -> Result<Prices> {
        crate::config::from_json(text)
    }

    fn at(day: &str) -> DateTime<Utc> {
        format!("{day}T12:00:00Z").parse().unwrap()
    }

    fn tokens(all: Option<u64>, input: Option<u64>, output: Option<u64>) -> Completion {
        Completion { tokens_used: all, input_tokens: input, output_tokens: output, ..Completion::default() }
    }

    #[test]
    fn a_price_holds_from_its_day_on() {
        let table = prices(
            r#"[{"llm":"a","since":"2025-06-01","input":1,"output":2},{"llm":"a","since":"2025-01-01","input":10,"output":20},
                {"llm":"b","input":4,"output":4}]"#,
        )
        .unwrap();
        let done = tokens(None, Some(1_000_000), Some(500_000));
        let cost = |llm, day| table.cost_usd(llm, &done, at(day));
        assert_eq!((cost("a", "2025-06-01"), cost("a", "2025-05-31")), (Some(2.0), Some(20.0)));
        assert_eq!((cost("a", "2024-12-31"), cost("b", "1999-01-01")), (None, Some(6.0)));
        let written: Prices = prices(&serde_json::to_string(&table).unwrap()).unwrap();
        assert_eq!(written, table);
    }

    #[test]
    fn tokens_of_an_unknown_part_count_as_the_missing_one() {
        let table = prices(r#"[{"llm":"a","input":2,"output":8}]"#).unwrap();
        let cost = |done: &Completion| table.cost_usd("a", done, at("2025-01-01"));
        assert_eq!(cost(&tokens(Some(1_000_000), None, None)), Some(5.0));
        assert_eq!(cost(&tokens(Some(1_000_000), None, Some(500_000))), Some(5.0));
        assert_eq!(cost(&tokens(Some(1_000_000), Some(500_000), None)), Some(5.0));
        assert_eq!(cost(&tokens(Some(1_000_000), None, Some(0))), Some(2.0));
        assert_eq!(cost(&Completion::default()), None);
        let cached = Completion { cache_read_tokens: Some(1_000_000), ..tokens(None, None, Some(0)) };
        assert_eq!(cost(&cached), Some(2.0)); // no price of its own: as input
    }

    #[test]
    fn what_cannot_be_a_price_is_refused_by_name() {
        let refused = [
            (r#"[{"llm":"a","input":-1,"output":1}]"#, "input of \"a\" is -1"),
            (r#"[{"llm":"a","input":1,"output":1e300}]"#, "output of \"a\""),
            (r#"[{"llm":"a","input":1,"output":1,"cache_read":-0.1}]"#, "cache_read of \"a\""),
            (r#"[{"llm":"","input":1,"output":1}]"#, "name is empty"),
            (
                r#"[{"llm":"a","input":1,"output":1},{"llm":"a","input":2,"output":2}]"#,
                "has two with no date",
            ),
            (r#"[{"llm":"a","input":1,"outptu":1}]"#, "did you mean `output`"),
        ];
        for (text, why) in refused {
            let error = prices(text).unwrap_err();
            assert!(error.to_string().contains(why), "{error} instead of {why}");
        }
        let nan = Price {
            llm: "a".into(),
            since: None,
            input: f64::NAN,
            output: 1.0,
            cache_read: None,
            cache_write: None,
        };
        assert!(Prices::new(vec![nan]).is_err());
    }

    #[test]
    fn parts_beyond_the_total_are_an_error() {
        let error = tokens(Some(10), Some(8), Some(3)).validate().unwrap_err();
        assert!(error.to_string().contains("add up to 11, more than the tokens_used of 10"), "{error}");
        assert!(tokens(Some(11), Some(8), Some(3)).validate().is_ok());
        assert!(tokens(None, Some(u64::MAX), Some(3)).validate().is_err());
        assert_eq!(tokens(None, Some(8), Some(3)).tokens(), Some(11));
    }
}
