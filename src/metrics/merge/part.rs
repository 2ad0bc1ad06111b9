//! [`FamilyPart`]: the samples that one page contributes to a merged family.

use crate::metrics::{Conformance, Family, Kind, Sample, conformance};

/// The samples of one page's family, without those that an earlier page has too.
#[derive(Clone, Debug)]
pub(crate) struct FamilyPart {
    /// The index of the page.
    pub(crate) page: usize,
    /// The index of the family on the page.
    pub(super) family: usize,
    /// Only the samples with this suffix.
    suffix: Option<&'static str>,
    /// The indices of samples that are left out, ascending.
    pub(super) dropped: Vec<u32>,
}

/// A position in the samples of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes of the family's lines before it.
    pub(crate) offset: usize,
    /// Samples of the family before it.
    index: u32,
    /// Entries of [`FamilyPart::dropped`] before it.
    passed: usize,
}

impl FamilyPart {
    /// All samples of this family of this page.
    pub(super) const fn whole(page: usize, family: usize) -> Self {
        Self { page, family, suffix: None, dropped: Vec::new() }
    }

    /// The part with only the samples that have this suffix.
    pub(super) fn with_suffix(&self, suffix: &'static str, family: Family<'_>) -> Self {
        let has_several = matches!(family.kind(), Kind::Histogram | Kind::Summary);
        Self { suffix: has_several.then_some(suffix), ..self.clone() }
    }

    /// True for the first page.
    pub(crate) const fn is_of_first_page(&self) -> bool {
        self.page == 0
    }

    /// True if no sample of the family is left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.dropped.is_empty() && self.suffix.is_none()
    }

    /// The next sample at or after a position; advances the position past it.
    pub(crate) fn next<'m>(&self, family: Family<'m>, place: &mut Place) -> Option<Sample<'m>> {
        loop {
            let mut samples = family.samples_from(place.offset);
            let before = samples.bytes_left();
            let sample = samples.next()?;
            place.offset += before - samples.bytes_left();
            let index = place.index;
            place.index += 1;
            if self.dropped.get(place.passed) == Some(&index) {
                place.passed += 1;
            } else if self.suffix.is_none_or(|suffix| sample.suffix() == suffix) {
                return Some(sample);
            }
        }
    }

    /// The samples with their indices.
    pub(super) fn samples<'m>(
        &self,
        family: Family<'m>,
    ) -> impl Iterator<Item = (u32, Sample<'m>)> {
        let mut place = Place::default();
        std::iter::from_fn(move || {
            let sample = self.next(family, &mut place)?;
            Some((place.index - 1, sample))
        })
    }

    /// The degree to which the samples follow the rules of their type.
    pub(super) fn conformance(&self, family: Family<'_>) -> Conformance {
        if self.is_whole() {
            return family.conformance();
        }
        let mut dropped = self.dropped.iter().copied().peekable();
        let mut indices = 0..;
        conformance::of_family(family, |_| {
            let index = indices.next();
            dropped.next_if(|next| Some(*next) == index).is_none()
        })
    }
}
