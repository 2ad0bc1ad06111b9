//! Which format a client gets: `?format=`, else its Accept headers.
//!
//! Accept is read as RFC 9110, section 12.5.1, has it: media ranges with weights, where the most specific range that
//! matches a format says its weight. An element that does not parse is passed over; nothing here fails or allocates on
//! hostile bytes.

/// A format that the filter renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Prometheus text format 0.0.4.
    Text,
    /// The controller's own JSON.
    Json {
        /// Spaces a level, from `application/json; indent=N`; none for the compact form.
        indent: Option<u8>,
    },
    /// The page for people.
    Html,
}

/// No format that we render is acceptable to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

/// The offers, most wanted first: what wins where the client weighs several the same.
const OFFERS: [Offer; 3] = [
    Offer { kind: "text", subtype: "plain", version: Some("0.0.4") },
    Offer { kind: "application", subtype: "json", version: None },
    Offer { kind: "text", subtype: "html", version: None },
];

/// `indent=` is honoured up to here, as by the controller (Django REST framework, `JSONRenderer`).
const WIDEST_INDENT: u8 = 8;

struct Offer {
    kind: &'static str,
    subtype: &'static str,
    version: Option<&'static str>,
}

/// Chooses by the value of `?format=` where there is one, else by the values of all Accept headers.
///
/// # Errors
/// [`NotAcceptable`] for a format that does not exist, or where every offer is refused.
pub fn choose<'a>(
    format: Option<&str>,
    accept: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<Format, NotAcceptable> {
    match format {
        None | Some("") => by_accept(accept),
        Some("txt") => Ok(Format::Text),
        Some("json") => Ok(Format::Json { indent: None }),
        // The controller's name for its own page.
        Some("html" | "api") => Ok(Format::Html),
        Some(_) => Err(NotAcceptable),
    }
}

fn by_accept<'a>(accept: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Format, NotAcceptable> {
    let mut best: Option<(Match, usize)> = None;
    for (index, offer) in OFFERS.iter().enumerate() {
        let found = weigh(offer, accept.clone());
        if found.weight > 0 && best.is_none_or(|(so_far, _)| found.weight > so_far.weight) {
            best = Some((found, index));
        }
    }
    match best {
        Some((_, 0)) => Ok(Format::Text),
        Some((found, 1)) => Ok(Format::Json { indent: found.indent }),
        // Who takes anything is no browser.
        Some((found, _)) if found.precedence >= NAMED => Ok(Format::Html),
        _ => Err(NotAcceptable),
    }
}

/// The precedence of a range that names type and subtype.
const NAMED: u8 = 3;

/// The precedence of a range that names type, subtype and parameters.
const WITH_PARAMETERS: u8 = 4;

/// How much the client wants an offer, in thousandths.
#[derive(Clone, Copy, Default)]
struct Match {
    precedence: u8,
    weight: u16,
    indent: Option<u8>,
}

fn weigh<'a>(offer: &Offer, accept: impl Iterator<Item = &'a [u8]>) -> Match {
    let mut best = Match::default();
    let mut asked = false;
    for range in accept.flat_map(|value| value.split(|&byte| byte == b',')) {
        let range = range.trim_ascii();
        asked |= !range.is_empty();
        if let Some(found) = match_range(offer, range)
            && (found.precedence, found.weight) > (best.precedence, best.weight)
        {
            best = found;
        }
    }
    if asked { best } else { Match { precedence: 1, weight: 1000, indent: None } }
}

/// How one media range matches an offer: `*/*` least, then `type/*`, `type/subtype`, and that with parameters.
fn match_range(offer: &Offer, range: &[u8]) -> Option<Match> {
    let mut parts = range.split(|&byte| byte == b';');
    let media = parts.next()?.trim_ascii();
    let slash = media.iter().position(|&byte| byte == b'/')?;
    let (kind, subtype) = (media.get(..slash)?, media.get(slash + 1..)?);
    let mut found = Match { precedence: 1, weight: 1000, indent: None };
    if kind.eq_ignore_ascii_case(offer.kind.as_bytes()) {
        found.precedence = 2;
        if subtype.eq_ignore_ascii_case(offer.subtype.as_bytes()) {
            found.precedence = NAMED;
        } else if subtype != b"*" {
            return None;
        }
    } else if media != b"*/*" {
        return None;
    }
    for parameter in parts {
        found = match_parameter(offer, found, parameter.trim_ascii())?;
    }
    Some(found)
}

/// A parameter that we know must fit. One that we do not know narrows nothing, or a client that adds one would get 406
/// for it.
fn match_parameter(offer: &Offer, mut found: Match, parameter: &[u8]) -> Option<Match> {
    let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(parameter.len());
    let name = parameter.get(..equals)?.trim_ascii().to_ascii_lowercase();
    let value = parameter.get(equals + 1..).unwrap_or_default().trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    match name.as_slice() {
        b"q" => {
            found.weight = thousandths(value)?;
            return Some(found);
        }
        b"version" if offer.version.is_some_and(|version| version.as_bytes() != value) => {
            return None;
        }
        b"charset" if !value.eq_ignore_ascii_case(b"utf-8") => return None,
        b"indent" => found.indent = indent(value),
        _ => {}
    }
    found.precedence = WITH_PARAMETERS;
    Some(found)
}

/// `qvalue` of RFC 9110, section 12.4.2: 0 to 1, at most three digits behind the point.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => 1,
        _ => return None,
    };
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        weight = weight * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (weight <= 1000).then_some(weight)
}

fn indent(value: &[u8]) -> Option<u8> {
    let spaces: u8 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(spaces.min(WIDEST_INDENT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JSON: Format = Format::Json { indent: None };

    fn chosen(accept: &[&str]) -> Result<Format, NotAcceptable> {
        choose(None, accept.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn text_is_what_you_get_without_a_wish() {
        for accept in [&[][..], &[""], &["*/*"], &["text/*"], &["text/plain, application/json"]] {
            assert_eq!(chosen(accept), Ok(Format::Text), "{accept:?}");
        }
    }

    #[test]
    fn every_prometheus_gets_text_0_0_4() {
        for accept in [
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;escaping=allow-utf-8;version=1.0.0;q=0.5,application/\
             openmetrics-text;version=0.0.1;q=0.4,text/plain;escaping=allow-utf-8;version=1.0.0;\
             q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ] {
            assert_eq!(chosen(&[accept]), Ok(Format::Text), "{accept}");
        }
    }

    #[test]
    fn the_heavier_weight_wins_whatever_stands_first() {
        assert_eq!(chosen(&["text/plain;q=0.1, application/json;q=0.9"]), Ok(JSON));
        assert_eq!(chosen(&["application/json;q=0.1", "text/plain;q=0.2"]), Ok(Format::Text));
        assert_eq!(chosen(&["application/json, */*;q=0.1"]), Ok(JSON));
        assert_eq!(chosen(&["application/*"]), Ok(JSON));
        assert_eq!(chosen(&["APPLICATION/JSON"]), Ok(JSON));
    }

    #[test]
    fn the_most_specific_range_says_the_weight() {
        assert_eq!(chosen(&["text/plain;q=0, */*"]), Ok(JSON));
        assert_eq!(
            chosen(&["text/*;q=0.1, text/plain;q=0.9, application/*;q=0.5"]),
            Ok(Format::Text)
        );
    }

    #[test]
    fn only_who_names_html_gets_the_page() {
        for accept in [
            "text/html",
            // Chromium's and Firefox's.
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;q=0.5, text/html;q=0.6",
        ] {
            assert_eq!(chosen(&[accept]), Ok(Format::Html), "{accept}");
        }
        for accept in ["*/*", "text/*", "text/html, text/plain", "text/html;q=0.1, */*"] {
            assert_eq!(chosen(&[accept]), Ok(Format::Text), "{accept}");
        }
        let others = "text/plain;q=0, application/json;q=0";
        assert_eq!(chosen(&[others, "*/*"]), Err(NotAcceptable));
        assert_eq!(chosen(&[others, "text/*"]), Err(NotAcceptable));
    }

    #[test]
    fn what_we_do_not_render_is_refused() {
        for accept in [
            "application/xml",
            "foo",
            "*/*;q=0",
            "text/plain;version=1.0.0",
            "text/plain;charset=latin1",
            "application/json;q=2",
            "application/json;q=0.1234",
            "application/json;q=0.0 2",
            "*/json",
        ] {
            assert_eq!(chosen(&[accept]), Err(NotAcceptable), "{accept}");
        }
    }

    #[test]
    fn an_indent_is_taken_up_to_the_widest() {
        let indented = |indent| Ok(Format::Json { indent: Some(indent) });
        assert_eq!(chosen(&["application/json; indent=4"]), indented(4));
        assert_eq!(chosen(&["application/json; indent=200"]), indented(8));
        assert_eq!(chosen(&["application/json; indent=many"]), Ok(JSON));
    }

    #[test]
    fn the_query_overrides_accept() {
        let json = || [&b"application/json"[..]].into_iter();
        assert_eq!(choose(Some("txt"), json()), Ok(Format::Text));
        assert_eq!(choose(Some("json"), [&b"text/plain"[..]].into_iter()), Ok(JSON));
        assert_eq!(choose(Some(""), json()), Ok(JSON));
        assert_eq!(choose(Some("html"), json()), Ok(Format::Html));
        assert_eq!(choose(Some("api"), json()), Ok(Format::Html));
        assert_eq!(choose(Some("xml"), json()), Err(NotAcceptable));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(accept in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = choose(None, [accept.as_slice()].into_iter());
        }

        #[test]
        fn no_header_of_likely_parts_makes_it_panic(accept in "[ ,;=/*q0.1\"a-z]{0,40}") {
            let _ = choose(None, [accept.as_bytes()].into_iter());
        }
    }
}
