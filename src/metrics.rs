//! The model of metric families: one model, many encoders.
//!
//! A [`Page`] owns one string, its own canonical text exposition, and an index of its families. Such a page is cheap to
//! keep in memory (44 bytes per family beside its text, nothing per sample), to store in shared data and to read back
//! ([`Page::into_stored`]). It is usually cheap to render too: a family that does not change is copied whole.
//!
//! A canonical page follows these rules:
//! - each family occurs once, with its HELP (if any) and TYPE once, then its samples;
//! - the order of samples does not depend on the order of the input: samples are sorted by their labels; the series of
//!   one histogram or summary are together, its buckets (quantiles) sorted by bound, then `_sum`, `_count`;
//! - labels are sorted by name, but labels of the source that [`Page::with_labels`] adds come first; tokens are
//!   separated by one blank; values keep the spelling of the input, except `NaN`, `+Inf`, `-Inf`;
//! - a sample of a counter and a bucket of a histogram may have an exemplar after ` # `, as in OpenMetrics; such a line
//!   is not legal in text 0.0.4 and is not copied into it;
//! - no series occurs twice.
//!
//! Label values are kept escaped. The three escapes (`\\`, `\"`, `\n`) are the only spelling of the characters that
//! they represent, so equal bytes mean equal label sets.

pub mod builder;
pub mod conformance;
pub(crate) mod draft;
pub mod exemplar;
mod extent;
pub mod label;
pub mod merge;
pub mod name;
pub mod native;
pub mod number;
pub(crate) mod order;
mod relabel;
pub mod report;
pub mod sample;
pub mod select;
pub mod sink;
mod stored;

pub use builder::PageBuilder;
pub use conformance::Conformance;
pub use exemplar::Exemplar;
pub use label::Labels;
pub use merge::{Merged, Part, merge};
pub use native::NativeHistogram;
pub use report::{Dropped, Reason, Report};
pub use sample::{Sample, Samples};
pub use select::{GatewaySelection, Group, Selection};
pub use sink::Sink;

/// The prefix of the names of the gateway's own families.
pub const GATEWAY_PREFIX: &str = "awx_gateway_";

/// The prefix of the names of the families about a source. These families count from the first request for the source,
/// in any scope.
pub(crate) const SOURCE_PREFIX: &str = "awx_gateway_source_";

/// The type of a family.
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
    /// All of them, in the order in which they are stored.
    pub(crate) const ALL: [Self; 5] =
        [Self::Counter, Self::Gauge, Self::Histogram, Self::Summary, Self::Untyped];

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

    /// True if samples of this type may have this suffix after the family's name.
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

/// A parsed or built page. The module documentation lists its guarantees.
#[derive(Clone, Debug, Default)]
pub struct Page {
    text: String,
    families: Vec<FamilySpan>,
    report: Report,
    extent: extent::Extent,
}

/// Compares pages without their extent, which follows from the rest.
impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.families == other.families && self.report == other.report
    }
}

impl Page {
    /// The number of samples kept, and of those dropped.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The page in text format 0.0.4, with exemplars.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// The families, in the order of the input.
    pub fn families(&self) -> impl ExactSizeIterator<Item = Family<'_>> {
        self.families.iter().map(|span| Family { text: &self.text, span })
    }

    /// The family with this index.
    #[must_use]
    pub fn family(&self, index: usize) -> Option<Family<'_>> {
        self.families.get(index).map(|span| Family { text: &self.text, span })
    }
}

/// The position of a family in the text: the header begins at `start`, the samples at `body`, the next family at `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FamilySpan {
    start: u32,
    help: (u32, u32),
    name: (u32, u32),
    body: u32,
    end: u32,
    samples: u32,
    kind: Kind,
    has_exemplars: bool,
    has_timestamps: bool,
    conformance: Conformance,
}

/// One family of a page.
#[derive(Clone, Copy, Debug)]
pub struct Family<'a> {
    text: &'a str,
    span: &'a FamilySpan,
}

impl<'a> Family<'a> {
    /// A family without a name or samples.
    pub(crate) const EMPTY: Family<'static> = Family {
        text: "",
        span: &FamilySpan {
            start: 0,
            help: (0, 0),
            name: (0, 0),
            body: 0,
            end: 0,
            samples: 0,
            kind: Kind::Untyped,
            has_exemplars: false,
            has_timestamps: false,
            conformance: Conformance::Whole,
        },
    };

    /// The family's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.slice(self.span.name.0, self.span.name.1)
    }

    /// Its help text, escaped as in the text format (`\\`, `\n`). Empty if it has none.
    #[must_use]
    pub fn help(&self) -> &'a str {
        self.slice(self.span.help.0, self.span.help.1)
    }

    /// The family's type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.span.kind
    }

    /// True for one of the gateway's own families.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        self.name().starts_with(GATEWAY_PREFIX)
    }

    /// The number of samples.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.span.samples as usize
    }

    /// True if the family has no samples.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if a sample has an exemplar.
    #[must_use]
    pub const fn has_exemplars(&self) -> bool {
        self.span.has_exemplars
    }

    /// True if a sample has a timestamp.
    #[must_use]
    pub const fn has_timestamps(&self) -> bool {
        self.span.has_timestamps
    }

    /// The degree to which the samples follow the rules of their type.
    #[must_use]
    pub const fn conformance(&self) -> Conformance {
        self.span.conformance
    }

    /// The samples, in order.
    #[must_use]
    pub fn samples(&self) -> Samples<'a> {
        Samples::of(self.lines(), self.name().len())
    }

    /// The samples that begin at or after this byte of the family's lines.
    pub(crate) fn samples_from(&self, offset: usize) -> Samples<'a> {
        Samples::of(self.lines().get(offset..).unwrap_or_default(), self.name().len())
    }

    /// The family in text format 0.0.4, with exemplars: header and samples.
    #[must_use]
    pub fn as_text(&self) -> &'a str {
        self.slice(self.span.start, self.span.end)
    }

    /// The lines of its samples.
    #[must_use]
    pub fn lines(&self) -> &'a str {
        self.slice(self.span.body, self.span.end)
    }

    /// Not inlined: readers of a page request slices in many places.
    #[inline(never)]
    fn slice(&self, from: u32, to: u32) -> &'a str {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }
}
