//! One model, many formats: what reads pages into [`crate::metrics`], and what writes them out.

pub mod form;
pub mod json;
pub mod page;
pub mod parse;
pub mod text;
