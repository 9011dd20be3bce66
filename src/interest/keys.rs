//! The seeded hash of keys.
//! What is looked up by it is not known here.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use crate::types::name::Key;

/// Hashes the keys of a table, also where the table is not at hand. Keys come from strangers: it is seeded.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// Two numbers that follow from the seed alone.
    pub(super) fn seeds(&self) -> [u64; 2] {
        [0_u8, 1].map(|part| self.0.hash_one(part))
    }

    #[inline]
    pub(crate) fn hash(&self, key: &Key) -> u64 {
        // Without the end mark of a text's own hash: nothing else is hashed along with it.
        let mut hasher = self.0.build_hasher();
        hasher.write(key.as_str().as_bytes());
        hasher.finish()
    }
}
