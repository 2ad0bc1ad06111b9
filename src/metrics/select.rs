//! What of a page somebody asked for: the controller's query, and ours.

use super::{GATEWAY_PREFIX, Sample, label};
use std::collections::BTreeSet;

/// What to render. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Which of the controller's two groups: `dbonly`, `subsystemonly`.
    pub group: Group,
    /// `metric`: of the subsystem group, these families only. Empty means all.
    pub metrics: BTreeSet<String>,
    /// `node`: of the subsystem group, only samples that their page gave such a label `node`; and not the gateway's
    /// families, which know no nodes. Empty means all.
    pub nodes: BTreeSet<String>,
    /// `name[]`: these families only, whatever their group. Empty means all.
    pub names: BTreeSet<String>,
    /// `gateway`: with or without the gateway's own families.
    pub gateway: GatewaySelection,
}

/// The controller has two groups of families: what it counts in its database, `awx_*`, and what its subsystems report,
/// which is all else, the gateway's families among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Group {
    /// Both.
    #[default]
    All,
    /// `dbonly=1`.
    Database,
    /// `subsystemonly=1`.
    Subsystem,
    /// Both of these at once: nothing is left.
    Neither,
}

/// What becomes of the families `awx_gateway_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GatewaySelection {
    /// They are like the others.
    #[default]
    All,
    /// No others.
    Only,
    /// All others.
    None,
}

/// What of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    All,
    /// The samples for which [`Selection::has_node`] says so; without any, not even its header.
    Nodes,
    Nothing,
}

impl Selection {
    /// Whether any of the gateway's families may be asked for.
    #[must_use]
    pub fn has_gateway_families(&self) -> bool {
        let names_one = |names: &BTreeSet<String>| {
            names.is_empty() || names.iter().any(|name| name.starts_with(GATEWAY_PREFIX))
        };
        self.gateway != GatewaySelection::None
            && matches!(self.group, Group::All | Group::Subsystem)
            && self.nodes.is_empty()
            && names_one(&self.names)
            && names_one(&self.metrics)
    }

    /// What of the family of this name is asked for.
    pub(crate) fn share_of(&self, name: &str) -> Share {
        let is_gateway = name.starts_with(GATEWAY_PREFIX);
        let is_asked_for = match self.gateway {
            GatewaySelection::All => true,
            GatewaySelection::Only => is_gateway,
            GatewaySelection::None => !is_gateway,
        };
        if !is_asked_for || !is_among(&self.names, name) {
            return Share::Nothing;
        }
        if !is_gateway && name.starts_with("awx_") {
            self.of_database()
        } else {
            self.of_subsystem(name)
        }
    }

    fn of_database(&self) -> Share {
        match self.group {
            Group::All | Group::Database => Share::All,
            Group::Subsystem | Group::Neither => Share::Nothing,
        }
    }

    fn of_subsystem(&self, name: &str) -> Share {
        match self.group {
            Group::Database | Group::Neither => Share::Nothing,
            Group::All | Group::Subsystem if !is_among(&self.metrics, name) => Share::Nothing,
            _ if self.nodes.is_empty() => Share::All,
            _ if name.starts_with(GATEWAY_PREFIX) => Share::Nothing,
            _ => Share::Nodes,
        }
    }

    /// Whether a sample is of a node that is asked for.
    pub(crate) fn has_node(&self, sample: Sample<'_>) -> bool {
        let node = sample.labels().find(|(name, _)| *name == "node");
        node.is_some_and(|(_, value)| self.nodes.contains(label::unescape(value).as_ref()))
    }
}

fn is_among(names: &BTreeSet<String>, name: &str) -> bool {
    names.is_empty() || names.contains(name)
}

#[cfg(test)]
mod tests;
