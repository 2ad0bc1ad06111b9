//! A rendering under construction. A large one is built in slices, so that no callback takes long.

use super::open;
use super::rendered::{Rendering, RenderingKey};
use crate::exposition::gzip::{Compression, CompressionStep};
use crate::exposition::template::Template;
use crate::exposition::{Extras, Format, Renderer};
use crate::limits;
use crate::metrics::{GatewaySelection, Merged, Selection};
use std::rc::Rc;

/// The work on one rendering: its families are written first. They are compressed afterwards if a client requested
/// that.
pub(super) struct Job {
    rendering: Rendering,
    renderer: Option<Renderer>,
    compression: Option<Compression>,
    cannot_compress: bool,
}

/// The amount of work to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    /// About [`limits::SLICE_RENDERED`] or [`limits::SLICE_COMPRESSED`].
    One,
    /// Everything.
    All,
}

impl Job {
    /// Begins to render the families of merged pages.
    pub(super) fn new(wanted: RenderingKey, generations: Vec<u64>, mut merged: Merged) -> Self {
        let withheld = (0..generations.len()).map(|part| merged.dropped(part)).collect();
        let selection = visible(&mut merged, &wanted, GatewaySelection::None);
        let merged = Rc::new(merged);
        let renderer = Renderer::new(merged, &selection, wanted.format, Extras::default());
        let rendering = Rendering {
            wanted,
            generations,
            page: Rc::default(),
            pulled: 0,
            withheld,
            own: Template::default(),
            compressed: None,
        };
        Self { rendering, renderer: Some(renderer), compression: None, cannot_compress: false }
    }

    /// Continues with a rendering, which may have to be compressed.
    pub(super) const fn of(rendering: Rendering) -> Self {
        Self { rendering, renderer: None, compression: None, cannot_compress: false }
    }

    /// The properties of the rendering.
    pub(super) const fn wanted(&self) -> &RenderingKey {
        &self.rendering.wanted
    }

    /// Returns true if the rendering is complete, and compressed if `compress` is true.
    pub(super) fn is_complete(&self, compress: bool) -> bool {
        self.renderer.is_none() && !self.is_to_compress(compress)
    }

    /// Does some of the work. Returns true when the rendering is complete, and compressed if `compress` is true.
    pub(super) fn advance(&mut self, slice: Slice, compress: bool) -> bool {
        if let Some(renderer) = &mut self.renderer {
            if !renderer.step(slice.rendered(self.rendering.wanted.format)) {
                return false;
            }
            self.complete();
            if slice == Slice::One {
                return !self.is_to_compress(compress);
            }
        }
        if self.is_to_compress(compress) { self.compress(slice) } else { true }
    }

    /// The complete rendering.
    pub(super) fn into_rendering(self) -> Rendering {
        self.rendering
    }

    fn complete(&mut self) {
        let Some(renderer) = self.renderer.take() else { return };
        let (mut page, wanted) = (renderer.finish(), &self.rendering.wanted);
        open(wanted, &mut page);
        self.rendering.pulled = page.len();
        self.rendering.page = Rc::new(page);
    }

    fn is_to_compress(&self, wanted: bool) -> bool {
        wanted && !self.cannot_compress && self.rendering.lacks_compression()
    }

    fn compress(&mut self, slice: Slice) -> bool {
        let Rendering { page, pulled, compressed, .. } = &mut self.rendering;
        let compression = self.compression.get_or_insert_with(|| Compression::new(*pulled));
        match compression.step(page.get(..*pulled).unwrap_or_default(), slice.compressed()) {
            CompressionStep::Continues => return false,
            CompressionStep::Complete(prefix) => *compressed = Some(prefix),
            CompressionStep::Failed => self.cannot_compress = true,
        }
        self.compression = None;
        true
    }
}

impl Slice {
    /// Text formats copy most lines, the others format each sample.
    const fn rendered(self, format: Format) -> usize {
        match self {
            Self::One if matches!(format, Format::Text | Format::OpenMetrics) => {
                limits::SLICE_COPIED
            }
            Self::One => limits::SLICE_RENDERED,
            Self::All => usize::MAX,
        }
    }

    const fn compressed(self) -> usize {
        match self {
            Self::One => limits::SLICE_COMPRESSED,
            Self::All => usize::MAX,
        }
    }
}

/// The selection of one side's families: the gateway's, or all others. Leaves out the families that the client may not
/// see.
pub(super) fn visible(
    merged: &mut Merged,
    wanted: &RenderingKey,
    side: GatewaySelection,
) -> Selection {
    if wanted.visibility.families.is_some() {
        merged.retain(|name| wanted.visibility.shows_family(name));
    }
    let asked = wanted.selection.gateway;
    if asked != GatewaySelection::All && asked != side {
        merged.retain(|_| false);
    }
    Selection { gateway: side, ..wanted.selection.clone() }
}
