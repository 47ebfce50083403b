use super::entry::{Key, Variants};
use super::table::Cache;
use super::write::NewEntry;

impl Cache {
    /// Removes what is stored for any variant of a key.
    pub(crate) fn remove(&self, key: &Key<'_>) {
        let place = self.place(key);
        let nothing = NewEntry {
            key: *key,
            tag: place.tag(),
            variants: Variants::ALL,
            stored: &[],
            stored_at: 0,
            expires: 0,
            dead_at: 0,
            used: false,
        };
        self.change(
            place,
            |set| set.forget(&nothing),
            |set| set.forget(&nothing),
        );
    }

    /// Lets what has expired of a key count as expired just now.
    pub(crate) fn restart_expired(&self, key: &Key<'_>, now_secs: u32) {
        let place = self.place(key);
        self.change(
            place,
            |set| set.restart_expired(key, place.tag(), now_secs),
            |set| set.restart_expired(key, place.tag(), now_secs),
        );
    }
}
