//! What monitoring adds to an event, and that its memory stays bounded over many.
//!
//! `cargo bench --bench monitor` measures 300,000 generations; `EVENTS=10000000` as many as that.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

#[path = "../tests/common/monitored.rs"]
#[allow(dead_code, unreachable_pub)]
mod monitored;

use allocation_counter::measure;
use devmatrix_ml::event::Record;
use devmatrix_ml::history::History;
use devmatrix_ml::monitor::{ModelFacts, Monitor, MonitorOptions};
use monitored::Stream;
use std::time::{Duration, Instant};

/// Generations handed over between two looks at the clock: made outside of the measurement.
const CHUNK: usize = 1_000;

fn main() {
    let events: usize = std::env::var("EVENTS").ok().map_or(300_000, |events| events.parse().unwrap());
    let mut stream = Stream::new(1);
    stream.predicted = Some(0.2);
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    let (mut spent, mut held, mut records) = (Duration::ZERO, 0, 0);
    for chunk in 1..=events.div_ceil(CHUNK) {
        let made: Vec<Record> = (0..CHUNK).flat_map(|_| stream.step()).collect();
        stream.shown.clear();
        records += made.len();
        let info = measure(|| {
            let begun = Instant::now();
            made.iter().for_each(|record| monitor.observe(record));
            spent += begun.elapsed();
        });
        held += info.bytes_current;
        if (chunk * CHUNK * 10).is_multiple_of(events.max(10)) {
            println!("after {:>10} generations: {:>6.1} MB held", chunk * CHUNK, held as f64 / 1e6);
        }
    }
    let n = events as f64;
    let (each, fact) = (spent.as_secs_f64() * 1e6 / n, spent.as_secs_f64() * 1e6 / records as f64);
    println!("monitoring: {each:.2} us a generation, {fact:.2} us a record");
    beside();
    let begun = Instant::now();
    monitor.review(stream.now());
    println!("looking for patterns in {} outcomes: {:?}", monitor.options().recent, begun.elapsed());
    let begun = Instant::now();
    let seen = monitor.analytics(stream.now(), &ModelFacts::default());
    println!(
        "a report over {} days and {} slices: {:?}",
        seen.periods.len(),
        seen.slices.len(),
        begun.elapsed()
    );
    let begun = Instant::now();
    let bytes = monitor.to_bytes().unwrap();
    println!("written: {:.1} MB in {:?}", bytes.len() as f64 / 1e6, begun.elapsed());
}

/// The history, which every recorded event goes through, on the same records.
fn beside() {
    let mut stream = Stream::new(1);
    let made: Vec<Record> = (0..20_000).flat_map(|_| stream.step()).collect();
    let mut history = History::new();
    let begun = Instant::now();
    made.iter().for_each(|record| history.apply(record));
    println!("the history beside it: {:.2} us a generation", begun.elapsed().as_secs_f64() * 1e6 / 20_000.0);
}
