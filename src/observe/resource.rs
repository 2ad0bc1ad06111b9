//! Path -> [`Resource`], the value of the label `resource`: an entry of a closed list, never a client's path.
//!
//! The names are those of the URLs. For the controller (AWX 24.6, `awx/api/urls/` and the captured `GET /api/v2/`) a
//! collection is named by its path segment (`inventories`, `service-index`) and not by its key in the root of the API
//! (`inventory`, `service_index`), since operators see the segment in logs. An *action* follows an object, and makes the
//! controller do more than store it (`job_templates/launch`).
//!
//! The other services of the platform (2.5 and later) have the service and the collection: `gateway/tokens`. Their
//! collections are those of the URL files of the platform gateway with django-ansible-base, eda-server
//! (`src/aap_eda/api/urls.py`), and galaxy_ng (`galaxy_ng/app/api`) with pulp_ansible.
//!
//! Percent-encoding is not decoded: no name needs it, and an object's key (`job_templates/JT%200/launch`) is skipped,
//! whatever it contains. Any bytes are accepted, in linear time and without an allocation.

mod names;
mod table;

use table::{COUNT, LAUNCHING, TABLE};

/// The label `resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(u8);

/// The meaning of a successful POST to a resource for the derived families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing more.
    Plain,
    /// A job is launched.
    Launch,
    /// A user logs in.
    Login,
    /// A token is created.
    Token,
}

impl Resource {
    /// All other paths, and requests without a path.
    pub const OTHER: Self = Self(0);
    /// The controller's web interface.
    pub const UI: Self = Self(1);
    /// A websocket, and the paths that offer one.
    pub const WEBSOCKET: Self = Self(2);
    /// `/api/login/`.
    pub const LOGIN: Self = Self(3);
    const LOGOUT: Self = Self(4);
    const OAUTH_TOKEN: Self = Self(5);

    /// The number of resources.
    pub const COUNT: usize = COUNT;

    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).filter_map(|number| u8::try_from(number).ok().map(Self))
    }

    /// The resources that launch jobs.
    pub fn launching() -> impl Iterator<Item = Self> {
        LAUNCHING.into_iter().map(Self)
    }

    /// The resource of a request's `:path`, with or without its query.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        let Some(path) = path.strip_prefix(b"/api/") else {
            return outside_the_api(without_query(path));
        };
        // First, since most requests have it.
        if let Some(path) = path.strip_prefix(b"v2/") {
            return controller(path);
        }
        let (service, rest) = segment(path);
        match service {
            b"controller" => match rest.strip_prefix(b"v2/") {
                Some(rest) => controller(rest),
                None => beside_v2(rest),
            },
            b"gateway" => collection(&names::GATEWAY, rest.strip_prefix(b"v1/")),
            b"eda" => collection(&names::EDA, rest.strip_prefix(b"v1/")),
            b"galaxy" => galaxy(rest),
            _ => beside_v2(path),
        }
    }

    /// The resource of this number, if this module knows it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < COUNT).then_some(Self(number))
    }

    /// Its number in shared data.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        TABLE.get(usize::from(self.0)).map_or("other", |(label, _)| label)
    }

    /// The meaning of a successful POST to this resource.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        TABLE.get(usize::from(self.0)).map_or(Meaning::Plain, |(_, meaning)| *meaning)
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|&byte| byte == b'?' || byte == b'#');
    path.get(..end.unwrap_or(path.len())).unwrap_or_default()
}

/// Returns true if nothing follows but a query.
const fn is_end(path: &[u8]) -> bool {
    matches!(path.first(), None | Some(b'?' | b'#'))
}

/// Reads the path after `/api/v2/`: `<collection>/<key>/<action>/`, or a part of it.
fn controller(path: &[u8]) -> Resource {
    let (name, rest) = segment(path);
    if name == b"websocket" && is_end(rest) {
        return Resource::WEBSOCKET;
    }
    let Some((collection, hash)) = names::CONTROLLER.collection(name) else {
        return Resource::OTHER;
    };
    // The bulk actions belong to no object.
    let rest = if name == b"bulk" { rest } else { after_key(rest) };
    let (action, below) = segment(rest);
    if action.is_empty() || !is_end(below) {
        return collection;
    }
    names::CONTROLLER.action((name, hash), action).unwrap_or(collection)
}

/// Reads the path after `/api/` or `/api/controller/`, if that is not `v2/`.
fn beside_v2(path: &[u8]) -> Resource {
    let path = without_query(path);
    match path.strip_suffix(b"/").unwrap_or(path) {
        b"login" => Resource::LOGIN,
        b"logout" => Resource::LOGOUT,
        b"o/token" => Resource::OAUTH_TOKEN,
        b"websocket" => Resource::WEBSOCKET,
        _ => Resource::OTHER,
    }
}

/// The collection that a path begins with, in a service without actions.
fn collection<const N: usize>(names: &names::Names<N>, path: Option<&[u8]>) -> Resource {
    let found = path.and_then(|path| names.collection(segment(path).0));
    found.map_or(Resource::OTHER, |(resource, _)| resource)
}

/// Reads the path after `/api/galaxy/`. Its collections follow a version, or the name of a plugin. The rest has no version.
fn galaxy(path: &[u8]) -> Resource {
    const ROOTS: [&[u8]; 6] =
        [b"v3/plugin/ansible/", b"v3/plugin/", b"v3/", b"_ui/v1/", b"_ui/v2/", b"v1/"];
    let versioned = ROOTS.iter().find_map(|root| path.strip_prefix(*root));
    let is_unversioned = matches!(
        segment(path).0,
        b"content" | b"pulp" | b"service-index" | b"feature_flags_state" | b"status"
    );
    collection(&names::GALAXY, versioned.or(is_unversioned.then_some(path)))
}

/// Returns the path after its first segment, which is an object's key. Nothing follows an empty key.
fn after_key(path: &[u8]) -> &[u8] {
    match segment(path) {
        (b"", _) => b"",
        (_, rest) => rest,
    }
}

/// The first segment, and what follows its slash. Nothing follows a segment that the query ends.
fn segment(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().position(|&byte| matches!(byte, b'/' | b'?' | b'#'));
    let (segment, rest) = path.split_at_checked(end.unwrap_or(path.len())).unwrap_or((path, b""));
    (segment, rest.strip_prefix(b"/").unwrap_or_default())
}

/// The paths of the web interface, in the controller's nginx and Django, and the OAuth token endpoint of the platform. The
/// controller also answers any other path with the first page of its interface; these count as `other`, since scanners
/// request them.
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
        b"o" if matches!(rest, b"token" | b"token/") => Resource::OAUTH_TOKEN,
        _ => Resource::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The collections of the captured `GET /api/v2/`.
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
    fn every_collection_of_the_controller_is_named_by_its_segment() {
        for name in COLLECTIONS.split_whitespace() {
            for prefix in ["/api/v2", "/api/controller/v2"] {
                for rest in ["", "/", "/7/", "/7", "?page=2", "/7/activity_stream/", "/#x"] {
                    assert_eq!(label(&format!("{prefix}/{name}{rest}")), name, "{prefix} {rest}");
                }
            }
        }
    }

    #[test]
    fn every_action_is_distinguished_from_its_collection_with_and_without_the_slash() {
        for (name, _) in &TABLE[6..107] {
            let Some((collection, action)) = name.split_once('/') else { continue };
            let key = if collection == "bulk" { "" } else { "/11" };
            for tail in ["", "/", "?a=/b/c", "/?a"] {
                assert_eq!(label(&format!("/api/v2/{collection}{key}/{action}{tail}")), *name);
            }
            assert_eq!(label(&format!("/api/v2/{collection}{key}/{action}/more/")), collection);
        }
    }

    #[test]
    fn a_named_url_counts_like_a_url_with_a_number() {
        assert_eq!(label("/api/v2/job_templates/JT%200/launch/"), "job_templates/launch");
        assert_eq!(label("/api/v2/job_templates/a++b%2Fc++d/launch"), "job_templates/launch");
        assert_eq!(label("/api/v2/job_templates/launch/"), "job_templates");
        assert_eq!(label("/api/v2/job_templates//launch/"), "job_templates");
    }

    #[test]
    fn paths_beside_the_collections_have_their_own_names() {
        let expected = [
            ("/api/login/", "login"),
            ("/api/login?next=/", "login"),
            ("/api/controller/login/", "login"),
            ("/api/logout/", "logout"),
            ("/api/o/token/", "o/token"),
            ("/o/token/", "o/token"),
            ("/o/token?a", "o/token"),
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
    fn an_unknown_path_is_other() {
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
            "/api/controller/",
            "/api/controller",
            "/api/gateway/",
            "/api/gateway/v1/",
            "/api/gateway/v2/users/",
            "/api/gateway/users/",
            "/api/gateway/v1/nothing/",
            "/api/gateway/v1/jobs/",
            "/api/gateway/v1//users/",
            "/api/gateway/v1/USERS/",
            "/api/gateway/v1/gateway/users/",
            "/api/v2/gateway/users/",
            "/api/v2/gateway/",
            "/api/v2/authenticators/",
            "/api/eda/v1/",
            "/api/eda/v2/activations/",
            "/api/eda/v1/nothing/",
            "/api/eda/v1/job_templates/",
            "/api/galaxy/",
            "/api/galaxy/v3/",
            "/api/galaxy/v2/users/",
            "/api/galaxy/users/",
            "/api/galaxy/v3/plugin/",
            "/api/galaxy/v3/plugin/nothing/",
            "/api/galaxy/_ui/users/",
            "/api/galaxy/_ui/v3/users/",
            "/api/galaxy/_ui/v1/nothing/",
            "/api/hub/v3/namespaces/",
            "/o/authorize/",
            "/o/token/more/",
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

    #[test]
    fn every_collection_of_the_platforms_services_has_the_label_of_its_service() {
        let services = [
            ("gateway/", "/api/gateway/v1"),
            ("eda/", "/api/eda/v1"),
            ("galaxy/", "/api/galaxy/v3"),
        ];
        let mut labels = Resource::all().map(Resource::label).skip(107).peekable();
        for (service, root) in services {
            while let Some(label) = labels.next_if(|label| label.starts_with(service)) {
                let name = &label[service.len()..];
                for rest in ["", "/", "/7/", "/7/anything/", "?page=2", "/#x"] {
                    let path = format!("{root}/{name}{rest}");
                    assert_eq!(Resource::of(path.as_bytes()).label(), label, "{path}");
                }
            }
        }
        assert_eq!(labels.next(), None);
    }

    #[test]
    fn the_resources_that_launch_jobs_are_those_with_this_meaning() {
        let launching = Resource::all().filter(|it| it.meaning() == Meaning::Launch);
        assert_eq!(Resource::launching().collect::<Vec<_>>(), launching.collect::<Vec<_>>());
    }

    #[test]
    fn tokens_and_logins_of_the_platform_gateway_mean_the_same_as_the_controllers() {
        let meaning = |path: &str| Resource::of(path.as_bytes()).meaning();
        assert_eq!(meaning("/api/gateway/v1/tokens/"), Meaning::Token);
        assert_eq!(meaning("/api/gateway/v1/login/"), Meaning::Login);
        assert_eq!(meaning("/o/token/"), Meaning::Token);
        assert_eq!(meaning("/api/gateway/v1/users/"), Meaning::Plain);
        let meant = Resource::all().skip(107).filter(|it| it.meaning() != Meaning::Plain);
        assert_eq!(
            meant.map(Resource::label).collect::<Vec<_>>(),
            ["gateway/login", "gateway/tokens"]
        );
    }

    #[test]
    fn a_collection_of_galaxy_has_one_label_in_each_version_and_plugin() {
        let expected = [
            ("/api/galaxy/v3/namespaces/", "galaxy/namespaces"),
            ("/api/galaxy/_ui/v1/namespaces/", "galaxy/namespaces"),
            ("/api/galaxy/v1/namespaces/7/owners/", "galaxy/namespaces"),
            ("/api/galaxy/_ui/v2/users/", "galaxy/users"),
            ("/api/galaxy/content/published/v3/collections/", "galaxy/content"),
            (
                "/api/galaxy/v3/plugin/ansible/content/published/collections/index/",
                "galaxy/content",
            ),
            ("/api/galaxy/v3/plugin/ansible/search/collection-versions/", "galaxy/search"),
            (
                "/api/galaxy/v3/plugin/execution-environments/repositories/",
                "galaxy/execution-environments",
            ),
            ("/api/galaxy/pulp/api/v3/tasks/", "galaxy/pulp"),
            ("/api/galaxy/service-index/metadata/", "galaxy/service-index"),
            ("/api/galaxy/status", "galaxy/status"),
        ];
        for (path, resource) in expected {
            assert_eq!(label(path), resource, "{path}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_get_a_label_of_the_closed_list(path in proptest::collection::vec(any::<u8>(), 0..200)) {
            let label = Resource::of(&path).label();
            prop_assert!(TABLE.iter().any(|(known, _)| *known == label));
        }

        #[test]
        fn the_query_does_not_change_the_resource(query in proptest::collection::vec(any::<u8>(), 0..50)) {
            let path = [b"/api/v2/jobs/5/cancel?", query.as_slice()].concat();
            prop_assert_eq!(Resource::of(&path).label(), "jobs/cancel");
        }
    }
}
