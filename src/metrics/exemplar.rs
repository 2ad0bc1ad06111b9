//! Exemplars: a source's examples of the observations that a counter or a bucket counted (OpenMetrics 1.0,
//! "Exemplars").

use super::label::Labels;
use super::number;

/// Splits the rest of a line after the labels or the value into the part before ` # ` and the exemplar.
pub(crate) fn split(tail: &str) -> (&str, Option<&str>) {
    let parts = tail.split_once('#');
    parts.map_or((tail, None), |(before, after)| {
        (before.strip_suffix(' ').unwrap_or(before), Some(after.strip_prefix(' ').unwrap_or(after)))
    })
}

/// An exemplar in its spelling on the page: `{trace_id="1"} 0.5 1700000000.25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar<'a>(&'a str);

impl<'a> Exemplar<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self(text)
    }

    /// The exemplar in the spelling of OpenMetrics.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// Its labels: names, and values still escaped.
    #[must_use]
    pub fn labels(&self) -> Labels<'a> {
        Labels::of(self.0)
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.numbers().next().unwrap_or(f64::NAN)
    }

    /// The time of its observation, in seconds since the epoch.
    #[must_use]
    pub fn timestamp(&self) -> Option<f64> {
        self.numbers().nth(1)
    }

    /// The numbers after the labels, which contain no brace.
    fn numbers(&self) -> impl Iterator<Item = f64> {
        let (_, numbers) = self.0.rsplit_once("} ").unwrap_or_default();
        numbers.split(' ').filter_map(|token| Some(number::read(token)?.value))
    }
}
