//! What a VM has rendered of the sources' pages, so that the next scrape of the same kind only copies it.

use crate::limits;
use crate::metrics::Selection;
use crate::scrape::accept::Format;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a rendering depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) format: Format,
    pub(super) selection: Selection,
    /// Of each source, in the configuration's order; 0 for one that is not served.
    pub(super) generations: Vec<u64>,
}

/// The latest renderings, the one used last at the end; at most [`limits::RENDERINGS`].
#[derive(Default)]
pub(super) struct Rendered(VecDeque<(Key, Rc<[u8]>)>);

impl Rendered {
    /// The rendering for `key`: the one at hand, or what `render` makes.
    pub(super) fn of(&mut self, key: Key, render: impl FnOnce() -> Vec<u8>) -> Rc<[u8]> {
        let place = self.0.iter().position(|(have, _)| *have == key);
        let entry = place.and_then(|place| self.0.remove(place));
        let (key, bytes) = entry.unwrap_or_else(|| {
            // Renderings of other generations will not be asked for again.
            self.0.retain(|(have, _)| have.generations == key.generations);
            (key, render().into())
        });
        if self.0.len() >= limits::RENDERINGS {
            self.0.pop_front();
        }
        self.0.push_back((key, Rc::clone(&bytes)));
        bytes
    }
}
