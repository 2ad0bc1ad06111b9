//! Content negotiation of the content coding: identity or gzip, by Accept-Encoding, as RFC 9110, section 12.5.3, specifies.
//!
//! An element that does not parse is ignored, also one whose weight is not a number: every client can read an uncompressed
//! page. Nothing here fails or allocates on hostile bytes. A client that forbids both codings gets the uncompressed page,
//! since a page is more useful than an error; the standard permits either.

use super::header::{name_and_value, thousandths};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Uncompressed.
    Identity,
    /// A gzip member.
    Gzip,
}

/// Chooses by the values of all Accept-Encoding headers: gzip if the client asks for it and does not prefer identity. Without
/// such a header every coding would be legal, but the client may be unable to decode one.
#[must_use]
pub fn choose<'a>(accept_encoding: impl Iterator<Item = &'a [u8]>) -> Encoding {
    let mut weights = Weights::default();
    for element in accept_encoding.flat_map(|value| value.split(|&byte| byte == b',')) {
        // Of a coding that is listed twice, the greater weight counts.
        if let Some((coding, weight)) = read(element)
            && let Some(known) = weights.of(coding)
        {
            *known = (*known).max(Some(weight));
        }
    }
    let gzip = weights.gzip.or(weights.others).unwrap_or(0);
    // An unlisted identity is acceptable, but a listed gzip is preferred.
    let identity = weights.identity.or(weights.others).unwrap_or(0);
    if gzip > 0 && gzip >= identity { Encoding::Gzip } else { Encoding::Identity }
}

/// The weight of each coding in thousandths, if the client states one.
#[derive(Default)]
struct Weights {
    gzip: Option<u16>,
    identity: Option<u16>,
    /// `*`: every coding that is not listed, including `identity`.
    others: Option<u16>,
}

impl Weights {
    fn of(&mut self, coding: &[u8]) -> Option<&mut Option<u16>> {
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        // `x-gzip` is an old name of gzip (RFC 9110, section 8.4.1.3).
        if is("gzip") || is("x-gzip") {
            Some(&mut self.gzip)
        } else if is("identity") {
            Some(&mut self.identity)
        } else if is("*") {
            Some(&mut self.others)
        } else {
            None
        }
    }
}

/// A coding and its weight in thousandths.
fn read(element: &[u8]) -> Option<(&[u8], u16)> {
    let Some(semicolon) = element.iter().position(|&byte| byte == b';') else {
        return Some((element.trim_ascii(), 1000));
    };
    let (coding, parameter) = element.split_at_checked(semicolon)?;
    let (name, weight) = name_and_value(parameter.get(1..)?)?;
    name.eq_ignore_ascii_case(b"q").then_some((coding.trim_ascii(), thousandths(weight)?))
}

#[cfg(test)]
mod tests {
    use super::Encoding::{Gzip, Identity};
    use super::*;
    use proptest::prelude::*;

    fn chosen(accept_encoding: &[&str]) -> Encoding {
        choose(accept_encoding.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn a_client_that_does_not_ask_for_gzip_gets_identity() {
        for accept in [&[][..], &[""], &[" "], &["identity"], &["br, deflate, zstd"], &["gzipped"]]
        {
            assert_eq!(chosen(accept), Identity, "{accept:?}");
        }
    }

    #[test]
    fn the_headers_of_prometheus_curl_and_browsers_give_gzip() {
        for accept in ["gzip", "deflate, gzip", "gzip, deflate, br, zstd", "gzip;q=1.0,*;q=0"] {
            assert_eq!(chosen(&[accept]), Gzip, "{accept}");
        }
    }

    #[test]
    fn the_greater_weight_wins_and_gzip_wins_at_equal_weights() {
        for (accept, encoding) in [
            ("gzip;q=0.5, identity;q=0.4", Gzip),
            ("identity;q=0.5, gzip;q=0.5", Gzip),
            ("gzip;q=0.5, identity", Identity),
            ("gzip;q=0.499, identity;q=0.5", Identity),
            ("gzip;q=0.001", Gzip),
            ("gzip;q=0", Identity),
            ("gzip;q=0.000, identity;q=0.001", Identity),
            ("br, gzip;q=0.8, identity;q=0.1", Gzip),
        ] {
            assert_eq!(chosen(&[accept]), encoding, "{accept}");
        }
    }

    #[test]
    fn a_star_means_every_coding_that_is_not_listed() {
        for (accept, encoding) in [
            ("*", Gzip),
            ("*;q=0.1", Gzip),
            ("*;q=0", Identity),
            ("gzip;q=0, *", Identity),
            ("identity, *;q=0.9", Identity),
            ("identity;q=0.5, *;q=0.9", Gzip),
            ("gzip;q=0.5, *", Identity),
            ("gzip;q=0.5, *;q=0", Gzip),
        ] {
            assert_eq!(chosen(&[accept]), encoding, "{accept}");
        }
    }

    #[test]
    fn a_client_that_forbids_identity_gets_gzip_unless_it_forbids_both() {
        assert_eq!(chosen(&["identity;q=0, gzip;q=0.1"]), Gzip);
        assert_eq!(chosen(&["identity;q=0, *"]), Gzip);
        assert_eq!(chosen(&["identity;q=0"]), Identity);
        assert_eq!(chosen(&["identity;q=0, gzip;q=0"]), Identity);
    }

    #[test]
    fn names_are_case_insensitive_and_x_gzip_is_known() {
        for accept in ["GZIP", "x-gzip", "X-Gzip;Q=0.5", "\tgzip ; q=0.5 "] {
            assert_eq!(chosen(&[accept]), Gzip, "{accept:?}");
        }
    }

    #[test]
    fn a_weight_is_read_leniently() {
        for accept in ["gzip;q=.5", "gzip;q=0.1234", "gzip;q=0.0001", "gzip ; q = 0.5", "gzip;q=1."]
        {
            assert_eq!(chosen(&[accept]), Gzip, "{accept}");
        }
        assert_eq!(chosen(&["gzip;q=.5, identity;q=.6"]), Identity);
        assert_eq!(chosen(&["gzip;q=.0"]), Identity);
    }

    #[test]
    fn several_headers_are_one_list() {
        assert_eq!(chosen(&["br", "gzip"]), Gzip);
        assert_eq!(chosen(&["gzip;q=0.5", "identity"]), Identity);
        assert_eq!(chosen(&["", "gzip"]), Gzip);
        assert_eq!(chosen(&["gzip;q=0", "x-gzip"]), Gzip);
    }

    #[test]
    fn an_element_that_does_not_parse_is_ignored() {
        for accept in [
            "gzip;q=2",
            "gzip;q=",
            "gzip;q",
            "gzip;",
            "gzip;level=9",
            "gzip;q=-1",
            "gzip;q=1;q=1",
            "gzip deflate",
            "gzip;q=abc",
            "gzip;q=.",
            ";q=1",
            "*gzip",
        ] {
            assert_eq!(chosen(&[accept]), Identity, "{accept}");
            assert_eq!(chosen(&[accept, "gzip;q=0.3"]), Gzip, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = choose([value.as_slice()].into_iter());
        }

        #[test]
        fn order_white_space_case_and_splitting_change_nothing(
            elements in prop::collection::vec("(x-)?(gzip|identity|\\*|br)(;q=[01](\\.[0-9]{1,3})?)?", 0..6),
        ) {
            let once = elements.join(",");
            let reversed: Vec<&str> = elements.iter().rev().map(String::as_str).collect();
            let spelt = once.to_ascii_uppercase().replace(',', " ,,\t").replace(';', " ; ");
            prop_assert_eq!(chosen(&reversed), chosen(&[&once]));
            prop_assert_eq!(chosen(&[&spelt]), chosen(&[&once]));
        }

        #[test]
        fn gzip_is_sent_only_if_the_client_accepts_it(
            gzip in 0_u16..=1000, identity in 0_u16..=1000,
        ) {
            let weight = |it: u16| format!("{}.{:03}", it / 1000, it % 1000);
            let accept = format!("identity;q={}, gzip;q={}", weight(identity), weight(gzip));
            let expected = if gzip > 0 && gzip >= identity { Gzip } else { Identity };
            prop_assert_eq!(chosen(&[&accept]), expected);
        }
    }
}
