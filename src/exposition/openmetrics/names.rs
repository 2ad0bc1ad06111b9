//! The names of families in OpenMetrics, in which a type reserves names in addition to those of its samples.

use crate::exposition::render::{Presented, without_type};
use crate::metrics::merge::MergedFamily;
use crate::metrics::{Conformance, Kind, Merged};
use std::collections::HashMap;

/// The families of a page by name.
pub(in crate::exposition) struct ReservedNames<'m> {
    kinds: HashMap<&'m str, Kind>,
}

impl<'m> ReservedNames<'m> {
    pub(in crate::exposition) fn of(merged: &'m Merged) -> Self {
        let kinds = merged.families().iter().map(|family| (family.name.as_str(), family.kind));
        Self { kinds: kinds.collect() }
    }

    /// The blocks of a family: one under the name with which it keeps its type, if there is one.
    pub(in crate::exposition) fn blocks(&self, family: &MergedFamily) -> Vec<Presented> {
        match self.typed(family) {
            Some(name) => vec![(name.to_owned(), family.kind, None)],
            None => without_type(family),
        }
    }

    fn typed<'f>(&self, family: &'f MergedFamily) -> Option<&'f str> {
        let name = family.name.as_str();
        let name = match family.kind {
            Kind::Gauge | Kind::Untyped => return Some(name),
            Kind::Counter => name.strip_suffix("_total").filter(|name| !name.is_empty())?,
            Kind::Histogram | Kind::Summary => name,
        };
        let reserved = ["", "_total", "_bucket", "_sum", "_count", "_created"].into_iter();
        let mut reserved = reserved.filter(|suffix| reserves(family.kind, suffix));
        let is_free = reserved.all(|suffix| self.is_free(&[name, suffix].concat(), &family.name));
        (is_free && family.conformance > Conformance::Broken).then_some(name)
    }

    /// Returns true if no other family has or reserves the name.
    fn is_free(&self, name: &str, family: &str) -> bool {
        let kind_of_another = |name: &str| {
            let kind = self.kinds.get(name)?;
            (name != family).then_some(*kind)
        };
        let is_counter =
            |base: &str| kind_of_another(&[base, "_total"].concat()) == Some(Kind::Counter);
        let suffixes = ["_bucket", "_sum", "_count", "_created"];
        kind_of_another(name).is_none()
            && !is_counter(name)
            && !name.strip_suffix("_created").is_some_and(is_counter)
            && suffixes.iter().all(|suffix| {
                let kind = name.strip_suffix(suffix).and_then(kind_of_another);
                !kind.is_some_and(|kind| kind != Kind::Counter && reserves(kind, suffix))
            })
    }
}

/// Returns true if a type reserves its family's name with this suffix. The name of a counter's family excludes
/// `_total`.
fn reserves(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Counter => matches!(suffix, "" | "_total" | "_created"),
        Kind::Histogram => matches!(suffix, "" | "_bucket" | "_sum" | "_count" | "_created"),
        Kind::Summary => matches!(suffix, "" | "_sum" | "_count" | "_created"),
        Kind::Gauge | Kind::Untyped => suffix.is_empty(),
    }
}
