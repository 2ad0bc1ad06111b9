//! Path -> [`Resource`], the value of the label `resource`: one of a closed list, never a path of the client's.
//!
//! The names are those of the controller's URLs (AWX 24.6, `awx/api/urls/` and the captured `GET /api/v2/`): a
//! collection goes by its segment (`inventories`, `service-index`), not by its key in the API's root (`inventory`,
//! `service_index`), since that is what an operator sees in a log. An *action* is what follows an object and makes the
//! controller do something beyond storing it (`job_templates/launch`).
//!
//! Percent-encoding is not decoded: no spelling of a name needs it, and what stands where an object's key does
//! (`job_templates/JT%200/launch`) is skipped, whatever it is. Any bytes of any length are read once, front to back,
//! without allocating.

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

use Meaning::{Launch, Login, Plain, Token};

/// All resources. A resource's place is its number in shared data, which outlives a change of the module: add at the
/// end, and never move or reuse a place.
const TABLE: [(&str, Meaning); COUNT] = [
    ("other", Plain),
    ("ui", Plain),
    ("websocket", Plain),
    ("login", Login),
    ("logout", Plain),
    ("o/token", Token),
    ("activity_stream", Plain),
    ("ad_hoc_command_events", Plain),
    ("ad_hoc_commands", Plain),
    ("ad_hoc_commands/cancel", Plain),
    ("ad_hoc_commands/relaunch", Launch),
    ("analytics", Plain),
    ("applications", Plain),
    ("applications/tokens", Token),
    ("bulk", Plain),
    ("bulk/host_create", Plain),
    ("bulk/host_delete", Plain),
    ("bulk/job_launch", Launch),
    ("config", Plain),
    ("constructed_inventories", Plain),
    ("credential_input_sources", Plain),
    ("credential_types", Plain),
    ("credential_types/test", Plain),
    ("credentials", Plain),
    ("credentials/copy", Plain),
    ("credentials/test", Plain),
    ("dashboard", Plain),
    ("execution_environments", Plain),
    ("execution_environments/copy", Plain),
    ("groups", Plain),
    ("host_metric_summary_monthly", Plain),
    ("host_metrics", Plain),
    ("hosts", Plain),
    ("instance_groups", Plain),
    ("instances", Plain),
    ("instances/health_check", Plain),
    ("inventories", Plain),
    ("inventories/copy", Plain),
    ("inventories/update_inventory_sources", Plain),
    ("inventory_sources", Plain),
    ("inventory_sources/update", Plain),
    ("inventory_updates", Plain),
    ("inventory_updates/cancel", Plain),
    ("job_events", Plain),
    ("job_host_summaries", Plain),
    ("job_templates", Plain),
    ("job_templates/bitbucket_dc", Plain),
    ("job_templates/callback", Launch),
    ("job_templates/copy", Plain),
    ("job_templates/github", Plain),
    ("job_templates/gitlab", Plain),
    ("job_templates/launch", Launch),
    ("jobs", Plain),
    ("jobs/cancel", Plain),
    ("jobs/create_schedule", Plain),
    ("jobs/relaunch", Launch),
    ("labels", Plain),
    ("me", Plain),
    ("mesh_visualizer", Plain),
    ("metrics", Plain),
    ("notification_templates", Plain),
    ("notification_templates/copy", Plain),
    ("notification_templates/test", Plain),
    ("notifications", Plain),
    ("organizations", Plain),
    ("ping", Plain),
    ("project_updates", Plain),
    ("project_updates/cancel", Plain),
    ("projects", Plain),
    ("projects/copy", Plain),
    ("projects/update", Plain),
    ("receptor_addresses", Plain),
    ("role_definitions", Plain),
    ("role_team_assignments", Plain),
    ("role_user_assignments", Plain),
    ("roles", Plain),
    ("schedules", Plain),
    ("service-index", Plain),
    ("settings", Plain),
    ("system_job_templates", Plain),
    ("system_job_templates/launch", Launch),
    ("system_jobs", Plain),
    ("system_jobs/cancel", Plain),
    ("teams", Plain),
    ("tokens", Token),
    ("unified_job_templates", Plain),
    ("unified_jobs", Plain),
    ("users", Plain),
    ("users/authorized_tokens", Token),
    ("users/personal_tokens", Token),
    ("users/tokens", Token),
    ("workflow_approval_templates", Plain),
    ("workflow_approvals", Plain),
    ("workflow_approvals/approve", Plain),
    ("workflow_approvals/deny", Plain),
    ("workflow_job_nodes", Plain),
    ("workflow_job_template_nodes", Plain),
    ("workflow_job_template_nodes/create_approval_template", Plain),
    ("workflow_job_templates", Plain),
    ("workflow_job_templates/bitbucket_dc", Plain),
    ("workflow_job_templates/copy", Plain),
    ("workflow_job_templates/github", Plain),
    ("workflow_job_templates/gitlab", Plain),
    ("workflow_job_templates/launch", Launch),
    ("workflow_jobs", Plain),
    ("workflow_jobs/cancel", Plain),
    ("workflow_jobs/relaunch", Launch),
];

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
        let path = without_query(path);
        match path.strip_prefix(b"/api/") {
            Some(rest) => match rest.strip_prefix(b"controller/") {
                Some(rest) => api(rest),
                None => api(rest),
            },
            None => outside_the_api(path),
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
        TABLE.get(usize::from(self.0)).map_or(Plain, |(_, meaning)| *meaning)
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|&byte| byte == b'?' || byte == b'#');
    path.get(..end.unwrap_or(path.len())).unwrap_or_default()
}

/// What follows `/api/` or `/api/controller/`.
fn api(path: &[u8]) -> Resource {
    if let Some(path) = path.strip_prefix(b"v2/") {
        return collection(path);
    }
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
    if name == b"websocket" && rest.is_empty() {
        return Resource::WEBSOCKET;
    }
    let Some((collection, hash)) = find(FNV_BASIS, b"", name) else { return Resource::OTHER };
    // The bulk actions belong to no object.
    let rest = if name == b"bulk" { rest } else { after_key(rest) };
    let (action, below) = segment(rest);
    if action.is_empty() || !below.is_empty() {
        return collection;
    }
    find(fnv(hash, b"/"), name, action).map_or(collection, |(action, _)| action)
}

/// What follows the first segment, which is an object's key; nothing follows an empty one.
fn after_key(path: &[u8]) -> &[u8] {
    match segment(path) {
        (b"", _) => b"",
        (_, rest) => rest,
    }
}

/// The first segment, and what follows its slash.
fn segment(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().position(|&byte| byte == b'/').unwrap_or(path.len());
    let (segment, rest) = path.split_at_checked(end).unwrap_or((path, b""));
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

// A perfect hash made at compile time: finding a name costs one pass over it, one load and one comparison.

const COUNT: usize = 107;
const FNV_BASIS: u32 = 0x811c_9dc5;
/// Names that can follow `/api/v2/` begin here in [`TABLE`].
const FIRST_COLLECTION: usize = 6;
/// Longer segments need not be hashed: no name is as long.
const LONGEST: usize = longest();
/// Chosen so that no two names meet in [`PLACES`]; [`places`] does not compile where they do.
const MULTIPLIER: u32 = multiplier();
const BITS: u32 = 10;
const FREE: u8 = u8::MAX;
const PLACES: [u8; 1 << BITS] = places(MULTIPLIER).0;

/// The resource that is called `name`, or `collection/name` where `hash` comes from `collection/`; and its hash.
fn find(hash: u32, collection: &[u8], name: &[u8]) -> Option<(Resource, u32)> {
    if name.len() > LONGEST {
        return None;
    }
    let hash = fnv(hash, name);
    let number = *PLACES.get(place(hash, MULTIPLIER))?;
    let (label, _) = TABLE.get(usize::from(number))?;
    let rest = label.as_bytes().strip_prefix(collection)?;
    let rest = if collection.is_empty() { rest } else { rest.strip_prefix(b"/")? };
    (rest == name).then_some((Resource(number), hash))
}

#[expect(clippy::indexing_slicing, reason = "the index is below the length, also in a const")]
const fn fnv(mut hash: u32, bytes: &[u8]) -> u32 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

const fn place(hash: u32, multiplier: u32) -> usize {
    (hash.wrapping_mul(multiplier) >> (u32::BITS - BITS)) as usize
}

const fn multiplier() -> u32 {
    let mut multiplier = 0x9e37_79b1;
    while !places(multiplier).1 {
        multiplier = multiplier.wrapping_add(2);
    }
    multiplier
}

/// Where each name is found, and whether all have a place of their own.
#[expect(clippy::indexing_slicing, reason = "only evaluated by the compiler")]
const fn places(multiplier: u32) -> ([u8; 1 << BITS], bool) {
    let mut places = [FREE; 1 << BITS];
    let mut number = FIRST_COLLECTION;
    while number < COUNT {
        let place = place(fnv(FNV_BASIS, TABLE[number].0.as_bytes()), multiplier);
        if places[place] != FREE {
            return (places, false);
        }
        places[place] = number as u8;
        number += 1;
    }
    (places, true)
}

#[expect(clippy::indexing_slicing, reason = "only evaluated by the compiler")]
const fn longest() -> usize {
    let (mut longest, mut number) = (0, 0);
    while number < COUNT {
        let length = TABLE[number].0.len();
        longest = if length > longest { length } else { longest };
        number += 1;
    }
    longest
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
        for (name, _) in &TABLE[FIRST_COLLECTION..] {
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

    /// A number that changed would count one resource's requests as another's after a change of the module.
    #[test]
    fn resources_keep_their_numbers() {
        let first_107 = TABLE
            .iter()
            .take(107)
            .fold(FNV_BASIS, |hash, (label, _)| fnv(fnv(hash, label.as_bytes()), b"\n"));
        assert_eq!(first_107, 3_591_212_621);
        for resource in Resource::all() {
            assert_eq!(Resource::from_number(resource.number()), Some(resource));
        }
        assert_eq!(Resource::from_number(u8::try_from(COUNT).unwrap()), None);
    }

    #[test]
    fn labels_are_unique() {
        let labels: std::collections::BTreeSet<_> = Resource::all().map(Resource::label).collect();
        assert_eq!(labels.len(), COUNT);
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
