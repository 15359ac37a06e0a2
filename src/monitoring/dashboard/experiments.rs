//! Experiments: arms, conclusion and reasons.

use super::plot::{Frame, missing, px, table};
use super::show;
use crate::experimentation::ab_tests::{ArmReport, ExperimentReport, ExperimentVerdict, Metric};
use maud::{Markup, html};

pub(super) fn section(experiments: &[ExperimentReport]) -> Markup {
    html! {
        section aria-labelledby="experiments" {
            h2 #experiments { "Experiments" }
            p.lead { "Each arm against its control; the intervals are anytime-valid." }
            @if experiments.is_empty() {
                (missing("No experiments were passed to this page."))
            } @else {
                div.wide { @for report in experiments { (of_experiment(report)) } }
            }
        }
    }
}

fn of_experiment(report: &ExperimentReport) -> Markup {
    let class = match report.verdict {
        ExperimentVerdict::Winner { .. } => "tag good",
        ExperimentVerdict::Harm { .. } | ExperimentVerdict::Broken => "tag bad",
        _ => "tag",
    };
    let rows: Vec<_> = report
        .arms
        .iter()
        .map(|arm| {
            let (success, cost) = (show::percent(arm.success), show::dollars(arm.cost));
            vec![arm.arm.clone(), show::count(arm.units), success, cost, show::seconds(arm.seconds)]
        })
        .collect();
    html! {
        div.card data-experiment=(report.experiment) {
            h3 { bdi { (report.experiment) } " " span class=(class) { bdi { (report.verdict.to_string()) } } }
            @for reason in &report.reasons { p.soft style="margin:.15rem 0" { bdi { (reason) } } }
            (differences(report))
            div.scroll { (table(&["Arm", "Units", "Success", "Cost", "Time"], &rows)) }
            @if report.young > 0 { p.note { (show::count(report.young as u64)) " generations are younger than the attribution window." } }
        }
    }
}

/// The arms' success against the control's, in points, on one scale.
fn differences(report: &ExperimentReport) -> Markup {
    let compared = |arm: &ArmReport| {
        arm.against_control
            .iter()
            .find(|c| c.metric == Metric::Success)
            .copied()
            .map(|c| (arm.arm.clone(), c))
    };
    let arms: Vec<_> = report.arms.iter().filter_map(compared).collect();
    let ends = arms.iter().flat_map(|(_, c)| [c.lower.abs(), c.upper.abs()]).filter(|v| v.is_finite());
    let most = ends.fold(0.01, f64::max);
    let height = 44.0 + 30.0 * arms.len() as f64;
    let ends = ((-most, most), (0.0, arms.len() as f64));
    let frame = Frame { height, room: (104.0, 14.0, 4.0, 38.0), ..Frame::new(ends.0, ends.1) };
    let ticks: Vec<_> = [
        (-most, show::signed(-most * 100.0, 1)),
        (0.0, "0".to_owned()),
        (most, show::signed(most * 100.0, 1)),
    ]
    .into();
    let plot = html! {
        line.ideal x1=(px(frame.at_x(0.0))) x2=(px(frame.at_x(0.0))) y1=(px(frame.top())) y2=(px(frame.bottom())) {}
        @for (i, (name, found)) in arms.iter().enumerate() {
            @let y = frame.at_y(arms.len() as f64 - i as f64 - 0.5);
            text.end x=(px(frame.left() - 8.0)) y=(px(y + 4.5)) { (show::cut(name, 13)) }
            line.whisker x1=(px(frame.at_x(found.lower))) x2=(px(frame.at_x(found.upper))) y1=(px(y)) y2=(px(y)) {}
            circle.dot cx=(px(frame.at_x(found.difference))) cy=(px(y)) r="5" {}
        }
        (frame.labels_x(&ticks, "success minus the control, percentage points"))
    };
    let description =
        arms.iter().map(|(name, found)| format!("{name}: {found}")).collect::<Vec<_>>().join("; ");
    html! {
        @if !arms.is_empty() {
            (frame.draw("plot", &format!("Experiment {}: success against the control", report.experiment), &description, &plot))
        }
    }
}
