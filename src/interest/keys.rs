//! Hashes keys with a seed.
//! What is looked up by the hash is decided in `table`.
//!
//! Invariants: equal keys have equal hashes, with and without the table.
//!
//! Callers: `core` without the broker's lock; `table` under it.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use crate::types::name::Key;

/// Hashes keys as the table does. A clone can be used without the table, and so without the broker's lock. Keys come
/// from untrusted clients, so the hash is seeded.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// Returns two numbers that depend on the seed alone.
    pub(super) fn seeds(&self) -> [u64; 2] {
        [0_u8, 1].map(|part| self.0.hash_one(part))
    }

    #[inline]
    pub(crate) fn hash(&self, key: &Key) -> u64 {
        // The end mark that `str`'s own `Hash` adds is left out, because nothing else is hashed along with the key.
        let mut hasher = self.0.build_hasher();
        hasher.write(key.as_str().as_bytes());
        hasher.finish()
    }
}
