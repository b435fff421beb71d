//! Nearest neighbour among 256-bit hashes by Hamming distance.

/// A set of PDQ hashes that can be asked for the nearest one.
///
/// A plain scan, some tens of millions of hashes a second and core. Where banks outgrow it, multi-index hashing can
/// take its place behind the same two functions.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    words: Vec<[u64; 4]>,
}

impl Hashes {
    /// Nearest hash to `query` at a distance of at most `radius` bits: its index and distance. The first among equals.
    pub fn nearest(&self, query: &[u8; 32], radius: u32) -> Option<(usize, u32)> {
        let query = words(query);
        let mut best = None;
        let mut limit = radius.saturating_add(1);
        for (index, hash) in self.words.iter().enumerate() {
            let distance: u32 = hash.iter().zip(&query).map(|(a, b)| (a ^ b).count_ones()).sum();
            if distance < limit {
                (best, limit) = (Some((index, distance)), distance);
            }
        }
        best
    }

    /// Number of hashes.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

impl FromIterator<[u8; 32]> for Hashes {
    fn from_iter<I: IntoIterator<Item = [u8; 32]>>(hashes: I) -> Self {
        Self { words: hashes.into_iter().map(|h| words(&h)).collect() }
    }
}

fn words(hash: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(hash.as_chunks::<8>().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}
