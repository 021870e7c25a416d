//! How measured values are spread.

use serde::Serialize;

/// The percentile of sorted values by the nearest rank: always one of the values, never between two.
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Durations in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub max_ms: u64,
}

impl Spread {
    /// `None` where nothing was measured.
    pub fn of(mut values_ms: Vec<u64>) -> Option<Self> {
        values_ms.sort_unstable();
        Some(Self {
            count: values_ms.len(),
            p50_ms: percentile(&values_ms, 50)?,
            p95_ms: percentile(&values_ms, 95)?,
            max_ms: *values_ms.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(percentile(&values, 50), Some(10.0));
        assert_eq!(percentile(&values, 95), Some(19.0));
        assert_eq!(percentile(&values, 99), Some(20.0));
        assert_eq!(percentile(&values[..1], 95), Some(1.0));
        assert_eq!(percentile::<f64>(&[], 95), None);
    }

    #[test]
    fn nothing_measured_is_no_spread() {
        assert_eq!(Spread::of(Vec::new()), None);
        let spread = Spread::of(vec![3, 1, 2]).unwrap();
        assert_eq!(
            (spread.count, spread.p50_ms, spread.p95_ms, spread.max_ms),
            (3, 2, 3, 3)
        );
    }
}
