//! What was chosen: the shares of each policy by week.

use super::plot::{Frame, figure, missing, px, share_ticks, table, thinned};
use super::{show, weeks};
use crate::monitoring::RoutingShare;
use chrono::NaiveDate;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Choices that get a colour of their own; the others share the last one.
const COLOURS: usize = 6;

/// Policies that are shown.
const MOST: usize = 4;

pub(super) fn section(shares: &[RoutingShare]) -> Markup {
    let mut policies = BTreeMap::<&str, (u64, Vec<&RoutingShare>)>::new();
    for share in shares {
        let policy = policies.entry(&share.policy).or_default();
        policy.0 = policy.0.saturating_add(share.n);
        policy.1.push(share);
    }
    let mut policies: Vec<_> = policies.into_iter().collect();
    policies.sort_by_key(|(name, (n, _))| (std::cmp::Reverse(*n), *name));
    html! {
        section aria-labelledby="routing" {
            h2 #routing { "Routing" }
            p.lead { "Choices of each policy by week, from the stored decisions." }
            @if policies.is_empty() {
                (missing("No routing shares: no generation was stored with a decision."))
            } @else {
                div.wide { @for (name, (n, shares)) in policies.iter().take(MOST) { (of_policy(name, *n, shares)) } }
                @if policies.len() > MOST { p.note { "and " (policies.len() - MOST) " more policies" } }
            }
        }
    }
}

fn of_policy(name: &str, total: u64, shares: &[&RoutingShare]) -> Markup {
    let mut by_choice = BTreeMap::<&str, (u64, f64)>::new();
    let mut by_week = BTreeMap::<NaiveDate, BTreeMap<&str, u64>>::new();
    for share in shares {
        let sums = by_choice.entry(&share.chosen).or_default();
        sums.0 = sums.0.saturating_add(share.n);
        sums.1 += share.propensity * share.n as f64;
        let week = by_week.entry(weeks::monday(share.day)).or_default().entry(&share.chosen).or_default();
        *week = week.saturating_add(share.n);
    }
    let mut choices: Vec<_> = by_choice.into_iter().collect();
    choices.sort_by_key(|(choice, (n, _))| (std::cmp::Reverse(*n), *choice));
    let colour = |choice: &str| {
        let place = choices.iter().position(|(c, _)| *c == choice).unwrap_or(COLOURS);
        format!("c{}", place.min(COLOURS) + 1)
    };
    let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
    let drawn = columns(name, &names, &by_week, colour);
    let key = html! {
        ul.key {
            @for (choice, (n, _)) in choices.iter().take(COLOURS) {
                li data-chosen=(choice) data-n=(n) { svg viewBox="0 0 22 10" aria-hidden="true" { rect class=(colour(choice)) width="14" height="10" rx="2" {} } bdi { (show::cut(choice, 40)) } }
            }
            @if choices.len() > COLOURS {
                li { svg viewBox="0 0 22 10" aria-hidden="true" { rect.c7 width="14" height="10" rx="2" {} } (choices.len() - COLOURS) " others" }
            }
        }
    };
    let rows: Vec<_> = choices
        .iter()
        .map(|(choice, (n, propensity))| {
            let mean = show::percent((*n > 0).then(|| propensity / *n as f64));
            vec![(*choice).to_owned(), show::count(*n), show::percent(*n as f64 / total as f64), mean]
        })
        .collect();
    let says = format!("{} choices.", show::count(total));
    let table = table(&["Chosen", "Times", "Share", "Mean propensity"], &rows);
    html! { div data-policy=(name) data-n=(total) { (figure(name, &says, &drawn, &key, &table)) } }
}

/// A column for each week, divided by what was chosen.
fn columns(
    policy: &str,
    choices: &[&str],
    by_week: &BTreeMap<NaiveDate, BTreeMap<&str, u64>>,
    colour: impl Fn(&str) -> String,
) -> Markup {
    let frame = Frame { height: 240.0, ..Frame::new((0.0, by_week.len() as f64), (0.0, 1.0)) };
    let labels: Vec<_> =
        by_week.keys().enumerate().map(|(i, week)| (i as f64 + 0.5, show::short_day(*week))).collect();
    let wide = (frame.at_x(1.0) - frame.left()) * 0.8;
    let plot = html! {
        (frame.grid_y(&share_ticks(), "share"))
        @for (i, chosen) in by_week.values().enumerate() {
            @let total = chosen.values().map(|n| *n as f64).sum::<f64>().max(1.0);
            @for (from, n, choice) in stacked(choices, chosen) {
                @let (low, high) = (frame.at_y(from as f64 / total), frame.at_y((from as f64 + n as f64) / total));
                rect class=(colour(choice)) x=(px(frame.at_x(i as f64 + 0.5) - wide / 2.0)) y=(px(high)) width=(px(wide)) height=(px(low - high)) {
                    title { (choice) ": " (show::percent(n as f64 / total)) }
                }
            }
        }
        (frame.labels_x(&thinned(&labels, 5), "week from"))
    };
    let weeks = by_week.iter().map(|(week, chosen)| {
        let total = chosen.values().map(|n| *n as f64).sum::<f64>().max(1.0);
        let shares = chosen.iter().map(|(c, n)| format!("{c} {}", show::percent(*n as f64 / total)));
        format!("week from {}: {}", show::day(*week), shares.collect::<Vec<_>>().join(", "))
    });
    let description = format!("{}.", weeks.collect::<Vec<_>>().join("; "));
    frame.draw("plot", &format!("Choices of {policy} by week"), &description, &plot)
}

/// What stands below, how often, and what, in the order of `choices`.
fn stacked<'a>(choices: &[&'a str], chosen: &BTreeMap<&str, u64>) -> Vec<(u64, u64, &'a str)> {
    let mut below = 0;
    let mut parts = Vec::new();
    for choice in choices {
        let n = chosen.get(choice).copied().unwrap_or(0);
        if n > 0 {
            parts.push((below, n, *choice));
            below = u64::saturating_add(below, n);
        }
    }
    parts
}
