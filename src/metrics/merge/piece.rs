//! Families over several pages, piece by piece, and what is added to and taken from each.

use crate::metrics::{Family, Kind, SOURCE_PREFIX, Sample, label};

/// A family over all parts that have it.
#[derive(Debug)]
pub(crate) struct MergedFamily<'a> {
    pub(super) first: Piece<'a>,
    pub(super) rest: Vec<Piece<'a>>,
}

impl<'a> MergedFamily<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.first.family.name()
    }

    /// Whether it is one of the gateway's about a source.
    pub(crate) fn is_about_a_source(&self) -> bool {
        self.name().starts_with(SOURCE_PREFIX)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.first.family.kind()
    }

    /// The first help that is one, escaped.
    pub(crate) fn help(&self) -> &'a str {
        let mut helps = self.pieces().map(|piece| piece.family.help());
        helps.find(|help| !help.is_empty()).unwrap_or_default()
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece<'a>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The family as it stands on its page, if it stands as it is.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        let stands = self.rest.is_empty() && self.first.is_verbatim;
        stands.then(|| self.first.family.as_text())
    }

    /// Whether no series of one piece can be another's, whatever is on the pages: all get some label, each its own value.
    pub(super) fn is_apart(&self, added: &[Added<'_>]) -> bool {
        let value_of = |piece: &Piece<'_>, name| added.get(piece.part as usize)?.value(name);
        let Some(first) = added.get(self.first.part as usize) else { return false };
        first.labels.iter().any(|(name, _)| {
            let values: Option<Vec<_>> = self.pieces().map(|piece| value_of(piece, name)).collect();
            // Quadratic in the sources alone, of which there are at most `limits::CONFIG_SOURCES`.
            values.is_some_and(|values| {
                let mut earlier = (0..).map(|at| values.get(..at).unwrap_or_default());
                values.iter().all(|value| earlier.next().is_some_and(|them| !them.contains(value)))
            })
        })
    }
}

/// What one part has of a family.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(super) part: u32,
    pub(crate) family: Family<'a>,
    /// Whether its lines stand as they are on the page, in text and in OpenMetrics.
    pub(crate) is_verbatim: bool,
    changes: Option<Box<Changes<'a>>>,
}

#[derive(Debug, Default)]
struct Changes<'a> {
    /// New names of labels that meet added ones.
    renamed: Vec<(&'a str, String)>,
    /// Places of samples left out, ascending.
    dropped: Vec<u32>,
}

impl<'a> Piece<'a> {
    pub(super) fn new(part: u32, labels: &'a [(String, String)], family: Family<'a>) -> Self {
        // A label of an exemplar meets none that its sample gets.
        let blocks = family
            .has_exemplars()
            .then(|| family.samples().map(|sample| sample.label_block()).collect::<String>());
        let renamed = renamed(labels, blocks.as_deref().unwrap_or(family.lines()));
        let changes =
            (!renamed.is_empty()).then(|| Box::new(Changes { renamed, dropped: Vec::new() }));
        let is_verbatim = labels.is_empty() && !family.has_exemplars();
        Self { part, family, is_verbatim, changes }
    }

    /// Whether it is of the first page.
    pub(crate) const fn is_of_first(&self) -> bool {
        self.part == 0
    }

    /// The samples that stay.
    pub(crate) fn samples(&self) -> Samples<'_, 'a> {
        let dropped = self.changes.as_ref().map_or(&[][..], |changes| &changes.dropped);
        Samples { family: self.family, at: 0, dropped }
    }

    /// Whether labels of the page have new names.
    pub(crate) fn renames(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.renamed.is_empty())
    }

    /// The labels of a sample that its page gave it, under their new names.
    pub(crate) fn labels(&self, sample: Sample<'a>) -> impl Iterator<Item = (&str, &'a str)> {
        let renamed = self.changes.as_ref().map_or(&[][..], |changes| &changes.renamed);
        sample.labels().map(|(name, value)| {
            let new = renamed.iter().find(|(old, _)| *old == name);
            (new.map_or(name, |(_, new)| new), value)
        })
    }

    /// Leaves a sample out. Called for ascending places.
    pub(super) fn drop(&mut self, at: u32) {
        self.is_verbatim = false;
        self.changes.get_or_insert_default().dropped.push(at);
    }
}

/// The samples of a piece that stay.
pub(crate) struct Samples<'p, 'a> {
    family: Family<'a>,
    at: u32,
    /// Places of those that do not, from here on.
    dropped: &'p [u32],
}

impl<'a> Iterator for Samples<'_, 'a> {
    type Item = Sample<'a>;

    /// Not inlined: every format has loops over samples, and the module a budget.
    #[inline(never)]
    fn next(&mut self) -> Option<Sample<'a>> {
        loop {
            let sample = self.family.sample(self.at)?;
            let at = self.at;
            self.at += 1;
            match self.dropped {
                [first, rest @ ..] if *first == at => self.dropped = rest,
                _ => return Some(sample),
            }
        }
    }
}

/// New names for the labels of these lines that have the name of an added one: `exported_` before them, as often as it
/// takes, the shorter name first (Prometheus, `scrape.resolveConflictingExposedLabels`, but for all of a family at once).
fn renamed<'a>(added: &'a [(String, String)], lines: &str) -> Vec<(&'a str, String)> {
    let names = added.iter().map(|(name, _)| name.as_str());
    let met = names.clone().map(|name| (name, label::exports_of(lines, name)));
    let mut by_length: Vec<(&str, label::Exports)> = Vec::new();
    for (name, exports) in met.filter(|(_, exports)| exports.has(0)) {
        let place = by_length.partition_point(|(have, _)| have.len() <= name.len());
        by_length.insert(place, (name, exports));
    }
    let mut renamed: Vec<(&str, String)> = Vec::new();
    for (old, exports) in by_length {
        let candidates = (1..).filter(|&times| !exports.has(times));
        let mut candidates = candidates.map(|times| label::EXPORTED.repeat(times) + old);
        let is_free = |new: &String| {
            !names.clone().any(|name| name == new) && !renamed.iter().any(|(_, taken)| taken == new)
        };
        if let Some(new) = candidates.find(is_free) {
            renamed.push((old, new));
        }
    }
    renamed
}

/// The labels that a part's samples get.
#[derive(Debug, Default)]
pub(crate) struct Added<'a> {
    /// Names, and values escaped.
    pub(crate) labels: Vec<(&'a str, String)>,
    /// The same as they are written, behind an opening brace. Empty where there are none.
    pub(crate) block: String,
}

impl<'a> Added<'a> {
    pub(super) fn of(labels: &'a [(String, String)]) -> Self {
        let mut added = Self::default();
        for (name, value) in labels {
            let mut escaped = String::new();
            label::push_escaped(value, &mut escaped);
            let opening = if added.block.is_empty() { "{" } else { "," };
            let parts = [opening, name, "=\"", &escaped, "\""];
            parts.iter().for_each(|part| added.block.push_str(part));
            added.labels.push((name, escaped));
        }
        added
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str())
    }
}
