//! Path -> [`Resource`], the value of the label `resource`: one of a closed list, never a path of the client's.
//!
//! The names are those of the controller's URLs (AWX 24.6, `awx/api/urls/` and the captured `GET /api/v2/`): a
//! collection goes by its segment (`inventories`, `service-index`), not by its key in the API's root (`inventory`,
//! `service_index`), since that is what an operator sees in a log. An *action* is what follows an object and makes the
//! controller do something beyond storing it (`job_templates/launch`).
//!
//! Percent-encoding is not decoded: no spelling of a name needs it, and what stands where an object's key does
//! (`job_templates/JT%200/launch`) is skipped, whatever it is. Takes any bytes, in time linear in them, and
//! never allocates.

mod names;

use names::{COUNT, TABLE};

/// The label `resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(u8);

/// What a successful POST to a resource means to the derived families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing beyond itself.
    Plain,
    /// A job is launched.
    Launch,
    /// Somebody logs in.
    Login,
    /// A token is created.
    Token,
}

impl Resource {
    /// What no other name fits, and requests without a path.
    pub const OTHER: Self = Self(0);
    /// The controller's web interface.
    pub const UI: Self = Self(1);
    /// A websocket, and the path on which it is offered.
    pub const WEBSOCKET: Self = Self(2);
    /// `/api/login/`.
    pub const LOGIN: Self = Self(3);
    const LOGOUT: Self = Self(4);
    const OAUTH_TOKEN: Self = Self(5);

    /// How many there are.
    pub const COUNT: usize = COUNT;

    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).filter_map(|number| u8::try_from(number).ok().map(Self))
    }

    /// The resource of a request's `:path`, its query included or not.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        match path.strip_prefix(b"/api/") {
            Some(rest) => match rest.strip_prefix(b"controller/") {
                Some(rest) => api(rest),
                None => api(rest),
            },
            None => outside_the_api(without_query(path)),
        }
    }

    /// The resource of this number, if this module knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < COUNT).then_some(Self(number))
    }

    /// What stands for it in shared data.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        TABLE.get(usize::from(self.0)).map_or("other", |(label, _)| label)
    }

    /// What a successful POST to it means.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        TABLE.get(usize::from(self.0)).map_or(Meaning::Plain, |(_, meaning)| *meaning)
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|&byte| byte == b'?' || byte == b'#');
    path.get(..end.unwrap_or(path.len())).unwrap_or_default()
}

/// Whether nothing but a query can follow.
const fn is_end(path: &[u8]) -> bool {
    matches!(path.first(), None | Some(b'?' | b'#'))
}

/// What follows `/api/` or `/api/controller/`.
fn api(path: &[u8]) -> Resource {
    if let Some(path) = path.strip_prefix(b"v2/") {
        return collection(path);
    }
    let path = without_query(path);
    match path.strip_suffix(b"/").unwrap_or(path) {
        b"login" => Resource::LOGIN,
        b"logout" => Resource::LOGOUT,
        b"o/token" => Resource::OAUTH_TOKEN,
        b"websocket" => Resource::WEBSOCKET,
        _ => Resource::OTHER,
    }
}

/// What follows `/api/v2/`: `<collection>/<key>/<action>/`, or less, or something below.
fn collection(path: &[u8]) -> Resource {
    let (name, rest) = segment(path);
    if name == b"websocket" && is_end(rest) {
        return Resource::WEBSOCKET;
    }
    let Some((collection, hash)) = names::collection(name) else { return Resource::OTHER };
    // The bulk actions belong to no object.
    let rest = if name == b"bulk" { rest } else { after_key(rest) };
    let (action, below) = segment(rest);
    if action.is_empty() || !is_end(below) {
        return collection;
    }
    names::action((name, hash), action).unwrap_or(collection)
}

/// What follows the first segment, which is an object's key; nothing follows an empty one.
fn after_key(path: &[u8]) -> &[u8] {
    match segment(path) {
        (b"", _) => b"",
        (_, rest) => rest,
    }
}

/// The first segment, and what follows its slash; nothing follows where the query begins, which is not looked at.
fn segment(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().position(|&byte| matches!(byte, b'/' | b'?' | b'#'));
    let (segment, rest) = path.split_at_checked(end.unwrap_or(path.len())).unwrap_or((path, b""));
    (segment, rest.strip_prefix(b"/").unwrap_or_default())
}

/// The paths that the controller's nginx and Django serve its interface by. It answers any other path with the
/// interface's first page too; those stay `other`, since that is how a scanner looks.
fn outside_the_api(path: &[u8]) -> Resource {
    let Some((first, rest)) = path.strip_prefix(b"/").map(segment) else { return Resource::OTHER };
    match first {
        b"" | b"index.html" | b"favicon.ico" | b"manifest.webmanifest" | b"login"
            if rest.is_empty() =>
        {
            Resource::UI
        }
        b"static" | b"assets" | b"locales" | b"ui" | b"ui_next" => Resource::UI,
        b"websocket" if matches!(rest, b"" | b"relay" | b"relay/") => Resource::WEBSOCKET,
        _ => Resource::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the captured `GET /api/v2/` lists.
    const COLLECTIONS: &str = "ping instances instance_groups receptor_addresses config settings me dashboard \
        organizations users execution_environments projects project_updates teams credentials credential_types \
        credential_input_sources applications tokens metrics inventories constructed_inventories inventory_sources \
        inventory_updates groups hosts host_metrics host_metric_summary_monthly job_templates jobs ad_hoc_commands \
        system_job_templates system_jobs schedules roles notification_templates notifications labels \
        unified_job_templates unified_jobs activity_stream workflow_job_templates workflow_jobs workflow_approvals \
        workflow_job_template_nodes workflow_job_nodes mesh_visualizer bulk analytics service-index \
        role_definitions role_user_assignments role_team_assignments";

    fn label(path: &str) -> &'static str {
        Resource::of(path.as_bytes()).label()
    }

    #[test]
    fn every_collection_of_the_api_is_called_by_its_segment() {
        for name in COLLECTIONS.split_whitespace() {
            for prefix in ["/api/v2", "/api/controller/v2"] {
                for rest in ["", "/", "/7/", "/7", "?page=2", "/7/activity_stream/", "/#x"] {
                    assert_eq!(label(&format!("{prefix}/{name}{rest}")), name, "{prefix} {rest}");
                }
            }
        }
    }

    #[test]
    fn every_action_is_told_from_its_collection_with_and_without_the_slash() {
        for (name, _) in &TABLE[names::FIRST_COLLECTION..] {
            let Some((collection, action)) = name.split_once('/') else { continue };
            let key = if collection == "bulk" { "" } else { "/11" };
            for tail in ["", "/", "?a=/b/c", "/?a"] {
                assert_eq!(label(&format!("/api/v2/{collection}{key}/{action}{tail}")), *name);
            }
            assert_eq!(label(&format!("/api/v2/{collection}{key}/{action}/more/")), collection);
        }
    }

    #[test]
    fn a_named_url_counts_like_one_with_a_number() {
        assert_eq!(label("/api/v2/job_templates/JT%200/launch/"), "job_templates/launch");
        assert_eq!(label("/api/v2/job_templates/a++b%2Fc++d/launch"), "job_templates/launch");
        assert_eq!(label("/api/v2/job_templates/launch/"), "job_templates");
        assert_eq!(label("/api/v2/job_templates//launch/"), "job_templates");
    }

    #[test]
    fn what_stands_beside_the_collections_has_its_own_names() {
        let expected = [
            ("/api/login/", "login"),
            ("/api/login?next=/", "login"),
            ("/api/controller/login/", "login"),
            ("/api/logout/", "logout"),
            ("/api/o/token/", "o/token"),
            ("/api/v2/metrics/?dbonly=1", "metrics"),
            ("/api/controller/v2/metrics", "metrics"),
            ("/", "ui"),
            ("/?a", "ui"),
            ("/static/js/main.js", "ui"),
            ("/ui_next/", "ui"),
            ("/login", "ui"),
            ("/websocket/", "websocket"),
            ("/websocket/relay/", "websocket"),
            ("/api/websocket/", "websocket"),
            ("/api/controller/v2/websocket/", "websocket"),
        ];
        for (path, resource) in expected {
            assert_eq!(label(path), resource, "{path}");
        }
    }

    #[test]
    fn what_is_unknown_is_other() {
        for path in [
            "",
            "*",
            "api/v2/jobs/",
            "/api",
            "/api/",
            "/api/v2",
            "/api/v2/",
            "/api/v3/jobs/",
            "/api/v2//jobs/",
            "/api/v2/JOBS/",
            "/api/v2/job%73/",
            "/api/v2/job_templates%2F1/launch/",
            "/api/v2/nothing/",
            "/api/v2/other/",
            "/api/v2/ui/",
            "/api/v2/o/token/",
            "/api/v2/login/",
            "/api/controller/controller/v2/jobs/",
            "/wp-admin.php",
            "/websocket/x/",
            "http://host/api/v2/jobs/",
        ] {
            assert_eq!(label(path), "other", "{path}");
        }
        assert_eq!(Resource::of(&vec![b'/'; 65_536]), Resource::OTHER);
        assert_eq!(Resource::of(b"/api/v2/\xff\xfe/"), Resource::OTHER);
        assert_eq!(Resource::of(b"/api/v2/jobs/\xff\xfe/relaunch/").label(), "jobs/relaunch");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_label_of_their_own(path in proptest::collection::vec(any::<u8>(), 0..200)) {
            let label = Resource::of(&path).label();
            prop_assert!(TABLE.iter().any(|(known, _)| *known == label));
        }

        #[test]
        fn what_follows_the_question_mark_does_not_matter(query in proptest::collection::vec(any::<u8>(), 0..50)) {
            let path = [b"/api/v2/jobs/5/cancel?", query.as_slice()].concat();
            prop_assert_eq!(Resource::of(&path).label(), "jobs/cancel");
        }
    }
}
