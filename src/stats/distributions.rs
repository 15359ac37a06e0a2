//! Tails and quantiles of the normal and the chi-square distribution.

use statrs::function::erf::{erfc, erfc_inv};
use statrs::function::gamma::gamma_ur;
use std::f64::consts::SQRT_2;

/// Returns the probability that a standard normal variable is at most `z`.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    normal_above(-z)
}

/// Returns the probability that a standard normal variable is above `z`.
pub(crate) fn normal_above(z: f64) -> f64 {
    0.5 * erfc(z / SQRT_2)
}

/// Returns the value above which a standard normal variable lies with probability `tail`, in (0, 1).
pub(crate) fn normal_quantile_above(tail: f64) -> f64 {
    SQRT_2 * erfc_inv(2.0 * tail)
}

/// Returns the probability that a chi-square variable of `df` degrees of freedom is above `x`; 1 without a
/// degree of freedom.
pub(crate) fn chi_square_above(x: f64, df: f64) -> f64 {
    if !(df >= 1.0 && df.is_finite() && x > 0.0) {
        return 1.0;
    }
    if x.is_infinite() { 0.0 } else { gamma_ur(df / 2.0, x / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() < 1e-9, "{value} instead of {expected}");
    }

    /// `pnorm(z, lower.tail = FALSE)` of R.
    #[test]
    fn normal_tails_are_those_of_r() {
        close(normal_above(0.0), 0.5);
        close(normal_above(1.0), 0.158_655_253_931_457_05);
        close(normal_above(1.96), 0.024_997_895_148_220_435);
        close(normal_above(3.5), 2.326_290_790_355_250_4e-4);
        close(normal_above(6.0), 9.865_876_450_376_98e-10);
        close(normal_above(10.0), 7.619_853_024_160_527e-24);
        close(normal_above(-1.0), 0.841_344_746_068_542_9);
        close(normal_cdf(1.0), 0.841_344_746_068_542_9);
        assert_eq!(normal_above(f64::INFINITY), 0.0);
    }

    /// `qnorm(p, lower.tail = FALSE)` of R.
    #[test]
    fn normal_quantiles_are_those_of_r() {
        close(normal_quantile_above(0.05), 1.644_853_626_951_472_7);
        close(normal_quantile_above(0.025), 1.959_963_984_540_054);
        close(normal_quantile_above(1e-6), 4.753_424_308_822_899);
        for tail in [1e-12, 1e-4, 0.3, 0.5, 0.9] {
            assert!((normal_above(normal_quantile_above(tail)) / tail - 1.0).abs() < 1e-6, "{tail}");
        }
    }

    /// Two degrees of freedom have the closed form exp(-x / 2), four (1 + x / 2) exp(-x / 2); one is the
    /// normal distribution's two tails. The others are the 5 % and .1 % points of printed tables.
    #[test]
    fn chi_square_tails_are_the_closed_forms_and_the_tables() {
        for x in [0.1, 1.0, 5.991, 13.816, 40.0, 200.0, 1000.0] {
            close(chi_square_above(x, 2.0), (-x / 2.0_f64).exp());
            close(chi_square_above(x, 4.0), (1.0 + x / 2.0) * (-x / 2.0_f64).exp());
            close(chi_square_above(x, 1.0), 2.0 * normal_above(x.sqrt()));
        }
        for (x, df, p) in [(18.307, 10.0, 0.05), (29.588, 10.0, 0.001), (124.342, 100.0, 0.05)] {
            assert!((chi_square_above(x, df) / p - 1.0).abs() < 1e-3, "{x}: {}", chi_square_above(x, df));
        }
        for (x, df) in [(0.0, 3.0), (-1.0, 3.0), (f64::NAN, 3.0), (5.0, 0.0)] {
            assert_eq!(chi_square_above(x, df), 1.0);
        }
        assert_eq!(chi_square_above(f64::INFINITY, 3.0), 0.0);
    }
}
