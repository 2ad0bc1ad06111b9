//! The names of all resources, and how a name is found: by a binary search for its hash, in a table for each service that
//! the compiler sorts. Finding a name takes one pass over it, the search, and one comparison.

use super::Resource;
use super::table::TABLE;

/// The names below `/api/v2/`.
pub(super) static CONTROLLER: Names<101> = Names::of(6, "");
/// The names below `/api/gateway/v1/`.
pub(super) static GATEWAY: Names<41> = Names::of(107, "gateway/");
/// The names below `/api/eda/v1/`.
pub(super) static EDA: Names<25> = Names::of(148, "eda/");
/// The names below `/api/galaxy/` and a version.
pub(super) static GALAXY: Names<44> = Names::of(173, "galaxy/");

/// The names of one service.
pub(super) struct Names<const N: usize> {
    /// The part of the labels that is not in the path.
    prefix: usize,
    /// The hashes of all names, and the numbers of the resources, sorted. The compiler checks that hashes differ.
    hashes: [(u32, u8); N],
}

impl<const N: usize> Names<N> {
    /// The resources from `first` on, whose labels begin with `prefix`.
    #[expect(clippy::indexing_slicing, reason = "only evaluated by the compiler")]
    const fn of(first: usize, prefix: &str) -> Self {
        let mut hashes = [(0, 0); N];
        let mut count = 0;
        while count < N {
            let number = first + count;
            let (_, name) = TABLE[number].0.as_bytes().split_at(prefix.len());
            let Hash(hash) = Hash::EMPTY.then(name);
            let mut at = count;
            while at > 0 && hash < hashes[at - 1].0 {
                hashes[at] = hashes[at - 1];
                at -= 1;
            }
            assert!(at == 0 || hash != hashes[at - 1].0, "two names have the same hash");
            hashes[at] = (hash, number as u8);
            count += 1;
        }
        Self { prefix: prefix.len(), hashes }
    }

    /// The collection with this name, and the hash of the name.
    pub(super) fn collection(&self, name: &[u8]) -> Option<(Resource, Hash)> {
        let hash = Hash::EMPTY.then(name);
        let (resource, found) = self.find(hash)?;
        (found == name).then_some((resource, hash))
    }

    /// The action with this name on a collection.
    pub(super) fn action(
        &self,
        (collection, hash): (&[u8], Hash),
        name: &[u8],
    ) -> Option<Resource> {
        let (resource, found) = self.find(hash.then(b"/").then(name))?;
        let action = found.strip_prefix(collection)?.strip_prefix(b"/")?;
        (action == name).then_some(resource)
    }

    /// The only resource whose name can have this hash, and its name.
    fn find(&self, hash: Hash) -> Option<(Resource, &'static [u8])> {
        let index = self.hashes.binary_search_by_key(&hash.0, |(hash, _)| *hash).ok()?;
        let (_, number) = *self.hashes.get(index)?;
        let (label, _) = TABLE.get(usize::from(number))?;
        Some((Resource(number), label.as_bytes().get(self.prefix..)?))
    }
}

/// The FNV-1a hash of the bytes so far.
#[derive(Clone, Copy)]
pub(super) struct Hash(u32);

impl Hash {
    const EMPTY: Self = Self(0x811c_9dc5);

    /// The hash of the bytes so far and these.
    #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
    const fn then(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0 = (self.0 ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
            at += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::COUNT;
    use super::*;

    fn hash_of_first(count: usize) -> u32 {
        let names = TABLE.iter().take(count);
        let Hash(hash) =
            names.fold(Hash::EMPTY, |hash, (label, _)| hash.then(label.as_bytes()).then(b"\n"));
        hash
    }

    /// If a number changed, a new module would count requests of one resource as requests of another.
    #[test]
    fn resources_keep_their_numbers() {
        assert_eq!(hash_of_first(107), 3_591_212_621);
        assert_eq!(hash_of_first(217), 3_241_559_638);
        for resource in Resource::all() {
            assert_eq!(Resource::from_number(resource.number()), Some(resource));
        }
        assert_eq!(Resource::from_number(u8::try_from(COUNT).unwrap()), None);
    }

    #[test]
    fn labels_are_unique_and_each_belongs_to_its_service() {
        let labels: std::collections::BTreeSet<_> = Resource::all().map(Resource::label).collect();
        assert_eq!(labels.len(), COUNT);
        let numbers = |service: &[(u32, u8)]| service.iter().map(|(_, number)| *number).collect();
        let services: [(&str, Vec<u8>); 3] = [
            ("gateway/", numbers(&GATEWAY.hashes)),
            ("eda/", numbers(&EDA.hashes)),
            ("galaxy/", numbers(&GALAXY.hashes)),
        ];
        for (prefix, numbers) in services {
            let labelled = Resource::all().filter(|resource| resource.label().starts_with(prefix));
            let mut numbers = numbers;
            numbers.sort_unstable();
            assert_eq!(labelled.map(Resource::number).collect::<Vec<_>>(), numbers, "{prefix}");
        }
    }
}
