//! What of the page somebody may see.

/// A part of the page; all of it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Visibility {
    /// The places of sources in the configuration; none where all may be seen.
    pub sources: Option<Vec<usize>>,
    /// Names of families, where one that ends in `*` stands for all that begin so; none where all may be seen.
    pub families: Option<Vec<String>>,
}

impl Visibility {
    /// Whether the source at this place of the configuration may be seen.
    #[must_use]
    pub fn shows_source(&self, place: usize) -> bool {
        self.sources.as_ref().is_none_or(|places| places.contains(&place))
    }

    /// Whether the family of this name may be seen.
    #[must_use]
    pub fn shows_family(&self, name: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        self.families.as_ref().is_none_or(|patterns| patterns.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_everything_may_be_seen() {
        assert!(Visibility::default().shows_source(7));
        assert!(Visibility::default().shows_family("awx_status_total"));
    }

    #[test]
    fn a_restricted_view_opens_what_it_names_and_no_more() {
        let families = ["awx_status_total", "awx_gateway_*"].map(str::to_owned).to_vec();
        let view = Visibility { sources: Some(vec![1]), families: Some(families) };
        assert!(view.shows_source(1) && !view.shows_source(0));
        for (name, opens) in [
            ("awx_status_total", true),
            ("awx_status_total_more", false),
            ("awx_gateway_workers", true),
            ("awx_gateway", false),
        ] {
            assert_eq!(view.shows_family(name), opens, "{name}");
        }
    }
}
