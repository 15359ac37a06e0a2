//! Damaged envelopes and damaged folders give errors, never a panic and never other bytes than were written.

use super::{DiskRegistry, ModelRegistry, NewVersion, envelope};
use crate::error::ErrorKind;
use futures_executor::block_on;
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// `SplitMix64`: the same mutations on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Flips, truncates, extends, splices or zeroes; may leave the bytes as they were.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = (self.below(bytes.len()), self.below(bytes.len() + 1));
        let span = from.min(to)..from.max(to);
        match self.below(5) {
            0 if !bytes.is_empty() => bytes[from] ^= 1 << self.below(8),
            1 => bytes.truncate(from),
            2 => {
                let extra = self.below(100);
                bytes.extend((0..extra).map(|_| self.next() as u8));
            }
            3 => {
                let piece = bytes[span].to_vec();
                let at = self.below(bytes.len() + 1);
                let end = (at + self.below(piece.len() + 1)).min(bytes.len());
                bytes.splice(at..end, piece);
            }
            _ => bytes[span].fill(0),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sealed_envelope_opens(
        kind in "[a-z0-9 é-]{1,30}",
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let bytes = envelope::seal(&kind, &payload).unwrap();
        prop_assert_eq!(envelope::open(&bytes, &kind, payload.len()).unwrap(), &payload[..]);
        let other = envelope::open(&bytes, "other kind!", payload.len()).unwrap_err();
        prop_assert_eq!(other.kind(), ErrorKind::Incompatible);
    }

    #[test]
    fn arbitrary_bytes_do_not_open(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(envelope::open(&bytes, "k", 1000).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn every_damaged_byte_of_an_envelope_is_corrupt() {
    let whole = envelope::seal("model", &[42; 200]).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(envelope::open(&damaged, "model", 200).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}

#[test]
fn mutated_envelopes_are_corrupt_or_as_they_were() {
    let mut random = Random(1);
    let (mut same, mut rejected) = (0, 0);
    for _ in 0..100_000 {
        let length = random.below(400);
        let payload: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let mut bytes = envelope::seal("model", &payload).unwrap();
        for _ in 0..=random.below(3) {
            random.mutate(&mut bytes);
        }
        match envelope::open(&bytes, "model", 1 << 20) {
            Ok(opened) => {
                assert_eq!(opened, payload);
                same += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                rejected += 1;
            }
        }
    }
    println!("{rejected} rejected, {same} unchanged");
    assert!(rejected > 90_000, "{rejected}");
}

/// Creates a registry with two versions, the second in production; returns it with all its contents.
fn prepared() -> (TempDir, String) {
    let folder = tempdir().unwrap();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    for artefact in [b"first".to_vec(), vec![7; 300]] {
        let mut version = NewVersion::new("m", artefact);
        version.evaluation_artefact = Some(b"holdout model".to_vec());
        version.about.metrics.insert("auc".into(), 0.75);
        block_on(registry.register(version)).unwrap();
    }
    block_on(registry.promote("m", 1, None)).unwrap();
    block_on(registry.promote("m", 2, Some(1))).unwrap();
    let contents = contents(folder.path()).unwrap();
    (folder, contents)
}

fn contents(folder: &Path) -> crate::error::Result<String> {
    let registry = DiskRegistry::open(folder)?;
    block_on(async {
        Ok(format!(
            "{:?} {:?} {:?} {:?}",
            registry.versions("m").await?,
            registry.production("m").await?,
            registry.artefact("m", 2).await?,
            registry.evaluation_artefact("m", 2).await?,
        ))
    })
}

#[test]
fn mutated_files_of_a_registry_are_corrupt_or_as_they_were() {
    let (folder, whole) = prepared();
    let mut random = Random(2);
    for name in ["m/stages.json", "m/2/version.json", "m/2/artefact.bin", "m/2/evaluation.bin"] {
        let path = folder.path().join(name);
        let original = fs::read(&path).unwrap();
        for _ in 0..1000 {
            let mut bytes = original.clone();
            random.mutate(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            match contents(folder.path()) {
                Ok(contents) => assert_eq!(contents, whole, "{name} was damaged and accepted"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    assert!(
                        format!("{error:#}").contains(path.file_name().unwrap().to_str().unwrap()),
                        "{error}"
                    );
                }
            }
        }
        fs::write(&path, &original).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(contents(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt, "{name} was lost");
        fs::write(&path, &original).unwrap();
    }
    assert_eq!(contents(folder.path()).unwrap(), whole);
}

#[test]
fn intact_files_of_another_version_are_rejected() {
    let (folder, _) = prepared();
    let model = folder.path().join("m");
    fs::copy(model.join("1/version.json"), model.join("2/version.json")).unwrap();
    assert_eq!(contents(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);

    let (folder, _) = prepared();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    block_on(registry.register(NewVersion::new("other", vec![1]))).unwrap();
    fs::copy(folder.path().join("other/stages.json"), folder.path().join("m/stages.json")).unwrap();
    assert_eq!(contents(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_version_is_neither_promoted_nor_rolled_back_to() {
    let (folder, _) = prepared();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    fs::write(folder.path().join("m/1/artefact.bin"), b"fifth").unwrap();
    assert_eq!(block_on(registry.promote("m", 1, Some(2))).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(block_on(registry.roll_back("m")).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(block_on(registry.production("m")).unwrap().unwrap().version, 2);
    fs::write(folder.path().join("m/1/artefact.bin"), b"first").unwrap();
    assert_eq!(block_on(registry.roll_back("m")).unwrap().version, 1);
}

#[test]
fn a_version_without_its_folder_or_its_record_is_reported() {
    let (folder, _) = prepared();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    assert_eq!(block_on(registry.version("m", 3)).unwrap_err().kind(), ErrorKind::NotFound);
    fs::create_dir(folder.path().join("m/3")).unwrap();
    assert_eq!(block_on(registry.version("m", 3)).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_dir_all(folder.path().join("m/2")).unwrap();
    assert_eq!(block_on(registry.production("m")).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_version_is_set_aside_and_the_others_go_on() {
    let (folder, _) = prepared();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    let path = folder.path().join("m/1/version.json");
    let original = fs::read(&path).unwrap();
    for (at, bit) in (0..original.len()).map(|at| (at, at % 8)) {
        let mut bytes = original.clone();
        bytes[at] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        let numbers: Vec<_> = block_on(registry.versions("m")).unwrap().iter().map(|v| v.version).collect();
        assert_eq!(numbers, [2], "byte {at}");
        let damaged = block_on(registry.damaged("m")).unwrap();
        assert!(
            matches!(damaged.as_slice(), [(1, error)] if error.kind() == ErrorKind::Corrupt),
            "{damaged:?}"
        );
    }
    assert_eq!(block_on(registry.production("m")).unwrap().unwrap().version, 2);
    let third = block_on(registry.register(NewVersion::new("m", b"third".to_vec()))).unwrap();
    block_on(registry.promote("m", third.version, Some(2))).unwrap();
    assert_eq!(block_on(registry.roll_back("m")).unwrap().version, 2);
    fs::write(&path, &original).unwrap();
    assert_eq!(block_on(registry.versions("m")).unwrap().len(), 3);
    assert!(block_on(registry.damaged("m")).unwrap().is_empty());
}

#[test]
fn an_empty_folder_is_no_version_and_its_number_is_not_given_again() {
    let (folder, _) = prepared();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    fs::create_dir(folder.path().join("m/3")).unwrap();
    fs::create_dir(folder.path().join("other")).unwrap();
    assert_eq!(block_on(registry.versions("m")).unwrap().len(), 2);
    assert!(block_on(registry.damaged("m")).unwrap().is_empty());
    assert!(block_on(registry.versions("other")).unwrap().is_empty());
    assert_eq!(block_on(registry.register(NewVersion::new("m", vec![1]))).unwrap().version, 4);
    assert_eq!(block_on(registry.register(NewVersion::new("other", vec![1]))).unwrap().version, 1);
}

#[cfg(unix)]
#[test]
fn a_linked_folder_is_read_and_not_written() {
    let (theirs, whole) = prepared();
    let ours = tempdir().unwrap();
    std::os::unix::fs::symlink(theirs.path().join("m"), ours.path().join("m")).unwrap();
    fs::create_dir(theirs.path().join("m/.tmp-9")).unwrap();
    let registry = DiskRegistry::open(ours.path()).unwrap();
    assert!(theirs.path().join("m/.tmp-9").exists(), "what another left under construction is not swept");
    let refused = [
        block_on(registry.register(NewVersion::new("m", vec![1]))).map(drop),
        block_on(registry.promote("m", 1, Some(2))),
        block_on(registry.roll_back("m")).map(drop),
        block_on(registry.set_stage("m", 1, super::Stage::Staging)),
    ];
    for answer in refused {
        assert!(answer.unwrap_err().to_string().contains("is a link"));
    }
    assert_eq!(contents(ours.path()).unwrap(), whole);
    assert_eq!(contents(theirs.path()).unwrap(), whole);
}
