//! Many keys in one call. Not atomic as a whole.

use super::Cache;
use crate::error::SetError;
use crate::protocol::Key;

/// Keys whose memory is fetched side by side.
const GROUP: usize = 16;

impl Cache {
    /// Gets many keys: `visit` is called once for each, in order, with its index and its value. Faster than one by one,
    /// since the memory of several keys is fetched side by side. Each get is atomic, the whole is not. The value is a
    /// private copy that is good until `visit` returns.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>, mut visit: impl FnMut(usize, Option<&[u8]>)) {
        let inner = &*self.inner;
        let mut keys = keys.into_iter();
        let mut group: Vec<(K, u64)> = Vec::with_capacity(GROUP);
        let mut value = Vec::new();
        let mut index = 0;
        loop {
            group.clear();
            group.extend(keys.by_ref().take(GROUP).map(|key| {
                let hash = inner.hasher.hash(key.as_ref());
                (key, hash)
            }));
            if group.is_empty() {
                return;
            }
            for (key, hash) in &group {
                inner.core.prefetch_bucket(&Key::new(key.as_ref(), *hash));
            }
            for (key, hash) in &group {
                inner.core.prefetch_entry(&Key::new(key.as_ref(), *hash));
            }
            for (key, hash) in &group {
                value.clear();
                let found = self.append_value(&Key::new(key.as_ref(), *hash), &mut value);
                visit(index, found.then_some(value.as_slice()));
                index += 1;
            }
        }
    }

    /// Sets many keys, with the default time to live. Each set is atomic, the whole is not.
    ///
    /// # Errors
    /// The first error that a set gave; all the others were tried all the same.
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, pairs: impl IntoIterator<Item = (K, V)>) -> Result<(), SetError> {
        let mut first = Ok(());
        for (key, value) in pairs {
            let result = self.set(key, value);
            if first.is_ok() {
                first = result;
            }
        }
        first
    }
}
