//! The scenarios, and the violations that must be found if the host is faulty or a VM is too slow.

use super::Operation::{Count, Gather, Heartbeat};
use super::{Explored, Fault, Operation, Scenario, Violation, explore};
use crate::shared::membership::SlotState;

/// The first VM counted, and the second suspects it.
const SUSPECTED: &[(usize, Operation)] = &[(0, Count), (1, Heartbeat), (1, Heartbeat)];

fn scenario(before: &[(usize, Operation)], programs: &[&[Operation]]) -> Scenario {
    let programs = programs.iter().map(|program| program.to_vec()).collect();
    Scenario {
        begun: Vec::new(),
        before: before.to_vec(),
        programs,
        fault: Fault::None,
        deaths: 1,
        ahead: 1,
        may_lose: false,
    }
}

/// Explores without a violation. The callers check what was found, so that no scenario passes without exploring.
fn holds(scenario: &Scenario) -> Explored {
    match explore(scenario) {
        Ok(explored) => explored,
        Err(violation) => panic!("{violation:?}"),
    }
}

fn with_fault(fault: Fault, scenario: Scenario) -> Result<Explored, Violation> {
    explore(&Scenario { fault, ..scenario })
}

fn acquiring() -> Scenario {
    scenario(&[], &[&[Count, Count], &[Count], &[Gather, Gather]])
}

/// The first VM is dead and suspected; the third acquires its slot, if it is free by then.
fn reusing() -> Scenario {
    let programs: &[&[Operation]] =
        &[&[], &[Heartbeat, Heartbeat], &[Count, Count], &[Gather, Gather]];
    scenario(SUSPECTED, programs)
}

#[test]
fn vms_that_acquire_slots_at_once_lose_no_count_and_double_none() {
    let explored = holds(&acquiring());
    assert_eq!(explored.most_slots, 2);
    assert!(explored.states > 4_000, "{}", explored.states);
}

#[test]
fn vms_that_acquire_count_and_send_heartbeats_at_once_lose_no_count_and_double_none() {
    let explored = holds(&scenario(&[], &[&[Count, Heartbeat], &[Count, Heartbeat], &[Gather]]));
    assert_eq!(explored.most_slots, 2);
    assert!(explored.states > 40_000, "{}", explored.states);
}

#[test]
fn a_live_vm_that_is_suspected_objects_and_is_not_evicted() {
    let programs: &[&[Operation]] =
        &[&[Count, Heartbeat, Count], &[Heartbeat, Heartbeat], &[Gather, Gather]];
    let before = &[(0, Count), (1, Heartbeat)];
    let explored = holds(&Scenario { deaths: 0, ..scenario(before, programs) });
    assert!(explored.ends.iter().all(|(takeovers, _)| *takeovers == 0), "{:?}", explored.ends);
    assert!(explored.ends.contains(&(0, vec![SlotState::Owned, SlotState::Owned])));
    let suspected = holds(&Scenario { deaths: 0, ..scenario(SUSPECTED, programs) });
    assert!(suspected.ends.iter().all(|(takeovers, _)| *takeovers == 0), "{:?}", suspected.ends);
    assert!(suspected.ends.contains(&(0, vec![SlotState::Owned, SlotState::Owned])));
}

#[test]
fn a_vm_that_dies_at_any_step_is_evicted_without_loss() {
    let programs: &[&[Operation]] =
        &[&[Count, Heartbeat, Count], &[Heartbeat, Heartbeat, Heartbeat], &[Gather, Gather]];
    let explored = holds(&scenario(SUSPECTED, programs));
    assert!(
        explored.ends.contains(&(1, vec![SlotState::Free, SlotState::Owned])),
        "{:?}",
        explored.ends
    );
    assert!(explored.states > 20_000, "{}", explored.states);
}

#[test]
fn two_vms_that_evict_the_same_owner_evict_it_once() {
    let before = &[(0, Count), (1, Heartbeat), (2, Heartbeat), (1, Heartbeat), (2, Heartbeat)];
    let explored = holds(&scenario(before, &[&[], &[Heartbeat, Count], &[Heartbeat], &[Gather]]));
    assert!(explored.ends.iter().all(|(takeovers, _)| *takeovers <= 1), "{:?}", explored.ends);
    assert!(explored.ends.iter().any(|(takeovers, _)| *takeovers == 1), "{:?}", explored.ends);
}

#[test]
fn a_vm_that_objects_while_two_others_try_to_evict_it_loses_no_count() {
    let before = &[(0, Count), (1, Heartbeat), (2, Heartbeat), (1, Heartbeat), (2, Heartbeat)];
    let explored =
        holds(&scenario(before, &[&[Heartbeat, Count], &[Heartbeat], &[Heartbeat], &[Gather]]));
    assert!(explored.states > 20_000, "{}", explored.states);
}

#[test]
fn a_reused_slot_counts_neither_owner_twice() {
    let explored = holds(&reusing());
    let ends = &explored.ends;
    assert!(ends.iter().any(|(takeovers, slots)| *takeovers == 1 && slots.len() == 2), "{ends:?}");
}

#[test]
fn swaps_that_always_succeed_are_detected() {
    let found = with_fault(Fault::SwapsBlindly, acquiring());
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
}

/// If the owner changes once during a scrape, the scrape still finds the shard, since the next owner's has another key. If it
/// changes twice, the scrape does not.
#[test]
fn a_scrape_that_does_not_read_the_directory_again_is_detected() {
    let before = &[(0, Count), (1, Heartbeat), (1, Heartbeat), (1, Heartbeat)];
    let programs: &[&[Operation]] = &[&[], &[Heartbeat; 5], &[Count], &[Count], &[Gather]];
    // The scrape has read the directory; then the first VM is evicted, and the third acquires a slot.
    let begun = vec![4, 1, 1, 1, 1, 1, 1, 2, 2, 2];
    let overtaken = Scenario { begun, deaths: 0, ..scenario(before, programs) };
    let found = with_fault(Fault::GathersBlindly, overtaken);
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
}

/// The assumption of the protocol is necessary: see [`crate::shared::directory`].
#[test]
fn a_vm_with_too_few_heartbeats_loses_counts_but_doubles_none() {
    let alone: &[&[Operation]] = &[&[Count], &[Heartbeat, Heartbeat], &[Gather]];
    let replaced: &[&[Operation]] = &[&[Count], &[Heartbeat, Heartbeat], &[Count], &[Gather]];
    for programs in [alone, replaced] {
        let late = || Scenario { ahead: usize::MAX, deaths: 0, ..scenario(SUSPECTED, programs) };
        let found = explore(&late());
        assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
        let explored = holds(&Scenario { may_lose: true, ..late() });
        assert!(explored.ends.iter().any(|(takeovers, _)| *takeovers == 1));
    }
}

/// One heartbeat too few: the VM is suspected during its heartbeat, and evicted before the next.
#[test]
fn a_vm_with_half_the_required_heartbeats_is_detected() {
    let programs: &[&[Operation]] =
        &[&[Heartbeat, Count], &[Heartbeat, Heartbeat, Heartbeat], &[Gather]];
    let before = &[(0, Count), (1, Heartbeat)];
    let late = Scenario { ahead: 2, deaths: 0, ..scenario(before, programs) };
    let found = explore(&late);
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
    holds(&Scenario { ahead: 1, ..late });
}
