//! The media types that the filter offers.

use crate::exposition::{Format, json, openmetrics, page, protobuf, text};

/// The offers, in the order of preference: of offers that the client wants equally, the first one wins.
pub(super) const OFFERS: [Offer; 7] = [
    Offer {
        format: Format::Text,
        name: text::CONTENT_TYPE,
        media: ("text", "plain"),
        parameters: &[("version", "0.0.4"), UTF8],
        least: LeastRange::Anything,
    },
    Offer {
        format: JSON,
        name: json::CONTENT_TYPE,
        media: ("application", "json"),
        parameters: &[],
        least: LeastRange::Anything,
    },
    Offer {
        format: Format::OpenMetrics,
        name: openmetrics::CONTENT_TYPE,
        media: OPENMETRICS,
        parameters: &[("version", "1.0.0"), UTF8],
        least: LeastRange::Subtype,
    },
    Offer {
        format: Format::OpenMetrics,
        name: openmetrics::CONTENT_TYPE_0,
        media: OPENMETRICS,
        parameters: &[("version", "0.0.1"), UTF8],
        least: LeastRange::Subtype,
    },
    Offer {
        format: Format::Text,
        name: text::CONTENT_TYPE_1,
        media: ("text", "plain"),
        parameters: &[("version", "1.0.0"), UTF8],
        least: LeastRange::SubtypeWithParameter,
    },
    Offer {
        format: Format::Protobuf,
        name: protobuf::CONTENT_TYPE,
        media: ("application", "vnd.google.protobuf"),
        parameters: &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
        least: LeastRange::Subtype,
    },
    Offer {
        format: Format::Html,
        name: page::CONTENT_TYPE,
        media: ("text", "html"),
        parameters: &[UTF8],
        least: LeastRange::Subtype,
    },
];

const OPENMETRICS: (&str, &str) = ("application", "openmetrics-text");
const UTF8: (&str, &str) = ("charset", "utf-8");

pub(super) const JSON: Format = Format::Json { indent: None };

/// One media type that the filter can send.
pub(super) struct Offer {
    pub(super) format: Format,
    /// The media type with all its parameters. The next two fields contain its parts, so that no scrape has to parse it.
    pub(super) name: &'static str,
    pub(super) media: (&'static str, &'static str),
    pub(super) parameters: &'static [(&'static str, &'static str)],
    /// The least specific range that selects the offer.
    pub(super) least: LeastRange,
}

/// How specific a range must be to select an offer, as its precedence.
#[derive(Clone, Copy)]
pub(super) enum LeastRange {
    /// `*/*`.
    Anything = ANYTHING as isize,
    /// `type/subtype`.
    Subtype = SUBTYPE as isize,
    /// `type/subtype` with one of the offer's parameters.
    SubtypeWithParameter = SUBTYPE as isize + 1,
}

/// The precedence of `*/*`, of `type/*` and of `type/subtype`. Each parameter of the offer adds one.
pub(super) const ANYTHING: u8 = 1;
pub(super) const TYPE: u8 = 2;
pub(super) const SUBTYPE: u8 = 3;

/// The media types for which a client may choose how names are escaped (Prometheus documentation, "Escaping schemes").
pub(super) const WITH_ESCAPING: [&str; 2] = [text::CONTENT_TYPE_1, openmetrics::CONTENT_TYPE];
pub(super) const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// `indent=` is limited to this, as by the controller (Django REST framework, `JSONRenderer`).
pub(super) const WIDEST_INDENT: u8 = 8;
