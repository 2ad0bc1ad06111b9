//! What became of a page: counted, so that nothing is lost silently.

/// What reading a page gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples kept.
    pub samples: usize,
    /// Lines that are no line of the format, or not UTF-8.
    pub unreadable_lines: u64,
    /// Samples that were readable but could not stand.
    pub dropped: Dropped,
}

/// Why a readable sample was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its series stands already: the first value is kept.
    Duplicate,
    /// Its family's type has no place for it, or an earlier page gave the family another type.
    TypeConflict,
    /// Its page would have taken the scrape over `limits::SCRAPE_SAMPLES` or `limits::SCRAPE_BYTES`.
    ScrapeLimit,
    /// It says when a series of a source began, which no page of ours does.
    Created,
    /// Not a sample but its exemplar, which is longer than it may be, belongs to no counter and no bucket, or has labels
    /// that no reader of every format takes.
    Exemplar,
    /// A label's value is beyond `limits::LABEL_VALUE_BYTES`.
    LongValue,
    /// Its line is beyond `limits::LINE_BYTES`; or not a sample but a help text, whose line is.
    LongLine,
    /// It was taken before 1970: Prometheus gives up the whole scrape at such a timestamp in text.
    Timestamp,
    /// Its name or that of a label stands in quotes.
    QuotedName,
}

impl Reason {
    /// How many there are.
    pub(super) const COUNT: usize = 9;

    /// Why something of a single page is.
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

    /// Why something is beside other pages.
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
    /// How many for this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// How many in all.
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
