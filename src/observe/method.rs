//! The method of a request -> [`Method`], the value of the label `method`: a registered method, or `other`.

/// The label `method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u8);

/// The IANA registry of HTTP methods, without `*` and `PRI`, which are registered only to reserve them. A method's index is
/// its number in shared data, which outlives a change of the module: add methods at the end, and never move or reuse one.
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
    /// Methods that are not registered, and requests without a method.
    pub const OTHER: Self = Self(0);
    /// `POST`, which launches, logs in and creates.
    pub const POST: Self = Self(3);

    /// The method of these bytes. Methods are case-sensitive (RFC 9110, section 9.1).
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        // The common methods are first, and nearly all others already differ in length.
        let index = TABLE.iter().skip(1).position(|known| known.as_bytes() == method);
        index.and_then(|index| u8::try_from(index + 1).ok()).map_or(Self::OTHER, Self)
    }

    /// The method of this number, if this module knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < TABLE.len()).then_some(Self(number))
    }

    /// Its number in shared data.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns true for the methods that the API uses. All others share a bound ([`crate::limits::RARE_SERIES`]).
    #[must_use]
    pub const fn is_common(self) -> bool {
        0 < self.0 && self.0 <= 7
    }

    /// The value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        TABLE.get(usize::from(self.0)).copied().unwrap_or("other")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If a number changed, a new module would count requests of one method as requests of another.
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
    fn every_registered_method_has_its_label_and_all_others_are_other() {
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
