//! Overhead of monitoring per event, and its memory over many events.
//!
//! An event is a record: a start, an end or feedback. `cargo bench --bench monitor` feeds 900,000;
//! `EVENTS=10000000` as many as that. What it costs is the time of the processor (on Linux; elsewhere that
//! of the wall) for making and taking in records, less that for making the same ones alone.
#![allow(clippy::unwrap_used)] // a bench may fail by unwrapping

#[path = "../tests/common/monitored.rs"]
#[allow(dead_code, unreachable_pub)]
mod monitored;

use allocation_counter::measure;
use devmatrix_ml::event::Record;
use devmatrix_ml::history::SharedHistory;
use devmatrix_ml::monitoring::{KpiName, ModelFacts, Monitor, MonitorOptions};
use monitored::Stream;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Generations created per batch.
const CHUNK: usize = 100;
/// Records per generation.
const RECORDS: usize = 3;
/// Generations for the comparison with the history, which keeps them all.
const BESIDE: usize = 50_000;

fn main() {
    let events: usize = std::env::var("EVENTS").ok().map_or(900_000, |events| events.parse().unwrap());
    let generations = events.div_ceil(RECORDS).next_multiple_of(10 * CHUNK);
    let mut stream = stream();
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    let alone = cost(&mut self::stream(), generations, |record| _ = black_box(record), |_, _| ());
    let on_chunk = |records: usize, bytes: i64| {
        if (records * 10).is_multiple_of(generations * RECORDS) {
            println!("after {records:>10} records: {:>6.2} MB", bytes as f64 / 1e6);
        }
    };
    let with = cost(&mut stream, generations, |record| monitor.observe(record), on_chunk);
    let own = say("monitoring", alone, with, generations);
    let history = SharedHistory::new();
    let alone = cost(&mut self::stream(), BESIDE, |record| _ = black_box(record), |_, _| ());
    let with =
        cost(&mut self::stream(), BESIDE, |record| history.apply(std::slice::from_ref(record)), |_, _| ());
    let beside = say("history, for comparison", alone, with, BESIDE);
    println!("monitoring costs {:.2} times what the history does", own / beside);
    report(&mut monitor, &stream);
}

fn stream() -> Stream {
    let mut stream = Stream::new(1);
    stream.predicted = Some(0.2);
    stream
}

/// Returns the CPU time of creating generations and feeding their records. `on_chunk` gets the records so far and the
/// bytes allocated since the start.
fn cost(
    stream: &mut Stream,
    generations: usize,
    mut take: impl FnMut(&Record),
    on_chunk: impl Fn(usize, i64),
) -> Duration {
    let before = processor_time();
    let mut bytes = 0;
    for chunk in 1..=generations / CHUNK {
        let info = measure(|| {
            let made: Vec<Record> = (0..CHUNK).flat_map(|_| stream.step()).collect();
            made.iter().for_each(&mut take);
            stream.shown.clear();
        });
        bytes += info.bytes_current;
        on_chunk(chunk * CHUNK * RECORDS, bytes);
    }
    processor_time().saturating_sub(before)
}

/// Prints the added CPU time, and returns it per record in nanoseconds.
fn say(what: &str, alone: Duration, with: Duration, generations: usize) -> f64 {
    let each = |spent: Duration| spent.as_secs_f64() * 1e9 / (generations * RECORDS) as f64;
    let own = each(with) - each(alone);
    println!(
        "{what}: {own:.0} ns a record, {:.2} us a generation (making a record: {:.0} ns)",
        own * RECORDS as f64 / 1e3,
        each(alone)
    );
    own
}

/// Returns the CPU time of this thread.
fn processor_time() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = spent.and_then(|spent| spent.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap(), Duration::from_nanos)
}

/// Prints the cost of reports and serialization.
fn report(monitor: &mut Monitor, stream: &Stream) {
    let timer = Instant::now();
    monitor.review(stream.now());
    println!("subgroup discovery in {} outcomes: {:?}", MonitorOptions::default().recent, timer.elapsed());
    let timer = Instant::now();
    let seen = monitor.analytics(stream.now(), &ModelFacts::default());
    println!(
        "a report over {} labelled generations: {:?}",
        seen.kpis.iter().find(|kpi| kpi.name == KpiName::SuccessRate).map_or(0, |kpi| kpi.n),
        timer.elapsed()
    );
    let timer = Instant::now();
    let bytes = monitor.to_bytes().unwrap();
    println!("written: {:.1} MB in {:?}", bytes.len() as f64 / 1e6, timer.elapsed());
}
