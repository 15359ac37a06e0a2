//! How well a surrogate says what its model predicts.

/// Returns the share of the variance of `predicted` that `told` explains.
pub(super) fn r2(told: &[f64], predicted: &[f64]) -> f64 {
    let mean = predicted.iter().sum::<f64>() / predicted.len() as f64;
    let square = |of: &dyn Fn(usize) -> f64| (0..predicted.len()).map(|i| of(i) * of(i)).sum::<f64>();
    1.0 - square(&|i| predicted[i] - told[i]) / square(&|i| predicted[i] - mean)
}

/// Returns the share of pairs, of those whose predictions differ, which `told` orders likewise (Harrell's C).
pub(super) fn concordance(told: &[f64], predicted: &[f64]) -> f64 {
    let (mut alike, mut pairs) = (0.0, 0.0);
    for i in 0..predicted.len() {
        for j in 0..i {
            let (told, predicted) = (told[i] - told[j], predicted[i] - predicted[j]);
            if predicted != 0.0 {
                pairs += 1.0;
                alike += if told == 0.0 { 0.5 } else { f64::from(u8::from(told * predicted > 0.0)) };
            }
        }
    }
    if pairs > 0.0 { alike / pairs } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_say_all_have_the_highest_fidelity_and_those_that_say_nothing_that_of_chance() {
        let predicted = [0.1, 0.4, 0.4, 0.9];
        assert_eq!((r2(&predicted, &predicted), concordance(&predicted, &predicted)), (1.0, 1.0));
        let mean = [0.45; 4];
        assert!(r2(&mean, &predicted).abs() < 1e-12);
        assert_eq!(concordance(&mean, &predicted), 0.5);
        let halves = [0.25, 0.25, 0.65, 0.65];
        assert_eq!(concordance(&halves, &predicted), (1.0 + 1.0 + 1.0 + 0.5 + 0.5) / 5.0);
    }
}
