//! What is known when a generation has finished.

use super::check::{self, Checked, Metadata};
use super::columns::{self, Columns};
use super::decision::Decision;
use super::given;
use super::review::ReviewRequest;
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The result of a generation: its code, what was measured on it, what it cost.
///
/// ```
/// use devmatrix_ml::event::Completion;
/// let mut done = Completion::default();
/// done.generated_code = Some("def f(): pass".into());
/// done.generation_time_seconds = Some(12.5);
/// done.tokens_used = Some(900);
/// assert!(done.success.is_none()); // not known yet
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Completion {
    /// When the generation ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// The code.
    pub generated_code: Option<String>,
    /// Where it goes.
    pub file_path: Option<String>,
    /// Physical lines.
    #[serde(deserialize_with = "given::whole")]
    pub lines_of_code: Option<u32>,
    /// Cyclomatic complexity.
    pub cyclomatic_complexity: Option<f64>,
    /// Functions defined.
    #[serde(deserialize_with = "given::whole")]
    pub num_functions: Option<u32>,
    /// Classes defined.
    #[serde(deserialize_with = "given::whole")]
    pub num_classes: Option<u32>,
    /// `true` if it is typed.
    pub has_type_hints: Option<bool>,
    /// `true` if it is documented.
    pub has_docstrings: Option<bool>,
    /// `true` if it holds tests.
    pub has_tests: Option<bool>,
    /// Places where it cannot be read as its language; `None` where that cannot be told.
    #[serde(deserialize_with = "given::whole")]
    pub syntax_errors: Option<u32>,
    /// Which of these metrics the host supplied itself; the others were measured on the code.
    #[serde(deserialize_with = "given::or_default")]
    pub host_metrics: Vec<MetricField>,
    /// The agent's own review, 0 to 10.
    pub self_review_score: Option<f64>,
    /// The agent's own words on it.
    pub self_review_feedback: Option<String>,
    /// Seconds from start to end.
    pub generation_time_seconds: Option<f64>,
    /// Tokens read and written, all of them; where it is not given, the sum of the four parts.
    #[serde(deserialize_with = "given::whole")]
    pub tokens_used: Option<u64>,
    /// Tokens read that no cache had.
    #[serde(deserialize_with = "given::whole", skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens written, those of reasoning among them.
    #[serde(deserialize_with = "given::whole", skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tokens read from the LLM's cache.
    #[serde(deserialize_with = "given::whole", skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    /// Tokens read and written to the LLM's cache.
    #[serde(deserialize_with = "given::whole", skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Cost in US dollars; where it is not given, a collector with [prices](crate::event::Prices) computes it.
    pub cost_usd: Option<f64>,
    /// True where the cost was computed from tokens and prices.
    #[serde(deserialize_with = "given::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub cost_from_prices: bool,
    /// Success where a machine judges it (tests passed); a person's feedback overrides it.
    pub success: Option<bool>,
    /// Approval where a machine gives it; a person's feedback overrides it.
    pub approved: Option<bool>,
    /// Quality where a machine scores it, 0 to 10; a person's score overrides it.
    pub final_quality_score: Option<f64>,
    /// Regenerations that the host counted itself.
    #[serde(deserialize_with = "given::whole")]
    pub num_regenerations: Option<u32>,
    /// Request for a review by a person, with its propensity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewRequest>,
    /// Decision about the next action, where an automatic check called for one, with its
    /// propensity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<Decision>,
    /// The host's own columns that are known once the generation has ended.
    #[serde(deserialize_with = "columns::given", skip_serializing_if = "Columns::is_empty")]
    pub columns: Columns,
    /// The host's own pairs; they are added to those given at the start.
    #[serde(deserialize_with = "given::metadata")]
    pub metadata: Metadata,
}

/// A metric of generated code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetricField {
    /// [`Completion::lines_of_code`].
    LinesOfCode,
    /// [`Completion::cyclomatic_complexity`].
    CyclomaticComplexity,
    /// [`Completion::num_functions`].
    NumFunctions,
    /// [`Completion::num_classes`].
    NumClasses,
    /// [`Completion::has_type_hints`].
    HasTypeHints,
    /// [`Completion::has_docstrings`].
    HasDocstrings,
    /// [`Completion::has_tests`].
    HasTests,
    /// [`Completion::syntax_errors`].
    SyntaxErrors,
}

impl MetricField {
    pub(crate) const ALL: [Self; 8] = [
        Self::LinesOfCode,
        Self::CyclomaticComplexity,
        Self::NumFunctions,
        Self::NumClasses,
        Self::HasTypeHints,
        Self::HasDocstrings,
        Self::HasTests,
        Self::SyntaxErrors,
    ];

    pub(crate) fn is_known(self, of: &Completion) -> bool {
        match self {
            Self::LinesOfCode => of.lines_of_code.is_some(),
            Self::CyclomaticComplexity => of.cyclomatic_complexity.is_some(),
            Self::NumFunctions => of.num_functions.is_some(),
            Self::NumClasses => of.num_classes.is_some(),
            Self::HasTypeHints => of.has_type_hints.is_some(),
            Self::HasDocstrings => of.has_docstrings.is_some(),
            Self::HasTests => of.has_tests.is_some(),
            Self::SyntaxErrors => of.syntax_errors.is_some(),
        }
    }

    fn clear(self, of: &mut Completion) {
        match self {
            Self::LinesOfCode => of.lines_of_code = None,
            Self::CyclomaticComplexity => of.cyclomatic_complexity = None,
            Self::NumFunctions => of.num_functions = None,
            Self::NumClasses => of.num_classes = None,
            Self::HasTypeHints => of.has_type_hints = None,
            Self::HasDocstrings => of.has_docstrings = None,
            Self::HasTests => of.has_tests = None,
            Self::SyntaxErrors => of.syntax_errors = None,
        }
    }
}

impl Completion {
    /// Returns the host's own values, without those measured on the code.
    pub(crate) fn as_given(&self) -> Self {
        let mut given = self.clone();
        if given.generated_code.is_some() {
            let measured = MetricField::ALL.into_iter().filter(|field| !self.host_metrics.contains(field));
            measured.for_each(|field| field.clear(&mut given));
        }
        if given.cost_from_prices {
            (given.cost_usd, given.cost_from_prices) = (None, false);
        }
        given
    }

    /// Returns the tokens of input, output, cache read and cache write, as far as they are known.
    pub(crate) fn token_parts(&self) -> [Option<u64>; 4] {
        [self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens]
    }

    /// Returns all tokens; where the host gave no total, the sum of the parts.
    pub(crate) fn tokens(&self) -> Option<u64> {
        let known = || self.token_parts().into_iter().flatten();
        self.tokens_used.or_else(|| known().next().map(|_| known().fold(0, u64::saturating_add)))
    }

    fn validate_tokens(&self) -> Result<()> {
        let known = || self.token_parts().into_iter().flatten();
        match (self.tokens_used, known().try_fold(0_u64, u64::checked_add)) {
            (_, None) => Err(Error::invalid(
                "input_tokens, output_tokens, cache_read_tokens and cache_write_tokens add up to more than 2^64",
            )),
            (Some(all), Some(sum)) if sum > all => Err(Error::invalid(format!(
                "input_tokens, output_tokens, cache_read_tokens and cache_write_tokens add up to {sum}, more than the \
                 tokens_used of {all}: each token counts in one part, so leave those of the cache out of input_tokens"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks every number's range.
    ///
    /// # Errors
    /// `InvalidInput` naming the field and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        check::time("completed_at", self.completed_at)?;
        check::range("cyclomatic_complexity", self.cyclomatic_complexity, 0.0, 1e9)?;
        check::range("self_review_score", self.self_review_score, 0.0, 10.0)?;
        check::range("generation_time_seconds", self.generation_time_seconds, 0.0, 1e9)?;
        check::range("cost_usd", self.cost_usd, 0.0, 1e9)?;
        self.validate_tokens()?;
        columns::validate(&self.columns)?;
        self.review.as_ref().map_or(Ok(()), ReviewRequest::validate)?;
        self.next_step.as_ref().map_or(Ok(()), Decision::validate)?;
        check::range("final_quality_score", self.final_quality_score, 0.0, 10.0)
    }
}

impl Checked for Completion {
    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    fn admit(&self) -> Result<()> {
        self.review.as_ref().map_or(Ok(()), ReviewRequest::admit)?;
        self.next_step.as_ref().map_or(Ok(()), Decision::admit)
    }

    fn clean(&mut self) -> Result<()> {
        self.completed_at = self.completed_at.map(check::to_micros);
        check::clean_option(&mut self.generated_code);
        check::clean_option(&mut self.file_path);
        check::clean_option(&mut self.self_review_feedback);
        self.review.iter_mut().for_each(ReviewRequest::clean);
        self.next_step.iter_mut().for_each(Decision::clean);
        self.host_metrics.sort_unstable();
        self.host_metrics.dedup();
        columns::clean(&mut self.columns);
        check::clean_metadata(&mut self.metadata)
    }
}
