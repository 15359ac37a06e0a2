//! How a host's JSON may give a value: a whole number as `1234.0` or `1e3`, as pandas writes a column with gaps, and
//! null for what is missing. Every door reads events by these.

use super::check::Metadata;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

type Read<T, E> = std::result::Result<T, E>;

/// A whole number, however it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Whole<T>(T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Read<Self, D::Error> {
        // Checkpoints are binary: there a number has one form.
        if input.is_human_readable() {
            input.deserialize_any(WholeVisitor(PhantomData)).map(Self)
        } else {
            input.deserialize_u64(WholeVisitor(PhantomData)).map(Self)
        }
    }
}

struct WholeVisitor<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for WholeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {}", u64::MAX >> (64 - 8 * size_of::<T>().clamp(1, 8)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Read<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Read<T, E> {
        u64::try_from(number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            .and_then(|n| self.visit_u64(n))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Read<T, E> {
        // 2^64, the first that does not fit, is one that a double holds.
        if number.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(&number) {
            return self.visit_u64(number as u64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

/// Reads a whole number that may be null.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(input: D) -> Read<Option<T>, D::Error> {
    Ok(Option::<Whole<T>>::deserialize(input)?.map(|number| number.0))
}

/// Reads a whole number, null as 0.
pub(super) fn whole_or_zero<'de, D, T>(input: D) -> Read<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64> + Default,
{
    whole(input).map(Option::unwrap_or_default)
}

/// Reads a whole number that must be there.
pub(super) fn one_whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(input: D) -> Read<T, D::Error> {
    Whole::deserialize(input).map(|number| number.0)
}

/// Reads whole numbers by name.
pub(super) fn wholes<'de, D: Deserializer<'de>>(input: D) -> Read<BTreeMap<String, u64>, D::Error> {
    let numbers = BTreeMap::<String, Whole<u64>>::deserialize(input)?;
    Ok(numbers.into_iter().map(|(name, number)| (name, number.0)).collect())
}

/// Reads a value, null as its default.
pub(super) fn or_default<'de, D, T>(input: D) -> Read<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(input).map(Option::unwrap_or_default)
}

/// Reads a host's own pairs, null as none.
pub(super) fn metadata<'de, D: Deserializer<'de>>(input: D) -> Read<Metadata, D::Error> {
    or_default(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<Option<u32>, String> {
        whole(&mut serde_json::Deserializer::from_str(json)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (json, number) in [("1234", 1234), ("1234.0", 1234), ("1e3", 1000), ("-0.0", 0), ("4.5e1", 45)] {
            assert_eq!(read(json), Ok(Some(number)), "{json}");
        }
        assert_eq!(read("null"), Ok(None));
        for json in ["1.5", "-1", "-1.0", "4294967296", "4294967296.0", "1e300", "true", "\"1\"", "[]"] {
            let error = read(json).unwrap_err();
            assert!(error.contains("a whole number from 0 to 4294967295"), "{json}: {error}");
        }
        let big: u64 = one_whole(&mut serde_json::Deserializer::from_str("1e19")).unwrap();
        assert_eq!(big, 10_000_000_000_000_000_000);
        let past = one_whole::<_, u64>(&mut serde_json::Deserializer::from_str("18446744073709551616"));
        assert!(past.is_err(), "{past:?}");
    }

    #[test]
    fn a_checkpoint_keeps_its_form() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Kept(#[serde(deserialize_with = "one_whole")] u64);
        let bytes = postcard::to_stdvec(&Kept(u64::MAX)).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&u64::MAX).unwrap());
        assert_eq!(postcard::from_bytes::<Kept>(&bytes).unwrap(), Kept(u64::MAX));
    }
}
