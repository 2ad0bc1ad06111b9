//! The method of a request -> [`Method`], the value of the label `method`: one of the registered ones, or `other`.

/// The label `method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u8);

/// The IANA registry of HTTP methods, but for `*` and `PRI`, which it reserves so that nobody uses them. A method's place
/// is its number in shared data, which outlives a change of the module: add at the end, never move or reuse a place.
const TABLE: [&str; 40] = [
    "other",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

impl Method {
    /// What is not registered, and requests without a method.
    pub const OTHER: Self = Self(0);
    /// `POST`, the one that launches, logs in and creates.
    pub const POST: Self = Self(3);

    /// The method of these bytes. Methods are case-sensitive (RFC 9110, section 9.1).
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        // The common ones stand first, and comparing lengths tells nearly all others apart.
        let place = TABLE.iter().skip(1).position(|known| known.as_bytes() == method);
        place.and_then(|place| u8::try_from(place + 1).ok()).map_or(Self::OTHER, Self)
    }

    /// The method of this number, if this module knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < TABLE.len()).then_some(Self(number))
    }

    /// What stands for it in shared data.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether the API has a use for it. The others share what room is left (see [`crate::limits::RARE_SERIES`]).
    #[must_use]
    pub const fn is_common(self) -> bool {
        0 < self.0 && self.0 <= 7
    }

    /// The label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        TABLE.get(usize::from(self.0)).copied().unwrap_or("other")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that changed would count one method's requests as another's after a change of the module.
    #[test]
    fn methods_keep_their_numbers() {
        for (number, method) in [
            (0, "other"),
            (1, "GET"),
            (3, "POST"),
            (9, "TRACE"),
            (10, "ACL"),
            (29, "QUERY"),
            (39, "VERSION-CONTROL"),
        ] {
            assert_eq!(Method::from_number(number).unwrap().label(), method);
        }
    }

    #[test]
    fn registered_methods_are_told_apart_and_the_rest_is_other() {
        for method in &TABLE[1..] {
            assert_eq!(Method::of(method.as_bytes()).label(), *method);
            assert_eq!(
                Method::from_number(Method::of(method.as_bytes()).number()).unwrap().label(),
                *method
            );
        }
        for method in ["", "get", "Get", "FOO", "GETS", "GE", "PRI", "*", "other", "G\u{e9}T"] {
            assert_eq!(Method::of(method.as_bytes()), Method::OTHER, "{method}");
        }
        assert_eq!(Method::of(&vec![b'A'; 65_536]), Method::OTHER);
        assert_eq!(Method::of(b"\xff"), Method::OTHER);
        assert_eq!(Method::of(b"POST"), Method::POST);
        assert_eq!(Method::from_number(200), None);
    }
}
