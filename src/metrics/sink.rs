//! [`Sink`]: who families are told to, so that what tells them need not know what becomes of them.

use super::builder::Value;
use super::{Kind, NativeHistogram, PageBuilder};

/// Takes families one after another, each with its samples behind it. Samples may come in any order.
pub trait Sink {
    /// Begins a family.
    fn family(&mut self, name: &str, kind: Kind, help: &str);

    /// Adds a sample to the family at hand: `suffix` is empty, `_bucket`, `_sum` or `_count`.
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value);

    /// Adds a family of one native histogram, if there is one. What has no place for such does not ask.
    fn native(
        &mut self,
        _name: &'static str,
        _help: &str,
        _histogram: &dyn Fn() -> Option<NativeHistogram>,
    ) {
    }

    /// Whether it looks at labels. For one that does not they need not be put together.
    fn reads_labels(&self) -> bool {
        true
    }

    /// Notes what the series depend on. Between equal notes, in the same order, the families, the samples and their
    /// labels are to be the same too, and only values differ: what is not told of need not be looked at.
    fn shape(&mut self, _: u32) {}
}

impl Sink for PageBuilder {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        Self::family(self, name, kind, help);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value) {
        Self::sample(self, suffix, labels, value);
    }
}
