//! The families and samples that a query selects, with the controller's parameters and the gateway's own.

use super::{GATEWAY_PREFIX, Sample, label};
use std::collections::BTreeSet;

/// The families and samples to render. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The controller's group of families: `dbonly`, `subsystemonly`.
    pub group: Group,
    /// `metric`: in the subsystem group, only these families. Empty means all.
    pub metrics: BTreeSet<String>,
    /// `node`: in the subsystem group, only samples with such a label `node` from their page. The gateway's families have
    /// no nodes and are left out. Empty means all.
    pub nodes: BTreeSet<String>,
    /// `name[]`: only these families, of either group. Empty means all.
    pub names: BTreeSet<String>,
    /// `gateway`: all families, only the gateway's own, or all others.
    pub gateway: GatewaySelection,
}

/// The controller has two groups of families: the numbers from its database, `awx_*`, and the reports of its
/// subsystems, which are all other families, including the gateway's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Group {
    /// Both.
    #[default]
    All,
    /// `dbonly=1`.
    Database,
    /// `subsystemonly=1`.
    Subsystem,
    /// Both of these at once select nothing.
    Neither,
}

/// The selection of the families `awx_gateway_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GatewaySelection {
    /// The gateway's families are selected like the others.
    #[default]
    All,
    /// Only the gateway's families.
    Only,
    /// Only the other families.
    None,
}

/// The selected part of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    All,
    /// The samples for which [`Selection::has_node`] returns true; without any, the header is left out too.
    Nodes,
    Nothing,
}

impl Selection {
    /// Returns true if the selection may contain a family of the gateway.
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

    /// The selected part of the family with this name.
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

    /// Returns true if the sample belongs to a selected node.
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
