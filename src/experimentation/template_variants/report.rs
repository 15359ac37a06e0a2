//! The evaluation of templates, for a person to read.

use super::compare::TemplateContrast;
use super::logged_templates::TemplateOutcome;
use super::variant_registry::{Variant, VariantStatus};
use crate::event::TemplateId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Statistics of templates by context, with a verdict on each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EvolutionReport {
    /// Statistics of each template in each context, not weighted by propensities.
    pub(super) records: Vec<TemplateRecord>,
    /// Verdicts on each active template and each variant on trial.
    pub(super) verdicts: Vec<TemplateVerdict>,
    /// Generations without stored propensities: they are counted and not compared.
    #[serde(alias = "without_odds")]
    pub(crate) without_propensity: usize,
    /// Generations without a label at the end of the attribution window.
    #[serde(alias = "unanswered")]
    pub(crate) unlabelled: usize,
    /// Generations younger than the attribution window.
    pub(crate) young: usize,
}

/// Statistics of a template in a context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TemplateRecord {
    /// The template.
    pub(super) template: TemplateId,
    /// Type of the tasks, and their language where that is told apart.
    pub(super) context: String,
    /// Generations with an outcome.
    pub(super) uses: usize,
    /// Share of them approved without modification.
    pub(super) success: f64,
    /// Mean quality, 0 to 10, where it is known.
    pub(super) quality: Option<f64>,
    /// Mean seconds, where they are known.
    pub(super) seconds: Option<f64>,
    /// Mean cost in US dollars, where it is known.
    pub(super) cost_usd: Option<f64>,
}

/// The verdict on a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VerdictKind {
    /// Make it active.
    Promote,
    /// Retire it.
    Retire,
    /// Change nothing.
    Continue,
}

/// The verdict on a template, with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TemplateVerdict {
    /// The template.
    pub(super) template: TemplateId,
    /// Its status at the evaluation.
    pub(super) status: VariantStatus,
    pub(super) verdict: VerdictKind,
    /// The deciding reason first.
    pub(super) reasons: Vec<String>,
    /// The comparisons made, that over all contexts first.
    pub(super) contrasts: Vec<TemplateContrast>,
}

impl TemplateVerdict {
    pub(super) fn of(
        variant: &Variant,
        verdict: VerdictKind,
        reasons: Vec<String>,
        contrasts: Vec<TemplateContrast>,
    ) -> Self {
        Self { template: variant.id.clone(), status: variant.status(), verdict, reasons, contrasts }
    }
}

/// Returns the statistics of each template in each context.
pub(super) fn records(outcomes: &[TemplateOutcome]) -> Vec<TemplateRecord> {
    let mut groups = BTreeMap::<(&TemplateId, &str), Vec<&TemplateOutcome>>::new();
    for outcome in outcomes {
        groups.entry((&outcome.template, &outcome.context)).or_default().push(outcome);
    }
    let record = |((template, context), of): ((&TemplateId, &str), Vec<&TemplateOutcome>)| TemplateRecord {
        template: template.clone(),
        context: context.to_owned(),
        uses: of.len(),
        success: of.iter().filter(|outcome| outcome.success).count() as f64 / of.len() as f64,
        quality: mean(of.iter().filter_map(|outcome| outcome.quality)),
        seconds: mean(of.iter().filter_map(|outcome| outcome.seconds)),
        cost_usd: mean(of.iter().filter_map(|outcome| outcome.cost_usd)),
    };
    groups.into_iter().map(record).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

impl fmt::Display for EvolutionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TemplateVerdict { template, status, verdict, reasons, .. } in &self.verdicts {
            writeln!(f, "{template} ({status}): {verdict}")?;
            reasons.iter().try_for_each(|reason| writeln!(f, "  because {reason}"))?;
            for record in self.records.iter().filter(|record| record.template == *template) {
                writeln!(f, "  {record}")?;
            }
        }
        if self.without_propensity > 0 {
            writeln!(
                f,
                "{} generations without stored propensities are counted, not compared",
                self.without_propensity
            )?;
        }
        if self.young + self.unlabelled > 0 {
            let Self { young, unlabelled, .. } = self;
            writeln!(
                f,
                "{young} generations are younger than the attribution window, {unlabelled} are not labelled"
            )?;
        }
        Ok(())
    }
}

/// `backend: 120 uses, success 71.7 %, quality 7.9, 14 s, 0.0210 $`.
impl fmt::Display for TemplateRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} uses, success {:.1} %", self.context, self.uses, self.success * 100.0)?;
        self.quality.map_or(Ok(()), |quality| write!(f, ", quality {quality:.1}"))?;
        self.seconds.map_or(Ok(()), |seconds| write!(f, ", {seconds:.0} s"))?;
        self.cost_usd.map_or(Ok(()), |cost| write!(f, ", {cost:.4} $"))
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Retire => "retire",
            Self::Continue => "continue",
        })
    }
}
