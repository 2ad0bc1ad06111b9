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
    /// Its page would have taken the scrape over `limits::SCRAPE_SAMPLES`.
    ScrapeLimit,
    /// It says when a series of a source began, which no page of ours does.
    Created,
    /// Not a sample but its exemplar, which is longer than it may be, or belongs to no counter and no bucket.
    Exemplar,
}

impl Reason {
    /// Why something of a single page is.
    pub const OF_READING: [Self; 4] =
        [Self::Duplicate, Self::TypeConflict, Self::Created, Self::Exemplar];

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
        }
    }
}

/// Samples left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub(super) duplicate: u64,
    pub(super) type_conflict: u64,
    pub(super) scrape_limit: u64,
    pub(super) created: u64,
    pub(super) exemplar: u64,
}

impl Dropped {
    /// How many for this reason.
    #[must_use]
    pub const fn of(&self, reason: Reason) -> u64 {
        match reason {
            Reason::Duplicate => self.duplicate,
            Reason::TypeConflict => self.type_conflict,
            Reason::ScrapeLimit => self.scrape_limit,
            Reason::Created => self.created,
            Reason::Exemplar => self.exemplar,
        }
    }

    /// How many in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.duplicate + self.type_conflict + self.scrape_limit + self.created + self.exemplar
    }

    pub(crate) const fn add(&mut self, reason: Reason, samples: usize) {
        let count = match reason {
            Reason::Duplicate => &mut self.duplicate,
            Reason::TypeConflict => &mut self.type_conflict,
            Reason::ScrapeLimit => &mut self.scrape_limit,
            Reason::Created => &mut self.created,
            Reason::Exemplar => &mut self.exemplar,
        };
        *count += samples as u64;
    }
}
