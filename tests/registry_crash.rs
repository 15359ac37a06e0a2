//! A registry in a folder while processes are killed, race each other, fill the disk, or have only read access.
//!
//! The processes are this test program again: it runs one of its own ignored tests as a child.
#![cfg(unix)]
// In a test to unwrap is to assert.
#![allow(clippy::unwrap_used)]

use devmatrix_ml::ErrorKind;
use devmatrix_ml::registry::{DiskRegistry, ModelRegistry, NewVersion, Verdict};
use futures_executor::block_on;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::tempdir;

const FOLDER: &str = "DEVMATRIX_TEST_REGISTRY";
const NUMBER: &str = "DEVMATRIX_TEST_NUMBER";
const NOBODY: u32 = 65534;

/// Returns the arguments to run only the test `name` of this program.
fn only(name: &str) -> [&str; 4] {
    ["--exact", name, "--ignored", "--nocapture"]
}

/// Runs a child to its end; a name that matches no test must not pass for a success.
fn run(command: &mut Command, folder: &Path) -> bool {
    // While another test's child is being forked, a program just copied counts as still written to.
    let output = loop {
        match command.env(FOLDER, folder).output() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => break other.unwrap(),
        }
    };
    let logged = String::from_utf8_lossy(&output.stdout);
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success() && logged.contains("1 passed")
}

fn child(name: &str, folder: &Path, number: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(only(name)).env(NUMBER, number.to_string()).env(FOLDER, folder);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Returns the folder of a child.
fn given_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn given_number() -> u64 {
    std::env::var(NUMBER).unwrap().parse().unwrap()
}

fn add(registry: &dyn ModelRegistry, artefact: Vec<u8>) -> u64 {
    block_on(registry.register(NewVersion::new("m", artefact))).unwrap().version
}

fn production(registry: &dyn ModelRegistry) -> Option<u64> {
    block_on(registry.production("m")).unwrap().map(|version| version.version)
}

/// Returns every file and folder with its bytes, to compare.
fn contents(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.push((path, None));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, Some(bytes)));
        }
    }
    found.sort();
    found
}

// ---- killed -------------------------------------------------------------------------------

#[test]
#[ignore = "the child of `a_registry_killed_at_any_moment_is_intact`"]
fn child_registers_and_promotes_until_killed() {
    let Some(folder) = given_folder() else { return };
    let mut log = OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let registry = DiskRegistry::open(folder.join("registry")).unwrap();
    // In one write, so that being killed cannot tear a line.
    let mut say = |what: &str, number: u64| log.write_all(format!("{what} {number}\n").as_bytes()).unwrap();
    let mut champion = production(&registry);
    // The previous child may have died between a promotion and its log line.
    if let Some(number) = champion {
        say("promoted", number);
    }
    loop {
        let mut version = NewVersion::new("m", vec![1; 1 + given_number() as usize % 100_000]);
        version.evaluation_artefact = Some(vec![2; 10_000]);
        let number = block_on(registry.register(version)).unwrap().version;
        say("registered", number);
        say("promoting", number);
        block_on(registry.promote("m", number, champion)).unwrap();
        say("promoted", number);
        champion = Some(number);
    }
}

/// Log lines of the children before they were killed.
#[derive(Default)]
struct Logged {
    registered: BTreeSet<u64>,
    promoting: Option<u64>,
    promoted: Option<u64>,
}

impl Logged {
    fn read(path: &Path) -> Self {
        let mut logged = Self::default();
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let (what, number) = line.split_once(' ').unwrap();
            let number = number.parse().unwrap();
            match what {
                "registered" => drop(logged.registered.insert(number)),
                "promoting" => logged.promoting = Some(number),
                _ => logged.promoted = Some(number),
            }
        }
        logged
    }
}

#[test]
fn a_registry_killed_at_any_moment_is_intact() {
    const KILLS: u64 = 100;
    let folder = tempdir().unwrap();
    let path = folder.path().join("registry");
    let registry = DiskRegistry::open(&path).unwrap();
    let (mut unsaid, mut halfway, started) = (0, 0, Instant::now());
    for kill in 0..KILLS {
        let mut victim = child("child_registers_and_promotes_until_killed", folder.path(), kill * 7_919_117);
        std::thread::sleep(Duration::from_micros(5_000 + (kill * 7_919) % 97 * 1_000));
        victim.kill().unwrap();
        victim.wait().unwrap();

        halfway += u64::from(contents_hold_leftovers(&path.join("m")));
        let logged = Logged::read(&folder.path().join("log"));
        let versions = block_on(registry.versions("m")).unwrap();
        let numbers: Vec<_> = versions.iter().map(|v| v.version).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
        let registered = logged.registered.last().copied().unwrap_or(0);
        assert!(numbers.len() as u64 >= registered, "an acknowledged version is gone");
        unsaid += u64::from(numbers.len() as u64 > registered);
        let champion = production(&registry);
        assert!([logged.promoted, logged.promoting].contains(&champion), "{champion:?} was never promoted");
        for number in numbers.iter().rev().take(3) {
            block_on(registry.artefact("m", *number)).unwrap();
            assert!(block_on(registry.evaluation_artefact("m", *number)).unwrap().is_some());
        }
    }
    let count = block_on(registry.versions("m")).unwrap().len();
    println!(
        "{KILLS} kills in {:.1?}: {count} versions, {halfway} writes left halfway, {unsaid} versions complete but \
         not acknowledged",
        started.elapsed()
    );
    assert!(count > 5, "the children did too little: {count}");
    // The registry still works: leftovers of the last child are deleted.
    let number = add(&registry, vec![3]);
    block_on(registry.promote("m", number, production(&registry))).unwrap();
    assert!(!contents_hold_leftovers(&path.join("m")));
}

fn contents_hold_leftovers(model: &Path) -> bool {
    let entries = fs::read_dir(model).into_iter().flatten();
    entries.into_iter().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(".tmp-"))
}

// ---- racing -------------------------------------------------------------------------------

#[test]
#[ignore = "the child of `of_concurrent_promotions_by_processes_one_wins`"]
fn child_promotes_once() {
    let Some(folder) = given_folder() else { return };
    let registry = DiskRegistry::open(folder.join("registry")).unwrap();
    fs::write(folder.join(format!("ready-{}", given_number())), "").unwrap();
    while !folder.join("go").exists() {
        std::thread::yield_now();
    }
    let logged = match block_on(registry.promote("m", given_number(), Some(1))) {
        Ok(()) => "won".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    fs::write(folder.join(format!("logged-{}", given_number())), logged).unwrap();
}

#[test]
fn of_concurrent_promotions_by_processes_one_wins() {
    let incumbents = 2..=7;
    for _ in 0..5 {
        let folder = tempdir().unwrap();
        let registry = DiskRegistry::open(folder.path().join("registry")).unwrap();
        for _ in 1..=7 {
            add(&registry, vec![1]);
        }
        block_on(registry.promote("m", 1, None)).unwrap();
        let children: Vec<_> =
            incumbents.clone().map(|n| child("child_promotes_once", folder.path(), n)).collect();
        while !incumbents.clone().all(|n| folder.path().join(format!("ready-{n}")).exists()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        fs::write(folder.path().join("go"), "").unwrap();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let logged = |n| fs::read_to_string(folder.path().join(format!("logged-{n}"))).unwrap();
        let (won, lost): (Vec<u64>, Vec<u64>) = incumbents.clone().partition(|n| logged(*n) == "won");
        assert_eq!(won.len(), 1, "{won:?}");
        assert!(lost.iter().all(|n| logged(*n) == "Conflict"), "{}", logged(lost[0]));
        assert_eq!(production(&registry), Some(won[0]));
    }
}

// ---- full ---------------------------------------------------------------------------------

#[test]
#[ignore = "the child of `a_write_that_does_not_fit_leaves_no_trace`"]
fn child_writes_more_than_fits() {
    let Some(folder) = given_folder() else { return };
    let registry = DiskRegistry::open(&folder).unwrap();
    let before = contents(&folder);
    let mut large_twin = NewVersion::new("m", vec![1]);
    large_twin.evaluation_artefact = Some(vec![2; 1 << 20]);
    for version in [NewVersion::new("m", vec![1; 1 << 20]), large_twin] {
        let error = block_on(registry.register(version)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    let wordy = Verdict::new("2025-03-01T00:00:00Z".parse().unwrap(), false, ["x".repeat(1 << 20)]);
    let error = block_on(registry.note_verdict("m", 1, wordy)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(contents(&folder), before);
    // Smaller writes still succeed.
    assert_eq!(add(&registry, vec![3]), 2);
    block_on(registry.promote("m", 2, Some(1))).unwrap();
}

/// No file may grow past a limit, which fails in the middle of a write as a full disk does.
#[test]
fn a_write_that_does_not_fit_leaves_no_trace() {
    let folder = tempdir().unwrap();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    add(&registry, vec![1]);
    block_on(registry.promote("m", 1, None)).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().unwrap()).args(only("child_writes_more_than_fits"));
    assert!(run(&mut command, folder.path()));
    assert_eq!(production(&registry), Some(2));
}

// ---- read-only ----- ----------------------------------------------------------------------

#[test]
#[ignore = "the child of `a_read_only_folder_can_be_read`"]
fn child_reads_a_read_only_folder() {
    let Some(folder) = given_folder() else { return };
    let registry = DiskRegistry::open(&folder).unwrap();
    assert_eq!(production(&registry), Some(1));
    assert_eq!(block_on(registry.artefact("m", 2)).unwrap(), [1]);
    let verdict = Verdict::new("2025-03-01T00:00:00Z".parse().unwrap(), false, ["x"]);
    for outcome in [
        block_on(registry.register(NewVersion::new("m", vec![1]))).map(drop),
        block_on(registry.register(NewVersion::new("another", vec![1]))).map(drop),
        block_on(registry.promote("m", 2, Some(1))),
        block_on(registry.note_verdict("m", 1, verdict)),
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    let elsewhere = DiskRegistry::open(folder.join("new")).unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_read_only_folder_can_be_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("registry");
    let registry = DiskRegistry::open(&path).unwrap();
    for _ in 1..=2 {
        add(&registry, vec![1]);
    }
    block_on(registry.promote("m", 1, None)).unwrap();
    // Permissions do not bind root, so that another user runs the program, which it must be able to reach.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    permit(folder.path(), 0o755);
    let before = contents(&path);
    for lock in [0o444, 0o666] {
        for (inner, bytes) in &before {
            permit(inner, if bytes.is_some() { 0o444 } else { 0o555 });
        }
        permit(&path, 0o555);
        permit(&path.join(".lock"), lock);
        let mut command = Command::new(&program);
        command.args(only("child_reads_a_read_only_folder")).current_dir("/");
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
            command.uid(NOBODY).gid(NOBODY);
        }
        let success = run(&mut command, &path);
        for (inner, _) in before.iter().filter(|(_, bytes)| bytes.is_none()) {
            permit(inner, 0o755);
        }
        permit(&path, 0o755);
        assert!(success);
        assert_eq!(contents(&path), before);
    }
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
