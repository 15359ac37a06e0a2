//! The formats: one table.

use super::Reader;
use super::{github, langfuse, litellm, mapped, matrix, mlflow, otlp, tensorzero, trajectories};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A format that [`import`](super::import) reads; as text its name, such as `github` or `otlp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Format {
    /// The flat form of this crate, as lines or an array.
    Jsonl,
    /// Pull requests: `gh pr list --json`, pages of `gh api`, REST or GraphQL.
    Github,
    /// Any table or JSON, by a mapping.
    Csv,
    /// Tasks × LLMs: a row for each cell, or a column for each LLM.
    Matrix,
    /// LiteLLM's spend logs and standard logging payloads.
    Litellm,
    /// Langfuse's observations, scores and traces.
    Langfuse,
    /// GenAI spans and logs of OpenTelemetry, in any of its JSON encodings.
    Otlp,
    /// What agents leave: mini-swe-agent, SWE-agent, OpenHands, Claude Code, Codex, terminal-bench. It recognizes which.
    Trajectories,
    /// Traces of MLflow.
    Mlflow,
    /// Inferences and feedback of TensorZero.
    Tensorzero,
}

/// One row of the table: the format, its names (the first is its own), whether it may be a table too, its reader.
type FormatRow = (Format, &'static [&'static str], bool, fn() -> Box<dyn Reader>);

const FORMATS: [FormatRow; 10] = [
    (Format::Jsonl, &["jsonl", "flat", "events"], false, || Box::new(mapped::Flat)),
    (Format::Github, &["github", "github-prs", "github-pull-requests", "gh", "pull-requests"], false, || {
        Box::<github::Github>::default()
    }),
    (Format::Csv, &["csv", "mapping", "tsv"], true, || Box::new(mapped::Mapped)),
    (Format::Matrix, &["matrix", "matrix-csv", "routerbench"], true, || Box::<matrix::Matrix>::default()),
    (Format::Litellm, &["litellm", "litellm-spend-logs"], true, || Box::new(litellm::Litellm)),
    (Format::Langfuse, &["langfuse"], true, || Box::<langfuse::Langfuse>::default()),
    (Format::Otlp, &["otlp", "otel", "opentelemetry", "openinference", "openllmetry"], false, || {
        Box::<otlp::Otlp>::default()
    }),
    (
        Format::Trajectories,
        &[
            "trajectories",
            "trajectory",
            "mini-swe-agent",
            "swe-agent",
            "openhands",
            "claude-code",
            "codex",
            "terminal-bench",
            "harbor",
        ],
        false,
        || Box::<trajectories::Trajectories>::default(),
    ),
    (Format::Mlflow, &["mlflow", "mlflow-traces"], false, || Box::new(mlflow::Mlflow)),
    (Format::Tensorzero, &["tensorzero"], true, || Box::<tensorzero::Tensorzero>::default()),
];

impl Format {
    fn row(self) -> &'static FormatRow {
        FORMATS.iter().find(|row| row.0 == self).unwrap_or(&FORMATS[0])
    }

    pub(super) fn is_tabular(self) -> bool {
        self.row().2
    }

    pub(super) fn reader(self) -> Box<dyn Reader> {
        self.row().3()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1[0])
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = name.trim().to_lowercase().replace('_', "-");
        let names = || FORMATS.iter().flat_map(|row| row.1.iter().map(move |name| (*name, row.0)));
        names().find(|(name, _)| *name == wanted).map(|(_, format)| format).ok_or_else(|| {
            let near = names().min_by_key(|(name, _)| strsim::damerau_levenshtein(&wanted, name));
            let near = near.map(|(name, _)| name).unwrap_or_default();
            let all: Vec<_> = FORMATS.iter().map(|row| row.1[0]).collect();
            Error::invalid(format!(
                "there is no format {name:?}, did you mean {near}? Expected one of {}",
                all.join(", ")
            ))
        })
    }
}

impl TryFrom<String> for Format {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_its_names_and_a_wrong_one_names_the_nearest() {
        for row in &FORMATS {
            assert_eq!(row.0.to_string().parse::<Format>().unwrap(), row.0);
        }
        assert_eq!("Claude_Code".parse::<Format>().unwrap(), Format::Trajectories);
        let error = "gihtub".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("did you mean github?"), "{error}");
        assert_eq!(serde_json::to_string(&Format::Otlp).unwrap(), "\"otlp\"");
    }
}
