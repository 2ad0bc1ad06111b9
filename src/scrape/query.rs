//! The parameters of a scrape's query string (`application/x-www-form-urlencoded`, as Django reads it). Unknown ones
//! are ignored, as the controller does.

use crate::metrics::{GatewaySelection, Group, Selection};
use std::collections::BTreeSet;

/// The parameters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `format=`: the last one is used.
    pub format: Option<String>,
    /// The families and samples.
    pub selection: Selection,
    /// `source=`: only these sources; empty means all.
    pub sources: BTreeSet<String>,
    /// True if there is an `access_token=`, which the controller accepts and this gateway does not: URLs are logged.
    pub holds_token: bool,
}

impl Query {
    /// Reads a query string. Octets that are not UTF-8 become U+FFFD, which no name or value of the gateway contains.
    #[must_use]
    pub fn parse(query: &[u8]) -> Self {
        let mut parsed = Self::default();
        let (mut database_only, mut subsystem_only) = (false, false);
        for (name, value) in form_urlencoded::parse(query) {
            let selection = &mut parsed.selection;
            match &*name {
                "format" => parsed.format = Some(value.into_owned()),
                // The controller only accepts exactly `1`.
                "dbonly" => database_only = value == "1",
                "subsystemonly" => subsystem_only = value == "1",
                "metric" => drop(selection.metrics.insert(value.into_owned())),
                "node" => drop(selection.nodes.insert(value.into_owned())),
                "name[]" => drop(selection.names.insert(value.into_owned())),
                "source" => drop(parsed.sources.insert(value.into_owned())),
                "gateway" => selection.gateway = gateway(&value),
                "access_token" => parsed.holds_token = true,
                _ => {}
            }
        }
        parsed.selection.group = match (database_only, subsystem_only) {
            (false, false) => Group::All,
            (true, false) => Group::Database,
            (false, true) => Group::Subsystem,
            (true, true) => Group::Neither,
        };
        parsed
    }
}

fn gateway(value: &str) -> GatewaySelection {
    match value {
        "only" => GatewaySelection::Only,
        "none" => GatewaySelection::None,
        _ => GatewaySelection::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_empty_query_selects_everything() {
        assert_eq!(Query::parse(b""), Query::default());
        assert_eq!(Query::parse(b"foo=bar&&=&dbonly=true&subsystemonly"), Query::default());
    }

    #[test]
    fn the_groups_are_those_of_the_controller() {
        let group = |query: &[u8]| Query::parse(query).selection.group;
        assert_eq!(group(b"dbonly=1"), Group::Database);
        assert_eq!(group(b"subsystemonly=1"), Group::Subsystem);
        assert_eq!(group(b"subsystemonly=1&dbonly=1"), Group::Neither);
        assert_eq!(group(b"dbonly=1&dbonly=0"), Group::All);
    }

    #[test]
    fn names_may_repeat_and_are_not_comma_separated() {
        let query = Query::parse(b"metric=a&metric=b,c&node=awx%2D1&name[]=x&name%5B%5D=y+z");
        assert_eq!(query.selection.metrics, names(&["a", "b,c"]));
        assert_eq!(query.selection.nodes, names(&["awx-1"]));
        assert_eq!(query.selection.names, names(&["x", "y z"]));
    }

    #[test]
    fn the_gateways_families_are_selected_separately() {
        let gateway = |query: &[u8]| Query::parse(query).selection.gateway;
        assert_eq!(gateway(b"gateway=only"), GatewaySelection::Only);
        assert_eq!(gateway(b"gateway=none"), GatewaySelection::None);
        assert_eq!(gateway(b"gateway=some"), GatewaySelection::All);
    }

    #[test]
    fn the_last_format_is_used() {
        assert_eq!(Query::parse(b"format=txt&format=json").format.as_deref(), Some("json"));
        assert_eq!(Query::parse(b"format").format.as_deref(), Some(""));
    }

    #[test]
    fn a_token_is_detected_and_not_kept() {
        let query = Query::parse(b"access%5Ftoken=secret&format=txt");
        assert!(query.holds_token && !format!("{query:?}").contains("secret"));
        assert!(!Query::parse(b"x=access_token&access_tokens=1").holds_token);
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_panic(query in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Query::parse(&query);
        }
    }
}
