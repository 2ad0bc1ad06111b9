//! The part of the metrics page that a client may see.

/// A part of the page; the whole page by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Visibility {
    /// Indexes into the configuration's sources; `None` shows all sources.
    pub sources: Option<Vec<usize>>,
    /// Names of families, or prefixes that end in `*`; `None` shows all families.
    pub families: Option<Vec<String>>,
}

impl Visibility {
    /// Returns true if the client may see the source with this index in the configuration.
    #[must_use]
    pub fn shows_source(&self, index: usize) -> bool {
        self.sources.as_ref().is_none_or(|indexes| indexes.contains(&index))
    }

    /// Returns true if the client may see the family with this name.
    #[must_use]
    pub fn shows_family(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        self.families.as_ref().is_none_or(|patterns| patterns.iter().any(matches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shows_everything() {
        assert!(Visibility::default().shows_source(7));
        assert!(Visibility::default().shows_family("awx_status_total"));
    }

    #[test]
    fn a_restricted_visibility_shows_only_the_sources_and_families_that_it_names() {
        let families = ["awx_status_total", "awx_gateway_*"].map(str::to_owned).to_vec();
        let view = Visibility { sources: Some(vec![1]), families: Some(families) };
        assert!(view.shows_source(1) && !view.shows_source(0));
        for (name, is_shown) in [
            ("awx_status_total", true),
            ("awx_status_total_more", false),
            ("awx_gateway_workers", true),
            ("awx_gateway", false),
        ] {
            assert_eq!(view.shows_family(name), is_shown, "{name}");
        }
    }
}
