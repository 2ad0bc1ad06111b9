//! Counts the samples and lines of a page that were kept and dropped, so that nothing is lost silently.

/// The result of reading a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples kept.
    pub samples: usize,
    /// Lines that are invalid in the format, or not UTF-8.
    pub unreadable_lines: u64,
    /// Samples that were readable but were left out.
    pub dropped: Dropped,
}

/// Why a readable sample was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An earlier sample has the same series: the first value is kept.
    Duplicate,
    /// Its family's type has no such sample, or an earlier page gave the family another type.
    TypeConflict,
    /// Its page would have taken the scrape over `limits::SCRAPE_SAMPLES` or `limits::SCRAPE_BYTES`.
    ScrapeLimit,
    /// It is the creation time of a source's series, which the gateway's pages do not contain.
    Created,
    /// An exemplar rather than a sample: it is too long, belongs to neither a counter nor a bucket, or has labels that
    /// the reader of some format rejects.
    Exemplar,
    /// The value of a label exceeds `limits::LABEL_VALUE_BYTES`.
    LongValue,
    /// The line of a sample or a help text exceeds `limits::LINE_BYTES`.
    LongLine,
    /// Its timestamp is before 1970: Prometheus rejects the whole scrape at such a timestamp in text.
    Timestamp,
    /// Its name or the name of a label is in quotes.
    QuotedName,
}

impl Reason {
    /// The number of reasons.
    pub(super) const COUNT: usize = 9;

    /// The reasons for which a sample of a single page is left out.
    pub const OF_READING: [Self; 8] = [
        Self::Duplicate,
        Self::TypeConflict,
        Self::Created,
        Self::Exemplar,
        Self::LongValue,
        Self::LongLine,
        Self::Timestamp,
        Self::QuotedName,
    ];

    /// The reasons for which a sample is left out when pages are merged.
    pub const OF_MERGING: [Self; 3] = [Self::Duplicate, Self::TypeConflict, Self::ScrapeLimit];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::TypeConflict => "type_conflict",
            Self::ScrapeLimit => "scrape_limit",
            Self::Created => "created",
            Self::Exemplar => "exemplar",
            Self::LongValue => "long_value",
            Self::LongLine => "long_line",
            Self::Timestamp => "timestamp",
            Self::QuotedName => "quoted_name",
        }
    }
}

/// Samples left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped(pub(super) [u64; Reason::COUNT]);

impl Dropped {
    /// The number of samples left out for this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// The number of samples left out for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, reason: Reason, samples: usize) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += samples as u64;
        }
    }
}
