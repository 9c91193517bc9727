//! Numbers that look random and are the same for the same seed.

use std::f64::consts::TAU;

/// SplitMix64: short, and good enough for what arrives when.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1, and neither.
    pub fn share(&mut self) -> f64 {
        // 52 bits and a half: all of it is exact.
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Exponentially distributed.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.share().ln()
    }

    /// Lognormally distributed, with this mean and this deviation of its logarithm.
    pub fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let (radius, angle) = ((-2.0 * self.share().ln()).sqrt(), TAU * self.share());
        mean * (sigma * radius * angle.cos() - sigma * sigma / 2.0).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean, and the deviation divided by it.
    fn moments(draw: impl FnMut(&mut Random) -> f64) -> (f64, f64) {
        let mut random = Random::new(1);
        let mut draw = draw;
        let values: Vec<f64> = (0..200_000).map(|_| draw(&mut random)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| (value - mean).powi(2));
        (mean, (square.sum::<f64>() / count).sqrt() / mean)
    }

    #[test]
    fn the_distributions_are_what_they_are_called() {
        let near = |(mean, deviation): (f64, f64), expected: (f64, f64)| {
            (mean / expected.0 - 1.0).abs() < 0.01 && (deviation / expected.1 - 1.0).abs() < 0.02
        };
        let exponential = moments(|random| random.exponential(3.0));
        assert!(near(exponential, (3.0, 1.0)), "{exponential:?}");
        let lognormal = moments(|random| random.lognormal(2.0, 0.6));
        let deviation = (0.36_f64.exp() - 1.0).sqrt();
        assert!(near(lognormal, (2.0, deviation)), "{lognormal:?}");
    }
}
