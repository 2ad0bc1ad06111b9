//! What is legal and yet hardly meant.

use std::fmt;

use super::{Config, Source};

/// Something an operator should be told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// No token, no user, no controller to ask, and `auth.anonymous` is false.
    NobodyLetIn,
    /// `paths` is empty.
    NoPaths,
    /// A page grows stale before the next is pulled.
    StaleBeforePulled {
        /// Which of `sources`.
        source: usize,
    },
    /// Two sources have equal labels, so that series of the same name and labels meet.
    SameLabels {
        /// The earlier of `sources`, whose series stand.
        first: usize,
        /// The later one.
        second: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyLetIn => {
                f.write_str("auth: no tokens, no users, no controller, and anonymous is false: nobody is let in")
            }
            Self::NoPaths => f.write_str("paths: empty: no request is answered"),
            Self::StaleBeforePulled { source } => write!(
                f,
                "sources[{source}].stale_after: shorter than interval: the page comes and goes"
            ),
            Self::SameLabels { first, second } => write!(
                f,
                "sources[{second}].labels: the same as of sources[{first}]: series that both have \
                 are shown of the first only"
            ),
        }
    }
}

impl Config {
    /// What is legal and yet hardly meant, to be logged at start.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let auth = &self.auth;
        let knows_anybody =
            !auth.tokens.is_empty() || !auth.users.is_empty() || auth.controller.is_some();
        if !auth.anonymous && !knows_anybody {
            warnings.push(Warning::NobodyLetIn);
        }
        if self.paths.is_empty() {
            warnings.push(Warning::NoPaths);
        }
        for (index, source) in self.sources.iter().enumerate() {
            if source.stale_after < source.interval {
                warnings.push(Warning::StaleBeforePulled { source: index });
            }
            warnings.extend(self.same_labels(index, source));
        }
        warnings
    }

    fn same_labels(&self, second: usize, source: &Source) -> Option<Warning> {
        let earlier = self.sources.iter().take(second);
        let first =
            earlier.map(|earlier| &earlier.labels).position(|have| *have == source.labels)?;
        Some(Warning::SameLabels { first, second })
    }
}
