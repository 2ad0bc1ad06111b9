//! Renders a merged page step by step, in any format: rendering a large page at once would delay other requests too
//! long.
//!
//! A [`Renderer`] walks over the families, their parts and their samples, and keeps its position between steps; an
//! encoder writes them. A family that is the same in the format as on its page is copied whole.

use super::Format;
use super::{json, openmetrics, protobuf, text};
use crate::host::Time;
use crate::limits;
use crate::metrics::merge::{FamilyPart, MergedFamily, Place};
use crate::metrics::select::Share;
use crate::metrics::{Family, Kind, Merged, NativeHistogram, Sample, Selection};
use std::rc::Rc;

/// Data of the first page in addition to its samples: the gateway's own families are the first page.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Families that are also native histograms, by name. Only protobuf has them.
    pub natives: Vec<(&'static str, NativeHistogram)>,
    /// The time at which its counters began, except those about sources. Text and JSON do not have it.
    pub created: Option<Time>,
}

/// A family as a format shows it: under one name, with one type.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The index of the merged family.
    pub(super) family: usize,
    /// Only samples with this suffix.
    pub(super) suffix: Option<&'static str>,
    /// Only samples of the selected nodes.
    pub(super) is_filtered: bool,
}

/// A name and a type under which a format shows a family, or its samples with a suffix.
pub(super) type Presented = (String, Kind, Option<&'static str>);

/// Writes blocks in one format.
pub(super) trait Encoder {
    /// Begins a block.
    fn begin(&mut self, block: &Block, help: &str);

    /// Returns true if the lines of a part, of which no sample is left out, can be copied.
    fn copies(&self, _block: &Block, _part: &FamilyPart, _family: Family<'_>) -> bool {
        false
    }

    /// Writes lines that can be copied.
    fn copy(&mut self, _lines: &str) {}

    /// Writes a sample.
    fn sample(&mut self, block: &Block, part: &FamilyPart, sample: Sample<'_>);

    /// Ends the samples of a part.
    fn end_part(&mut self, _block: &Block, _part: &FamilyPart) {}

    /// Ends a block. A block without samples after filtering is removed.
    fn end(&mut self, block: &Block);

    /// Reserves memory for so many bytes.
    fn reserve(&mut self, _bytes: usize) {}

    /// Bytes written so far.
    fn written(&self) -> usize;

    /// Ends the page.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

/// A page that is being rendered.
pub struct Renderer {
    merged: Rc<Merged>,
    selection: Selection,
    blocks: std::vec::IntoIter<Block>,
    current: Option<Current>,
    encoder: Box<dyn Encoder>,
}

/// The position within a block.
struct Current {
    block: Block,
    part: usize,
    place: Place,
}

/// Bytes that a header may have beyond that of the stored page: a unit, and another type.
const HEADER: usize = 128;

impl Renderer {
    /// Begins to render the selected families.
    #[must_use]
    pub fn new(merged: Rc<Merged>, selection: &Selection, format: Format, extras: Extras) -> Self {
        let blocks =
            |plan: &dyn Fn(&MergedFamily) -> Vec<Presented>| plan_blocks(&merged, selection, plan);
        let (blocks, encoder): (Vec<Block>, Box<dyn Encoder>) = match format {
            Format::Text | Format::Html => (
                blocks(&|family| vec![(family.name.clone(), family.kind, None)]),
                Box::new(text::TextPage::default()),
            ),
            Format::OpenMetrics => {
                let names = openmetrics::ReservedNames::of(&merged);
                let encoder = openmetrics::OpenMetricsPage::new(extras.created);
                (blocks(&|family| names.blocks(family)), Box::new(encoder))
            }
            Format::Json { indent } => {
                let names = json::FamilyNames::of(&merged);
                let encoder = json::JsonPage::new(&merged, indent.map(usize::from));
                (blocks(&|family| vec![names.block(family)]), Box::new(encoder))
            }
            Format::Protobuf => {
                (blocks(&protobuf::blocks), Box::new(protobuf::ProtobufPage::new(extras)))
            }
        };
        let mut encoder = encoder;
        if matches!(format, Format::Text | Format::OpenMetrics) {
            // A growing buffer takes up to three times its bytes, and memory never shrinks.
            let bytes = text_bytes(&merged, &blocks);
            encoder.reserve(if bytes > limits::INLINE_BYTES {
                bytes + limits::OWN_BYTES
            } else {
                0
            });
        }
        Self {
            blocks: blocks.into_iter(),
            current: None,
            selection: selection.clone(),
            encoder,
            merged,
        }
    }

    /// Writes about this many bytes. Returns true when the page is complete.
    pub fn step(&mut self, bytes: usize) -> bool {
        let stop = self.encoder.written().saturating_add(bytes);
        while self.encoder.written() < stop {
            let current = match self.current.take() {
                Some(current) => current,
                None => match self.blocks.next() {
                    Some(block) => self.begin(block),
                    None => return true,
                },
            };
            self.current = self.advance(current, stop);
        }
        self.current.is_none() && self.blocks.len() == 0
    }

    /// Renders the rest, and returns the page.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        while !self.step(usize::MAX) {}
        self.encoder.finish()
    }

    fn begin(&mut self, block: Block) -> Current {
        let family = self.merged.families().get(block.family);
        let help = family.map_or("", |family| self.merged.help(family));
        self.encoder.begin(&block, help);
        Current { block, part: 0, place: Place::default() }
    }

    /// Writes from a position on until the block ends or this many bytes are written. Returns the position, unless the
    /// block ended.
    fn advance(&mut self, mut current: Current, stop: usize) -> Option<Current> {
        let Self { merged, selection, encoder, .. } = self;
        let family = merged.families().get(current.block.family)?;
        for (part, of_page) in merged.parts(family).skip(current.part) {
            let block = &current.block;
            let is_whole = part.is_whole() && block.suffix.is_none() && !block.is_filtered;
            if is_whole && encoder.copies(block, part, of_page) {
                encoder.copy(of_page.lines());
            } else {
                while let Some(sample) = part.next(of_page, &mut current.place) {
                    let has_suffix = block.suffix.is_none_or(|suffix| sample.suffix() == suffix);
                    if has_suffix && (!block.is_filtered || selection.has_node(sample)) {
                        encoder.sample(block, part, sample);
                    }
                    if encoder.written() >= stop {
                        return Some(current);
                    }
                }
                encoder.end_part(block, part);
            }
            current.part += 1;
            current.place = Place::default();
        }
        encoder.end(&current.block);
        None
    }
}

/// Renders the selected families of a merged page at once.
#[must_use]
pub fn render(merged: impl Into<Rc<Merged>>, selection: &Selection, format: Format) -> Vec<u8> {
    Renderer::new(merged.into(), selection, format, Extras::default()).finish()
}

/// The bytes of blocks in a text format.
fn text_bytes(merged: &Merged, blocks: &[Block]) -> usize {
    let families = blocks.iter().filter_map(|block| merged.families().get(block.family));
    let parts = families.flat_map(|family| merged.parts(family));
    parts.map(|(_, family)| family.as_text().len() + HEADER).sum()
}

fn plan_blocks(
    merged: &Merged,
    selection: &Selection,
    plan: &dyn Fn(&MergedFamily) -> Vec<Presented>,
) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(merged.families().len());
    for (index, family) in merged.families().iter().enumerate() {
        let is_filtered = match selection.share_of(&family.name) {
            Share::Nothing => continue,
            Share::All => false,
            Share::Nodes => true,
        };
        for (name, kind, suffix) in plan(family) {
            blocks.push(Block { name, kind, family: index, suffix, is_filtered });
        }
    }
    blocks
}

/// The blocks of a family that cannot keep its type: untyped, and each part of a histogram or summary separately.
pub(super) fn without_type(family: &MergedFamily) -> Vec<Presented> {
    match family.kind {
        Kind::Histogram | Kind::Summary => ["", "_bucket", "_sum", "_count"]
            .map(|suffix| ([&family.name, suffix].concat(), Kind::Untyped, Some(suffix)))
            .into(),
        _ => vec![(family.name.clone(), Kind::Untyped, None)],
    }
}

/// A buffer for blocks, and the position to which it is truncated if the current block has no samples.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    block: usize,
    header_end: usize,
}

impl Output {
    pub(super) const fn begin(&mut self) {
        self.block = self.bytes.len();
    }

    pub(super) const fn end_header(&mut self) {
        self.header_end = self.bytes.len();
    }

    /// Removes a block without samples. A whole family without samples keeps its header, unless `always`.
    pub(super) fn end(&mut self, block: &Block, always: bool) -> bool {
        let is_part = block.is_filtered || block.suffix.is_some();
        let is_empty = self.bytes.len() == self.header_end;
        if is_empty && (is_part || always) {
            self.bytes.truncate(self.block);
            return false;
        }
        true
    }

    pub(super) fn push(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part.as_bytes()));
    }

    pub(super) const fn block_start(&self) -> usize {
        self.block
    }
}
