//! Which names the families of a page may have, when types reserve some beyond those of their samples.

use super::Values;
use crate::exposition::sound::{Soundness, soundness};
use crate::metrics::merge::MergedFamily;
use crate::metrics::{Kind, Merged};
use std::collections::HashMap;

/// The families of a page by name.
pub(super) struct Names<'a, 'm> {
    ids: HashMap<&'a str, usize>,
    merged: &'m Merged<'a>,
    values: Values,
}

impl<'a, 'm> Names<'a, 'm> {
    pub(super) fn of(merged: &'m Merged<'a>, values: Values) -> Self {
        let ids = merged.families().enumerate().map(|(id, family)| (family.name(), id)).collect();
        Self { ids, merged, values }
    }

    /// The name under which a family keeps its type, if it can.
    pub(super) fn of_family(&self, family: &MergedFamily<'a>) -> Option<&'a str> {
        let name = match family.kind() {
            Kind::Gauge | Kind::Untyped => return Some(family.name()),
            Kind::Counter => {
                family.name().strip_suffix("_total").filter(|name| !name.is_empty())?
            }
            Kind::Histogram | Kind::Summary => family.name(),
        };
        let reserved = ["", "_total", "_bucket", "_sum", "_count", "_created"].into_iter();
        let mut reserved = reserved.filter(|suffix| reserves(family.kind(), suffix));
        let is_free = reserved.all(|suffix| self.is_left(&[name, suffix].concat(), family));
        let is_sound =
            || self.values == Values::Places || soundness(self.merged, family) > Soundness::Broken;
        (is_free && is_sound()).then_some(name)
    }

    /// Whether no other family has this name or reserves it.
    fn is_left(&self, name: &str, family: &MergedFamily<'a>) -> bool {
        let kind_of_another = |name: &str| {
            let other = self.merged.families().nth(*self.ids.get(name)?)?;
            (other.name() != family.name()).then(|| other.kind())
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

/// Whether a type reserves its family's name with this suffix. Of a counter the family's name is without `_total`.
fn reserves(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Counter => matches!(suffix, "" | "_total" | "_created"),
        Kind::Histogram => matches!(suffix, "" | "_bucket" | "_sum" | "_count" | "_created"),
        Kind::Summary => matches!(suffix, "" | "_sum" | "_count" | "_created"),
        Kind::Gauge | Kind::Untyped => suffix.is_empty(),
    }
}
