//! Which format a client gets: `?format=`, else its Accept headers.
//!
//! Accept is read as RFC 9110, section 12.5.1, has it: media ranges with weights, where the most specific range that
//! matches an offer says its weight. Of the offers of the heaviest weight, the one that was asked for by the most specific
//! range wins, as it does at the controller, and of those the first one. A parameter that an offer has must be the same in
//! a range; one that it has not narrows nothing, or a client that adds one would get 406 for it. An element that does not
//! parse is passed over; nothing here fails or allocates on hostile bytes.
//!
//! The controller (Django REST framework) reads no weights at all, so a weight that is written oddly is no reason for a
//! 406: see `thousandths`. One that is no number counts as none, which is 1.

use crate::exposition::{Format, json, openmetrics, page, protobuf, text};
use std::borrow::Cow;

/// A format under the name by which the client asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The format.
    pub format: Format,
    name: &'static str,
    /// How names would be escaped that are none of the legacy character set, which ours all are.
    escaping: Option<&'static str>,
}

/// No format that we render is acceptable to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

/// What there is, most wanted first: what wins where the client wants several the same.
const OFFERS: [Offer; 7] = [
    Offer {
        format: Format::Text,
        name: text::CONTENT_TYPE,
        media: ("text", "plain"),
        parameters: &[("version", "0.0.4"), UTF8],
        to: To::Anybody,
    },
    Offer {
        format: JSON,
        name: json::CONTENT_TYPE,
        media: ("application", "json"),
        parameters: &[],
        to: To::Anybody,
    },
    Offer {
        format: Format::OpenMetrics,
        name: openmetrics::CONTENT_TYPE,
        media: OPENMETRICS,
        parameters: &[("version", "1.0.0"), UTF8],
        to: To::WhoNamesIt,
    },
    Offer {
        format: Format::OpenMetrics,
        name: openmetrics::CONTENT_TYPE_0,
        media: OPENMETRICS,
        parameters: &[("version", "0.0.1"), UTF8],
        to: To::WhoNamesIt,
    },
    Offer {
        format: Format::Text,
        name: text::CONTENT_TYPE_1,
        media: ("text", "plain"),
        parameters: &[("version", "1.0.0"), UTF8],
        to: To::WhoNamesItsVersion,
    },
    Offer {
        format: Format::Protobuf,
        name: protobuf::CONTENT_TYPE,
        media: ("application", "vnd.google.protobuf"),
        parameters: &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
        to: To::WhoNamesIt,
    },
    Offer {
        format: Format::Html,
        name: page::CONTENT_TYPE,
        media: ("text", "html"),
        parameters: &[UTF8],
        to: To::WhoNamesIt,
    },
];

const OPENMETRICS: (&str, &str) = ("application", "openmetrics-text");
const UTF8: (&str, &str) = ("charset", "utf-8");

const JSON: Format = Format::Json { indent: None };

/// Who asks for these versions may say how names are to be escaped (Prometheus documentation, "Escaping schemes").
const WITH_ESCAPING: [&str; 2] = [text::CONTENT_TYPE_1, openmetrics::CONTENT_TYPE];
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// `indent=` is honoured up to here, as by the controller (Django REST framework, `JSONRenderer`).
const WIDEST_INDENT: u8 = 8;

struct Offer {
    format: Format,
    /// The media type with all its parameters; and the same in parts, so that no scrape takes it apart.
    name: &'static str,
    media: (&'static str, &'static str),
    parameters: &'static [(&'static str, &'static str)],
    to: To,
}

/// How specific a range must be to get an offer, by its precedence.
#[derive(Clone, Copy)]
enum To {
    /// `*/*` will do.
    Anybody = ANYTHING as isize,
    /// Type and subtype.
    WhoNamesIt = SUBTYPE as isize,
    /// And a parameter.
    WhoNamesItsVersion = SUBTYPE as isize + 1,
}

/// The precedence of `*/*`, of `type/*` and of `type/subtype`. Each parameter of the offer adds one.
const ANYTHING: u8 = 1;
const TYPE: u8 = 2;
const SUBTYPE: u8 = 3;

/// How specific `type/subtype` is with any parameter but the weight; without one, ranges are as specific as their
/// precedence (Django REST framework, `_MediaType.precedence`).
const WITH_PARAMETERS: u8 = 4;

impl MediaType {
    /// The value of Content-Type.
    #[must_use]
    pub fn content_type(&self) -> Cow<'static, str> {
        match self.escaping {
            Some(escaping) => format!("{}; escaping={escaping}", self.name).into(),
            None => self.name.into(),
        }
    }
}

/// Chooses by the value of `?format=` where there is one, else by the values of all Accept headers.
///
/// # Errors
/// [`NotAcceptable`] for a format that does not exist, or where every offer is refused.
pub fn choose<'a>(
    format: Option<&str>,
    accept: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<MediaType, NotAcceptable> {
    let format = match format {
        None | Some("") => return by_accept(accept),
        Some("txt") => Format::Text,
        Some("openmetrics") => Format::OpenMetrics,
        Some("json") => JSON,
        Some("protobuf") => Format::Protobuf,
        // The controller calls its own page for people by the second name.
        Some("html" | "api") => Format::Html,
        Some(_) => return Err(NotAcceptable),
    };
    let offer = OFFERS.iter().find(|offer| offer.format == format).ok_or(NotAcceptable)?;
    Ok(MediaType { format, name: offer.name, escaping: None })
}

fn by_accept<'a>(accept: impl Iterator<Item = &'a [u8]>) -> Result<MediaType, NotAcceptable> {
    let mut best: Option<(Match, &Offer)> = None;
    for (found, offer) in weigh(accept).into_iter().zip(&OFFERS) {
        let is_acceptable = found.precedence >= offer.to as u8 && found.weight > 0;
        if is_acceptable && best.is_none_or(|(so_far, _)| found.wish() > so_far.wish()) {
            best = Some((found, offer));
        }
    }
    best.map(|(found, offer)| found.media_type(offer)).ok_or(NotAcceptable)
}

/// How much the client wants an offer, in thousandths, by the range that says it; and what else that range says.
#[derive(Clone, Copy, Default)]
struct Match {
    /// Which range says the weight of an offer.
    precedence: u8,
    /// Which of two offers of one weight is wanted more.
    specificity: u8,
    weight: u16,
    indent: Option<u8>,
    escaping: Option<&'static str>,
}

impl Match {
    fn of(precedence: u8) -> Self {
        Self { precedence, specificity: precedence, weight: 1000, ..Self::default() }
    }

    /// The greater, the more the client wants the offer.
    fn wish(self) -> (u16, u8) {
        (self.weight, self.specificity)
    }

    fn media_type(self, offer: &Offer) -> MediaType {
        let format = match offer.format {
            Format::Json { .. } => Format::Json { indent: self.indent },
            format => format,
        };
        // Text 1.0.0 always says how, and what it says to those who did not ask is the default.
        let default = (offer.name == text::CONTENT_TYPE_1).then_some("underscores");
        let escaping = self.escaping.filter(|_| WITH_ESCAPING.contains(&offer.name)).or(default);
        MediaType { format, name: offer.name, escaping }
    }
}

/// What the ranges say of each offer.
fn weigh<'a>(accept: impl Iterator<Item = &'a [u8]>) -> [Match; OFFERS.len()] {
    let mut best = [Match::default(); OFFERS.len()];
    let mut asked = false;
    for element in accept.flat_map(|value| split(value, b',')) {
        let element = element.trim_ascii();
        asked |= !element.is_empty();
        let Some(range) = Range::read(element) else { continue };
        for (best, offer) in best.iter_mut().zip(&OFFERS) {
            if let Some(found) = range.matches(offer)
                && (found.precedence, found.weight) > (best.precedence, best.weight)
            {
                *best = found;
            }
        }
    }
    if asked { best } else { [Match::of(ANYTHING); OFFERS.len()] }
}

/// An element of Accept.
struct Range<'a> {
    media: (&'a [u8], &'a [u8]),
    /// With their semicolons.
    parameters: &'a [u8],
}

impl<'a> Range<'a> {
    fn read(element: &'a [u8]) -> Option<Self> {
        let end = element.iter().position(|&byte| byte == b';').unwrap_or(element.len());
        let (media, parameters) = element.split_at_checked(end)?;
        let slash = media.iter().position(|&byte| byte == b'/')?;
        let media = (media.get(..slash)?, media.get(slash + 1..)?.trim_ascii_end());
        Some(Self { media, parameters })
    }

    fn matches(&self, offer: &Offer) -> Option<Match> {
        let mut found = self.matches_media(offer)?;
        for parameter in split(self.parameters, b';').skip(1) {
            let (name, value) = name_and_value(parameter)?;
            let is_same = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
            if is_same("q") {
                found.weight = thousandths(value).unwrap_or(1000);
                continue;
            }
            if found.specificity == SUBTYPE && !name.is_empty() {
                found.specificity = WITH_PARAMETERS;
            }
            if let Some((_, wanted)) = offer.parameters.iter().find(|(name, _)| is_same(name)) {
                if !value.eq_ignore_ascii_case(wanted.as_bytes()) {
                    return None;
                }
                found.precedence = found.precedence.saturating_add(1);
            } else if is_same("indent") {
                found.indent = indent(value);
            } else if is_same("escaping") {
                found.escaping = ESCAPINGS.into_iter().find(|known| known.as_bytes() == value);
            }
        }
        Some(found)
    }

    fn matches_media(&self, offer: &Offer) -> Option<Match> {
        let (kind, subtype) = offer.media;
        match self.media {
            (b"*", b"*") => Some(Match::of(ANYTHING)),
            (first, _) if !first.eq_ignore_ascii_case(kind.as_bytes()) => None,
            (_, b"*") => Some(Match::of(TYPE)),
            (_, second) if second.eq_ignore_ascii_case(subtype.as_bytes()) => {
                Some(Match::of(SUBTYPE))
            }
            _ => None,
        }
    }
}

/// The parts between separators that stand in no quoted string.
fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> + Clone {
    let (mut is_quoted, mut is_escaped) = (false, false);
    bytes.split(move |&byte| {
        let ends = byte == separator && !is_quoted;
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        ends
    })
}

/// A parameter, its value without quotes.
pub(super) fn name_and_value(parameter: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
    let name = parameter.get(..equals)?.trim_ascii();
    let value = parameter.get(equals + 1..).unwrap_or_default().trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value);
    Some((name, value))
}

/// A weight from 0 to 1: `qvalue` of RFC 9110, section 12.4.2, and what clients write in its place, `.5` and more digits
/// than three. What is more than nothing stays more than nothing.
pub(super) fn thousandths(value: &[u8]) -> Option<u16> {
    let point = value.iter().position(|&byte| byte == b'.').unwrap_or(value.len());
    let (whole, digits) = (value.get(..point)?, value.get(point + 1..).unwrap_or_default());
    let is_number = digits.iter().all(u8::is_ascii_digit) && whole.len() + digits.len() > 0;
    let is_more = digits.iter().any(|&digit| digit != b'0');
    let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
    match whole.get(zeros..)? {
        b"" if is_number => {
            let place = |at: usize| u16::from(digits.get(at).map_or(0, |digit| digit - b'0'));
            let weight = place(0) * 100 + place(1) * 10 + place(2);
            Some(weight.max(u16::from(is_more)))
        }
        b"1" if is_number && !is_more => Some(1000),
        _ => None,
    }
}

fn indent(value: &[u8]) -> Option<u8> {
    let spaces: u8 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(spaces.min(WIDEST_INDENT))
}

#[cfg(test)]
mod tests;
