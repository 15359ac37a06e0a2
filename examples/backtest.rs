//! draft
use devmatrix_ml::event::GenerationEvent;
use devmatrix_ml::train::{BacktestOptions, backtest};
use std::io::BufRead;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let f = std::fs::File::open(&args[1])?;
    let r: Box<dyn BufRead> = Box::new(std::io::BufReader::new(flate2::read::MultiGzDecoder::new(f)));
    let mut events = Vec::new();
    for l in r.lines() { events.push(GenerationEvent::from_json(&l?)?); }
    let mut o = BacktestOptions::default();
    o.split = args[2].parse()?;
    for a in &args[3..] {
        if a == "prs" { o.deadline = Some(chrono::TimeDelta::days(14)); o.as_of = Some("2025-06-04T15:59:34Z".parse()?); }
        if a == "daily" { o.retrain_daily = true; }
        if a == "shuffle" { o.shuffle = true; }
        if let Some(s) = a.strip_prefix("seed=") { o.seed = s.parse()?; }
    }
    let report = backtest(events, &o)?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
