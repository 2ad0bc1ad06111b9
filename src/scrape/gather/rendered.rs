//! What a VM has rendered of the sources' pages, so that the next scrape of the same kind only copies it.

use crate::auth::Visibility;
use crate::exposition::Format;
use crate::exposition::form::Form;
use crate::exposition::gzip::{self, Prefix};
use crate::limits;
use crate::metrics::{Dropped, Selection};
use std::collections::VecDeque;
use std::rc::Rc;

/// What a rendering depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) format: Format,
    pub(super) selection: Selection,
    pub(super) view: Rc<Visibility>,
    /// Of each source, in the configuration's order; 0 for one that is not served.
    pub(super) generations: Vec<u64>,
}

/// A page as it was served last.
#[derive(Debug)]
pub(super) struct Rendering {
    /// The sources' families and, behind them, the gateway's: these are written anew for each scrape, in the same place.
    pub(super) page: Rc<Vec<u8>>,
    /// Bytes of the sources' families.
    pub(super) pulled: usize,
    /// What of each source's page is not served beside the others'.
    pub(super) withheld: Vec<Dropped>,
    /// The gateway's families without their numbers.
    pub(super) own: Form,
    /// The sources' families compressed, once somebody asked for that.
    pub(super) compressed: Option<Prefix>,
}

impl Rendering {
    /// The page compressed, where that is worth it: what stays of it once, what stands behind that each time.
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

/// The latest renderings, the one used last at the end; at most [`limits::RENDERINGS`].
#[derive(Default)]
pub(super) struct Rendered(VecDeque<(Key, Rendering)>);

impl Rendered {
    /// Takes out the rendering for `key`.
    pub(super) fn take(&mut self, key: &Key) -> Option<Rendering> {
        let place = self.0.iter().position(|(have, _)| have == key)?;
        self.0.remove(place).map(|(_, rendering)| rendering)
    }

    /// Puts a rendering in, or back.
    pub(super) fn keep(&mut self, key: Key, rendering: Rendering) {
        // Renderings of other generations will not be asked for again. Who may see other sources has others.
        self.0.retain(|(have, _)| have.view != key.view || have.generations == key.generations);
        if self.0.len() >= limits::RENDERINGS {
            self.0.pop_front();
        }
        self.0.push_back((key, rendering));
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
