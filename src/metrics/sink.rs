//! [`Sink`]: receives metric families; decouples producers from encoders.

use super::builder::Value;
use super::{Kind, NativeHistogram, PageBuilder};

/// Receives families one after another, each followed by its samples. Samples may come in any order.
pub trait Sink {
    /// Begins a family.
    fn family(&mut self, name: &str, kind: Kind, help: &str);

    /// Adds a sample to the current family: `suffix` is empty, `_bucket`, `_sum` or `_count`.
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value);

    /// Adds a family of one native histogram, if there is one. A sink that does not support native histograms does not
    /// call `_histogram`.
    fn native(
        &mut self,
        _name: &'static str,
        _help: &str,
        _histogram: &dyn Fn() -> Option<NativeHistogram>,
    ) {
    }

    /// Returns true if the sink reads labels. A producer need not format labels for a sink that ignores them.
    fn reads_labels(&self) -> bool {
        true
    }

    /// Records a value that the set of series depends on. Two outputs with equal records, in the same order, must have
    /// the same families, samples and labels, and differ only in values. Everything else need not be compared.
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
