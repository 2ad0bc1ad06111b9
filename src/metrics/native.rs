//! Native histograms: what Prometheus takes in protobuf alone (Prometheus, "Native Histograms").

/// A native histogram of values that are not negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// How many buckets there are to each doubling: 2 to the power of this.
    pub schema: i32,
    /// Values up to this count as zero.
    pub zero_threshold: f64,
    /// How many did.
    pub zero_count: u64,
    /// Buckets by index, ascending, each with its own count. Those that are missing are empty.
    pub buckets: Vec<(i32, u64)>,
    /// The sum of all values.
    pub sum: f64,
}

impl NativeHistogram {
    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zero_count + self.buckets.iter().map(|(_, count)| count).sum::<u64>()
    }
}
