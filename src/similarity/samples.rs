//! Tasks and texts for the tests of this module.

use super::reservoir::mixed;
use crate::event::TaskId;
use crate::text::TextGrams;

pub(super) fn task(number: usize) -> TaskId {
    TaskId::new(format!("t{number}")).unwrap()
}

/// Texts of words of which few are common and many rare, as in any language.
pub(super) fn texts(count: usize) -> Vec<TextGrams> {
    let word = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (*state >> 33) as f64 / f64::from(1_u32 << 31);
        format!("{:x}", mixed((3000.0_f64.powf(uniform)) as u64) >> 32)
    };
    let text = |number: usize| {
        let mut state = number as u64;
        (0..12).map(|_| word(&mut state) + " ").collect::<String>()
    };
    (0..count).map(|number| TextGrams::of(&text(number))).collect()
}
