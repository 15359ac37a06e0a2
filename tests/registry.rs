//! The registries of this crate against the conformance suite; then faults of a folder.
#![cfg(feature = "testing")]
// In a test to unwrap is to assert.
#![allow(clippy::unwrap_used)]

use devmatrix_ml::clock::ManualClock;
use devmatrix_ml::registry::{DiskRegistry, MemoryRegistry, ModelRegistry, NewVersion, conformance};
use futures_executor::block_on;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};
use tempfile::tempdir;

fn add(registry: &dyn ModelRegistry, artefact: &[u8]) -> u64 {
    block_on(registry.register(NewVersion::new("m", artefact.to_vec()))).unwrap().version
}

fn production(registry: &dyn ModelRegistry) -> Option<u64> {
    block_on(registry.production("m")).unwrap().map(|version| version.version)
}

#[test]
fn memory_conforms() {
    block_on(conformance::check(&MemoryRegistry::new())).unwrap();
}

#[test]
fn disk_conforms() {
    let folder = tempdir().unwrap();
    block_on(conformance::check(&DiskRegistry::open(folder.path()).unwrap())).unwrap();
}

#[tokio::test]
async fn disk_conforms_under_a_runtime() {
    let folder = tempdir().unwrap();
    conformance::check(&DiskRegistry::open(folder.path()).unwrap()).await.unwrap();
}

#[test]
fn times_come_from_the_clock() {
    let folder = tempdir().unwrap();
    let clock = Arc::new(ManualClock::at("2025-03-01T12:00:00.123456789Z".parse().unwrap()));
    let disk = DiskRegistry::open(folder.path()).unwrap().with_clock(clock.clone());
    let memory = MemoryRegistry::new().with_clock(clock);
    for registry in [&disk as &dyn ModelRegistry, &memory] {
        let stored = block_on(registry.register(NewVersion::new("m", vec![1]))).unwrap();
        assert_eq!(stored.created_at.to_rfc3339(), "2025-03-01T12:00:00.123456+00:00");
        assert_eq!(block_on(registry.version("m", 1)).unwrap(), stored);
    }
}

#[test]
fn a_reopened_folder_has_its_versions() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("new/with space/ñandú \u{1F980}");
    {
        let registry = DiskRegistry::open(&path).unwrap();
        add(&registry, b"one");
        add(&registry, b"two");
        block_on(registry.promote("m", 2, None)).unwrap();
    }
    let registry = DiskRegistry::open(&path).unwrap();
    assert_eq!(production(&registry), Some(2));
    assert_eq!(block_on(registry.artefact("m", 1)).unwrap(), b"one");
    assert_eq!(names(&path), [".lock", "m"]);
    assert_eq!(names(&path.join("m")), ["1", "2", "stages.json"]);
    assert_eq!(names(&path.join("m/1")), ["artefact.bin", "version.json"]);
}

#[cfg(unix)]
#[test]
fn a_relative_folder_works() {
    let folder = tempdir().unwrap();
    let up: std::path::PathBuf = std::env::current_dir().unwrap().iter().skip(1).map(|_| "..").collect();
    let relative = up.join(folder.path().strip_prefix("/").unwrap()).join("inner");
    assert!(relative.is_relative());
    let registry = DiskRegistry::open(&relative).unwrap();
    assert_eq!(add(&registry, b"one"), 1);
    assert!(folder.path().join("inner/m/1/artefact.bin").is_file());
}

#[test]
fn leftovers_of_a_crash_are_ignored_and_then_deleted() {
    let folder = tempdir().unwrap();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    add(&registry, b"one");
    let model = folder.path().join("m");
    let leave = || {
        fs::create_dir(model.join(".tmp-2")).unwrap();
        fs::write(model.join(".tmp-2/artefact.bin"), b"half").unwrap();
        fs::write(model.join(".tmp-stages.json"), b"{").unwrap();
    };
    leave();
    assert_eq!(block_on(registry.versions("m")).unwrap().len(), 1);
    assert_eq!(add(&registry, b"two"), 2);
    assert_eq!(names(&model), ["1", "2", "stages.json"]);
    leave();
    DiskRegistry::open(folder.path()).unwrap();
    assert_eq!(names(&model), ["1", "2", "stages.json"]);
}

#[test]
fn folder_names_that_are_not_versions_are_ignored() {
    let folder = tempdir().unwrap();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    add(&registry, b"one");
    for name in ["007", "+8", "0", "notes", "99999999999999999999999"] {
        fs::create_dir(folder.path().join("m").join(name)).unwrap();
    }
    assert_eq!(block_on(registry.versions("m")).unwrap().len(), 1);
    assert_eq!(add(&registry, b"two"), 2);
}

#[test]
fn of_concurrent_promotions_by_threads_one_wins() {
    let folder = tempdir().unwrap();
    let shared = DiskRegistry::open(folder.path()).unwrap();
    let incumbents = 8;
    for _ in 0..=incumbents {
        add(&shared, b"model");
    }
    block_on(shared.promote("m", 1, None)).unwrap();
    for _ in 0..5 {
        let expected = production(&shared).unwrap();
        let barrier = Barrier::new(incumbents as usize);
        let won: Vec<u64> = std::thread::scope(|scope| {
            let run = |number| {
                let (shared, barrier) = (&shared, &barrier);
                // Half of them through their own handle, as another process would.
                let own = DiskRegistry::open(folder.path()).unwrap();
                scope.spawn(move || {
                    let registry = if number % 2 == 0 { shared } else { &own };
                    barrier.wait();
                    block_on(registry.promote("m", number, Some(expected))).is_ok().then_some(number)
                })
            };
            let others = (1..=incumbents + 1).filter(|number| *number != expected);
            let threads: Vec<_> = others.map(run).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(production(&shared), Some(won[0]));
    }
}

#[test]
fn concurrent_registrations_get_distinct_versions() {
    let folder = tempdir().unwrap();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let work = || (0..5).map(|_| add(&registry, b"model")).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=20), "{numbers:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
