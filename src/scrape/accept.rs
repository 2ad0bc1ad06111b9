//! Content negotiation of the format: by `?format=`, or else by the Accept headers.
//!
//! Accept is read as RFC 9110, section 12.5.1, specifies: it lists media ranges with weights, and the most specific range
//! that matches an offer determines its weight. The offer with the greatest weight wins. Of equal weights, the offer of the
//! most specific range wins, as at the controller; then the first one. A parameter of an offer must have the same value in
//! the range. Any other parameter is ignored, since otherwise a client that adds one would get 406. An element that does
//! not parse is ignored; nothing here fails or allocates on hostile bytes.
//!
//! The controller (Django REST framework) does not read weights at all, so a malformed weight must not lead to a 406: it
//! counts as 1. See `header::thousandths` for the forms that are accepted.

mod offers;

use super::header::{name_and_value, split, thousandths};
use crate::exposition::{Format, text};
use offers::{
    ANYTHING, ESCAPINGS, JSON, OFFERS, Offer, SUBTYPE, TYPE, WIDEST_INDENT, WITH_ESCAPING,
};
use std::borrow::Cow;

/// A format, with the media type by which the client asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The format.
    pub format: Format,
    name: &'static str,
    /// The escaping of names outside the legacy character set. The filter sends no such name.
    escaping: Option<&'static str>,
}

/// No format that the filter can render is acceptable to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

/// The specificity of `type/subtype` with any parameter except the weight. Without one, the specificity of a range is its
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

/// Chooses by the value of `?format=` if there is one, or else by the values of all Accept headers.
///
/// # Errors
/// [`NotAcceptable`] for a format that does not exist, or if every offer is refused.
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
        // `api` is the controller's name for its own HTML page.
        Some("html" | "api") => Format::Html,
        Some(_) => return Err(NotAcceptable),
    };
    let offer = OFFERS.iter().find(|offer| offer.format == format).ok_or(NotAcceptable)?;
    Ok(MediaType { format, name: offer.name, escaping: None })
}

fn by_accept<'a>(accept: impl Iterator<Item = &'a [u8]>) -> Result<MediaType, NotAcceptable> {
    let mut best: Option<(Match, &Offer)> = None;
    for (found, offer) in weigh(accept).into_iter().zip(&OFFERS) {
        let is_acceptable = found.precedence >= offer.least as u8 && found.weight > 0;
        if is_acceptable && best.is_none_or(|(so_far, _)| found.preference() > so_far.preference())
        {
            best = Some((found, offer));
        }
    }
    best.map(|(found, offer)| found.media_type(offer)).ok_or(NotAcceptable)
}

/// The range that determines the weight of an offer.
#[derive(Clone, Copy, Default)]
struct Match {
    /// Decides which of two ranges determines the weight of an offer.
    precedence: u8,
    /// Decides which of two offers of equal weight wins.
    specificity: u8,
    /// In thousandths.
    weight: u16,
    indent: Option<u8>,
    escaping: Option<&'static str>,
}

impl Match {
    fn of(precedence: u8) -> Self {
        Self { precedence, specificity: precedence, weight: 1000, ..Self::default() }
    }

    /// The offer with the greatest value wins.
    fn preference(self) -> (u16, u8) {
        (self.weight, self.specificity)
    }

    fn media_type(self, offer: &Offer) -> MediaType {
        let format = match offer.format {
            Format::Json { .. } => Format::Json { indent: self.indent },
            format => format,
        };
        // Text 1.0.0 always names an escaping, by default this one.
        let default = (offer.name == text::CONTENT_TYPE_1).then_some("underscores");
        let escaping = self.escaping.filter(|_| WITH_ESCAPING.contains(&offer.name)).or(default);
        MediaType { format, name: offer.name, escaping }
    }
}

/// The range that determines the weight of each offer.
fn weigh<'a>(accept: impl Iterator<Item = &'a [u8]>) -> [Match; OFFERS.len()] {
    let mut best = [Match::default(); OFFERS.len()];
    let mut is_empty = true;
    for element in accept.flat_map(|value| split(value, b',')) {
        let element = element.trim_ascii();
        is_empty &= element.is_empty();
        let Some(range) = Range::read(element) else { continue };
        for (best, offer) in best.iter_mut().zip(&OFFERS) {
            if let Some(found) = range.matches(offer)
                && (found.precedence, found.weight) > (best.precedence, best.weight)
            {
                *best = found;
            }
        }
    }
    if is_empty { [Match::of(ANYTHING); OFFERS.len()] } else { best }
}

/// An element of Accept.
struct Range<'a> {
    media: (&'a [u8], &'a [u8]),
    /// Each with the semicolon before it.
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
            if let Some((_, expected)) = offer.parameters.iter().find(|(name, _)| is_same(name)) {
                if !value.eq_ignore_ascii_case(expected.as_bytes()) {
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

fn indent(value: &[u8]) -> Option<u8> {
    let spaces: u8 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(spaces.min(WIDEST_INDENT))
}

#[cfg(test)]
mod tests;
