//! [`Index`]: key -> offset of its counters.

/// A hash table with open addressing. Clients do not choose the keys, so they cannot make keys collide.
#[derive(Clone, Debug, Hash)]
pub(super) struct Index {
    /// Keys and offsets. Their number is a power of two, and at least an eighth of them is free. The offset 0, at which
    /// the header is, marks a free one. A gather copies them, so they must not be more than necessary.
    slots: Vec<(u32, u32)>,
    len: usize,
}

impl Index {
    pub(super) fn with_capacity(entries: usize) -> Self {
        let slots = (entries * 8).div_ceil(7).next_power_of_two().max(16);
        Self { slots: vec![(0, 0); slots], len: 0 }
    }

    /// The number of keys.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn find(&self, key: u32) -> Option<usize> {
        let (_, (_, offset)) =
            self.probe(key).find(|(_, (found, offset))| *offset == 0 || *found == key)?;
        if offset == 0 { None } else { usize::try_from(offset).ok() }
    }

    /// Adds a key that it does not have.
    pub(super) fn insert(&mut self, key: u32, offset: usize) {
        if (self.len + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        let free = self.probe(key).find(|(_, (_, offset))| *offset == 0).map(|(slot, _)| slot);
        if let (Some(slot), Ok(offset)) =
            (free.and_then(|slot| self.slots.get_mut(slot)), u32::try_from(offset))
        {
            *slot = (key, offset);
            self.len += 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill((0, 0));
        self.len = 0;
    }

    fn grow(&mut self) {
        let doubled = vec![(0, 0); self.slots.len() * 2];
        let old = std::mem::replace(self, Self { slots: doubled, len: 0 });
        for (key, offset) in old.slots.into_iter().filter(|(_, offset)| *offset != 0) {
            self.insert(key, offset as usize);
        }
    }

    /// The slots that `key` can be in, in order, with their contents.
    fn probe(&self, key: u32) -> impl Iterator<Item = (usize, (u32, u32))> {
        let mask = self.slots.len() - 1;
        let first = (key.wrapping_mul(0x9e37_79b1) >> 16) as usize;
        (0..self.slots.len()).filter_map(move |step| {
            let slot = (first + step) & mask;
            self.slots.get(slot).map(|found| (slot, *found))
        })
    }

    #[cfg(test)]
    pub(super) fn as_ptr(&self) -> *const (u32, u32) {
        self.slots.as_ptr()
    }
}
