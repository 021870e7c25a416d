//! Numbers that are the same for the same seed on every machine.

/// `SplitMix64`: small, quick, and its output is fixed by its definition.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` up to, not including, `high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low).max(1);
        low.wrapping_add_unsigned(self.bits() % span)
    }

    /// From 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        &items[usize::try_from(self.range(0, length)).unwrap_or_default()]
    }

    /// That many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.bits().to_le_bytes())
            .flatten()
            .take(count)
            .collect()
    }

    /// That many words.
    pub fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 24] = [
            "bright", "quiet", "garden", "river", "old", "town", "view", "near", "station", "large",
            "kitchen", "sunny", "balcony", "two", "rooms", "new", "roof", "park", "lift", "cellar", "small",
            "house", "straße", "über",
        ];
        let picked: Vec<&str> = (0..count).map(|_| *self.pick(&WORDS)).collect();
        picked.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_definition() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }
}
