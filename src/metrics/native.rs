//! Native histograms, which Prometheus only reads from protobuf (Prometheus, "Native Histograms").

/// A native histogram of non-negative values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// The resolution: each doubling of the value has 2 to the power of this many buckets.
    pub schema: i32,
    /// Values up to this threshold count as zero.
    pub zero_threshold: f64,
    /// The number of values that count as zero.
    pub zero_count: u64,
    /// Buckets by index, ascending, each with its own count. A missing bucket is empty.
    pub buckets: Vec<(i32, u64)>,
    /// The sum of all values.
    pub sum: f64,
}

impl NativeHistogram {
    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zero_count + self.buckets.iter().map(|(_, count)| count).sum::<u64>()
    }
}
