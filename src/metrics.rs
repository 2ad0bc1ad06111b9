//! The model of metric families: one model, many encoders.
//!
//! A [`Page`] owns one string, its own canonical text exposition, and spans into it. That makes a page cheap to hold
//! (24 bytes a sample beside its text, no allocation per sample), to share and, most of the time, to render: what is
//! not touched is copied whole.
//!
//! Canonical means, and every page keeps to it:
//! - a family stands once, its HELP (if any) and TYPE once, then its samples;
//! - samples stand in an order that does not depend on the page's: by their labels; the series of one histogram or
//!   summary together, its buckets (quantiles) by bound, then `_sum`, `_count`;
//! - labels are sorted by name, tokens separated by one blank, values spelt as they came but for `NaN`, `+Inf`, `-Inf`;
//! - behind the samples of counters and the buckets of histograms, ` # ` and an exemplar may stand, as in OpenMetrics;
//!   such a page is not text 0.0.4 any more, and no line of it may be copied into that;
//! - no series stands twice.
//!
//! Label values are kept escaped. The three escapes (`\\`, `\"`, `\n`) are the only spelling of what they stand for, so
//! equal bytes mean equal label sets.

pub mod builder;
pub(crate) mod draft;
pub mod exemplar;
mod extent;
pub mod label;
pub mod merge;
pub mod name;
pub mod native;
pub mod number;
pub(crate) mod order;
pub mod report;
pub mod select;
pub mod sink;

pub use builder::PageBuilder;
pub use exemplar::Exemplar;
pub use label::Labels;
pub use merge::{Merged, Part, merge};
pub use native::NativeHistogram;
pub use report::{Dropped, Reason, Report};
pub use select::{GatewaySelection, Group, Selection};
pub use sink::Sink;

/// The names of the gateway's own families begin with it.
pub const GATEWAY_PREFIX: &str = "awx_gateway_";

/// The names of those about a source begin with it. They count from when somebody first asked for the source, whichever
/// scope that was in.
pub(crate) const SOURCE_PREFIX: &str = "awx_gateway_source_";

/// What a family's samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only ever goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, their sum and their count.
    Histogram,
    /// Quantiles, a sum and a count.
    Summary,
    /// The source does not say.
    Untyped,
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }

    /// Whether its samples bear this suffix behind the family's name.
    #[must_use]
    pub fn has(self, suffix: &str) -> bool {
        match suffix {
            "" => self != Self::Histogram,
            "_bucket" => self == Self::Histogram,
            "_sum" | "_count" => matches!(self, Self::Histogram | Self::Summary),
            _ => false,
        }
    }
}

/// A parsed or built page. See the module for what it promises.
#[derive(Clone, Debug, Default)]
pub struct Page {
    text: String,
    families: Vec<FamilySpan>,
    samples: Vec<SampleSpan>,
    report: Report,
    extent: extent::Extent,
}

/// The extent follows from the rest.
impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
            && self.families == other.families
            && self.samples == other.samples
            && self.report == other.report
    }
}

impl Page {
    /// What was read, and what was not.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The page in text format 0.0.4, but for exemplars.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Finds out how large the page may become.
    pub(crate) fn measure(&mut self) {
        self.extent = extent::Extent::of(self);
    }

    /// The families, in the order they came.
    pub fn families(&self) -> impl ExactSizeIterator<Item = Family<'_>> {
        self.families.iter().map(|span| Family { page: self, span })
    }

    /// The family at this place.
    #[must_use]
    pub fn family(&self, at: usize) -> Option<Family<'_>> {
        self.families.get(at).map(|span| Family { page: self, span })
    }

    /// Not inlined: whatever reads a page asks for many.
    #[inline(never)]
    fn piece(&self, from: u32, to: u32) -> &str {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }
}

/// Where a family stands in the text: header from `start`, samples from `body`, the next family from `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FamilySpan {
    kind: Kind,
    start: u32,
    help: (u32, u32),
    name: (u32, u32),
    body: u32,
    end: u32,
    samples: (u32, u32),
    has_exemplars: bool,
}

/// Where a sample's tokens stand. One blank separates the labels' end from the value, and the value's end from the
/// timestamp, if there is one. Without labels `labels_end` is `name_end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleSpan {
    pub(crate) value: f64,
    pub(crate) start: u32,
    pub(crate) name_end: u32,
    pub(crate) labels_end: u32,
    pub(crate) value_end: u32,
}

/// By the spans alone: the value follows from its token, and NaN must equal itself.
impl PartialEq for SampleSpan {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
            && self.name_end == other.name_end
            && self.labels_end == other.labels_end
            && self.value_end == other.value_end
    }
}

/// One family of a page.
#[derive(Clone, Copy, Debug)]
pub struct Family<'a> {
    page: &'a Page,
    span: &'a FamilySpan,
}

impl<'a> Family<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.page.piece(self.span.name.0, self.span.name.1)
    }

    /// Its help text, escaped as in the text format (`\\`, `\n`). Empty where there is none.
    #[must_use]
    pub fn help(&self) -> &'a str {
        self.page.piece(self.span.help.0, self.span.help.1)
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.span.kind
    }

    /// Whether it is one of the gateway's own.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.name().starts_with(GATEWAY_PREFIX)
    }

    /// How many samples it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.span.samples.1 - self.span.samples.0) as usize
    }

    /// Whether it has no sample.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there are exemplars behind its samples.
    #[must_use]
    pub const fn has_exemplars(&self) -> bool {
        self.span.has_exemplars
    }

    /// Its samples, in order.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = Sample<'a>> + use<'a> {
        let Self { page, span } = *self;
        let spans = self.spans();
        spans.iter().enumerate().map(move |(at, sample)| {
            let next = spans.get(at + 1).map_or(span.end, |next| next.start);
            Sample { page, span: sample, name_len: span.name.1 - span.name.0, next }
        })
    }

    /// The sample at this place.
    pub(crate) fn sample(&self, at: u32) -> Option<Sample<'a>> {
        let Self { page, span } = *self;
        let (sample, later) = self.spans().get(at as usize..)?.split_first()?;
        let next = later.first().map_or(span.end, |next| next.start);
        Some(Sample { page, span: sample, name_len: span.name.1 - span.name.0, next })
    }

    fn spans(&self) -> &'a [SampleSpan] {
        let (from, to) = self.span.samples;
        self.page.samples.get(from as usize..to as usize).unwrap_or_default()
    }

    /// All of it in text format 0.0.4, but for exemplars: header and samples.
    #[must_use]
    pub fn as_text(&self) -> &'a str {
        self.page.piece(self.span.start, self.span.end)
    }

    /// The lines of its samples.
    #[must_use]
    pub fn lines(&self) -> &'a str {
        self.page.piece(self.span.body, self.span.end)
    }
}

/// One sample of a page.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    page: &'a Page,
    span: &'a SampleSpan,
    name_len: u32,
    next: u32,
}

impl<'a> Sample<'a> {
    /// Its full name, the suffix included.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.page.piece(self.span.start, self.span.name_end)
    }

    /// What its name has beyond its family's: empty, `_bucket`, `_sum` or `_count`.
    #[must_use]
    pub fn suffix(&self) -> &'a str {
        self.page.piece(self.span.start + self.name_len, self.span.name_end)
    }

    /// Its labels as the text format writes them, braces included; empty where there are none.
    #[must_use]
    pub fn label_block(&self) -> &'a str {
        self.page.piece(self.span.name_end, self.span.labels_end)
    }

    /// Its labels: names, and values still escaped.
    #[must_use]
    pub fn labels(&self) -> Labels<'a> {
        Labels::of(self.label_block())
    }

    /// Its value.
    #[must_use]
    pub const fn value(&self) -> f64 {
        self.span.value
    }

    /// Its value as it is spelt: what the source wrote, or `NaN`, `+Inf`, `-Inf`.
    #[must_use]
    pub fn token(&self) -> &'a str {
        self.page.piece(self.span.labels_end + 1, self.span.value_end)
    }

    /// Its timestamp in milliseconds since the epoch, as it is spelt.
    #[must_use]
    pub fn timestamp(&self) -> Option<&'a str> {
        self.behind(self.span.value_end).0.strip_prefix(' ')
    }

    /// Its exemplar.
    #[must_use]
    pub fn exemplar(&self) -> Option<Exemplar<'a>> {
        self.behind(self.span.value_end).1.map(Exemplar::of)
    }

    /// What follows the labels: a blank, the value, the timestamp if any.
    #[must_use]
    pub fn tail(&self) -> &'a str {
        self.behind(self.span.labels_end).0
    }

    /// What follows a place behind the labels, on the line: up to the exemplar, and that.
    fn behind(&self, place: u32) -> (&'a str, Option<&'a str>) {
        exemplar::split(self.page.piece(place, self.next.saturating_sub(1)))
    }
}
