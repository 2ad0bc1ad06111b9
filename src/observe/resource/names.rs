//! The names of all resources, and how one is found.
//!
//! By a perfect hash made at compile time: finding a name costs one pass over it, one load and one comparison.

use super::Meaning::{self, Launch, Login, Plain, Token};
use super::Resource;

/// All resources. A resource's place is its number in shared data, which outlives a change of the module: add at the
/// end, and never move or reuse a place.
pub(super) const TABLE: [(&str, Meaning); COUNT] = [
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

pub(super) const COUNT: usize = 107;
/// FNV-1a, of which any state can be gone on from.
pub(super) const FNV_BASIS: u32 = 0x811c_9dc5;
/// Names that can follow `/api/v2/` begin here in [`TABLE`].
pub(super) const FIRST_COLLECTION: usize = 6;
/// Longer segments need not be hashed: no name is as long.
const LONGEST: usize = longest();
/// Chosen so that no two names meet in [`PLACES`].
const MULTIPLIER: u32 = multiplier();
const BITS: u32 = 10;
const FREE: u8 = u8::MAX;
const PLACES: [u8; 1 << BITS] = places(MULTIPLIER).0;

/// The hash of a collection's name.
#[derive(Clone, Copy)]
pub(super) struct Hash(u32);

/// The collection of this name, and its hash.
pub(super) fn collection(name: &[u8]) -> Option<(Resource, Hash)> {
    let (number, label, hash) = look_up(FNV_BASIS, name)?;
    (label.as_bytes() == name).then_some((Resource(number), Hash(hash)))
}

/// The action of this name on a collection of that one.
pub(super) fn action((collection, hash): (&[u8], Hash), name: &[u8]) -> Option<Resource> {
    let (number, label, _) = look_up(fnv(hash.0, b"/"), name)?;
    let found = label.as_bytes().strip_prefix(collection)?.strip_prefix(b"/")?;
    (found == name).then_some(Resource(number))
}

/// The only resource whose name can hash like what led to `hash` followed by `rest`.
fn look_up(hash: u32, rest: &[u8]) -> Option<(u8, &'static str, u32)> {
    if rest.len() > LONGEST {
        return None;
    }
    let hash = fnv(hash, rest);
    let number = *PLACES.get(place(hash, MULTIPLIER))?;
    let (label, _) = TABLE.get(usize::from(number))?;
    Some((number, label, hash))
}

#[expect(clippy::indexing_slicing, reason = "the index is below the length, also in a const")]
pub(super) const fn fnv(mut hash: u32, bytes: &[u8]) -> u32 {
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
}
