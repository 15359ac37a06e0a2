//! Rows that the reference values of the tests were computed from.

pub(super) const MARGINS: [f64; 16] =
    [-3.2, -2.5, -2.1, -1.7, -1.2, -0.8, -0.4, -0.1, 0.2, 0.2, 0.6, 1.1, 1.5, 1.9, 2.6, 3.4];
pub(super) const LABELS: [bool; 16] =
    [false, false, true, false, false, true, false, false, true, false, true, false, true, true, true, false];
pub(super) const WEIGHTS: [f64; 16] =
    [1.0, 0.5, 1.0, 0.25, 2.0, 1.0, 0.5, 1.0, 1.0, 0.5, 2.0, 1.0, 0.25, 1.0, 1.0, 0.5];

/// Where the fitted functions are looked at.
pub(super) const POINTS: [f64; 12] = [-5.0, -2.5, -2.3, -1.0, -0.4, 0.0, 0.2, 0.7, 1.3, 2.2, 3.0, 9.0];
