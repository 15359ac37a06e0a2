//! A stable place in [0, 1) for names.

use sha2::{Digest, Sha256};

/// The first 53 bits of SHA-256 over the names, each with its length in front (eight bytes, little
/// end first), as a fraction: the same on every machine, in every language.
pub(crate) fn place(names: [&str; 3]) -> f64 {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    let digest = hash.finalize();
    let bits = digest.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    /// Computed by Python's hashlib: `int.from_bytes(sha256(...).digest()[:8], "big") >> 11` over 2^53.
    #[test]
    fn places_are_those_of_another_language() {
        assert_eq!(super::place(["arm", "short-prompt", "user-1"]), 0.560_943_822_391_636_3);
        assert_eq!(super::place(["entry", "", "ñ"]), 0.946_815_509_971_926_6);
    }
}
