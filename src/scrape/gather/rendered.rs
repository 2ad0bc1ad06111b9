//! The renderings of the sources' pages that a VM keeps, so that the next scrape of the same kind only copies one.

use crate::auth::Visibility;
use crate::exposition::Format;
use crate::exposition::gzip::{self, Prefix};
use crate::exposition::template::Template;
use crate::limits;
use crate::metrics::{Dropped, Selection};
use std::collections::VecDeque;
use std::rc::Rc;

/// The properties of a scrape that its rendering depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenderingKey {
    pub(super) format: Format,
    pub(super) selection: Selection,
    pub(super) visibility: Rc<Visibility>,
}

/// The page of the last scrape of its kind.
#[derive(Debug)]
pub(super) struct Rendering {
    pub(super) wanted: RenderingKey,
    /// The generation of each source, in the configuration's order; 0 for one that is not served.
    pub(super) generations: Vec<u64>,
    /// The sources' families followed by the gateway's, which are written again for each scrape, in the same place.
    pub(super) page: Rc<Vec<u8>>,
    /// Bytes of the sources' families.
    pub(super) pulled: usize,
    /// The samples of each source's page that are left out because of the other sources' pages.
    pub(super) withheld: Vec<Dropped>,
    /// The gateway's families without their numbers.
    pub(super) own: Template,
    /// The sources' families compressed, after the first client requested that.
    pub(super) compressed: Option<Prefix>,
}

impl Rendering {
    /// Returns true if the sources' families are to be compressed first.
    pub(super) fn lacks_compression(&self) -> bool {
        self.compressed.is_none() && gzip::is_worthwhile(self.pulled)
    }

    /// The page compressed, if that is worthwhile: its unchanged part only once, the rest each time.
    pub(super) fn compressed(&mut self) -> Option<Rc<Vec<u8>>> {
        let (pulled, own) = self.page.split_at_checked(self.pulled)?;
        if !gzip::is_worthwhile(self.page.len()) {
            return None;
        }
        if self.compressed.is_none() {
            self.compressed = Prefix::new(pulled);
        }
        self.compressed.as_mut()?.with_tail(own)
    }
}

/// The latest renderings, the most recently used at the end; at most [`limits::RENDERINGS`].
#[derive(Default)]
pub(super) struct Rendered(VecDeque<Rendering>);

impl Rendered {
    /// Removes and returns a rendering of the same kind. A rendering of other generations is dropped: it is outdated,
    /// and its memory is needed for the new one.
    pub(super) fn take(&mut self, wanted: &RenderingKey, generations: &[u64]) -> Option<Rendering> {
        let index = self.0.iter().position(|have| have.wanted == *wanted)?;
        self.0.remove(index).filter(|have| have.generations == generations)
    }

    /// Discards the renderings for clients that may see this: their pages changed.
    pub(super) fn discard(&mut self, visibility: &Visibility) {
        self.0.retain(|have| *have.wanted.visibility != *visibility);
    }

    /// Stores a new rendering, or puts back one that was taken.
    pub(super) fn keep(&mut self, rendering: Rendering) {
        // Clients that may see other sources have other generations.
        self.0.retain(|have| {
            have.wanted.visibility != rendering.wanted.visibility
                || have.generations == rendering.generations
        });
        if self.0.len() >= limits::RENDERINGS {
            self.0.pop_front();
        }
        self.0.push_back(rendering);
    }

    /// The number of renderings.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
