//! Writes text format 0.0.4.

use super::render::{Block, Encoder, Output};
use crate::metrics::merge::FamilyPart;
use crate::metrics::{Family, Sample};

/// The media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The media type of version 1.0.0, which is the same for names of the legacy character set.
pub const CONTENT_TYPE_1: &str = "text/plain; version=1.0.0; charset=utf-8";

/// A page in text format.
#[derive(Debug, Default)]
pub(super) struct TextPage {
    out: Output,
}

impl Encoder for TextPage {
    fn begin(&mut self, block: &Block, help: &str) {
        let Self { out } = self;
        out.begin();
        if !help.is_empty() {
            out.push(&["# HELP ", &block.name, " ", help, "\n"]);
        }
        out.push(&["# TYPE ", &block.name, " ", block.kind.as_str(), "\n"]);
        out.end_header();
    }

    fn copies(&self, _: &Block, _: &FamilyPart, family: Family<'_>) -> bool {
        !family.has_exemplars()
    }

    fn copy(&mut self, lines: &str) {
        self.out.push(&[lines]);
    }

    fn sample(&mut self, _: &Block, _: &FamilyPart, sample: Sample<'_>) {
        self.out.push(&[sample.without_exemplar(), "\n"]);
    }

    fn end(&mut self, block: &Block) {
        self.out.end(block, false);
    }

    fn reserve(&mut self, bytes: usize) {
        self.out.bytes.reserve_exact(bytes);
    }

    fn written(&self) -> usize {
        self.out.bytes.len()
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.out.bytes
    }
}
