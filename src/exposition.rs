//! Reads pages into [`crate::metrics`], and writes them in every format.

pub mod gzip;
pub mod json;
pub mod openmetrics;
pub mod page;
pub mod parse;
pub mod protobuf;
pub mod render;
pub mod template;
pub mod text;

pub use render::{Extras, Renderer, render};

/// A format that the filter renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// The Prometheus text format, version 0.0.4 or 1.0.0: they differ only in names that no page contains.
    Text,
    /// OpenMetrics, version 0.0.1 or 1.0.0: they differ only in what no page contains.
    OpenMetrics,
    /// JSON in the controller's shape.
    Json {
        /// Spaces per level, from `application/json; indent=N`; `None` for the compact template.
        indent: Option<u8>,
    },
    /// Prometheus protobuf, length-delimited.
    Protobuf,
    /// The HTML page.
    Html,
}

impl Format {
    /// The value of the label `format`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::OpenMetrics => "openmetrics",
            Self::Json { .. } => "json",
            Self::Html => "html",
            Self::Protobuf => "protobuf",
        }
    }
}
