//! What is explored, and what must go wrong where the host, or the VMs' timing, is spoilt.

use super::Work::{Beat, Count, Gather};
use super::{Explored, Flaw, Scenario, Violation, Work, explore};
use crate::shared::membership::SlotState;

/// A VM that counted, and one that suspects it.
const SUSPECTED: &[(usize, Work)] = &[(0, Count), (1, Beat), (1, Beat)];

fn scenario(before: &[(usize, Work)], programs: &[&[Work]]) -> Scenario {
    let programs = programs.iter().map(|program| program.to_vec()).collect();
    Scenario {
        begun: Vec::new(),
        before: before.to_vec(),
        programs,
        flaw: Flaw::None,
        deaths: 1,
        ahead: 1,
        may_lose: false,
    }
}

/// Explores, and says which states were met, so that a scenario that shows nothing is noticed.
fn holds(scenario: &Scenario) -> Explored {
    match explore(scenario) {
        Ok(explored) => explored,
        Err(violation) => panic!("{violation:?}"),
    }
}

fn spoilt(flaw: Flaw, scenario: Scenario) -> Result<Explored, Violation> {
    explore(&Scenario { flaw, ..scenario })
}

fn entering() -> Scenario {
    scenario(&[], &[&[Count, Count], &[Count], &[Gather, Gather]])
}

/// The first VM is dead and suspected, the third takes its slot, if it is free by then.
fn used_again() -> Scenario {
    let programs: &[&[Work]] = &[&[], &[Beat, Beat], &[Count, Count], &[Gather, Gather]];
    scenario(SUSPECTED, programs)
}

#[test]
fn vms_that_enter_at_once_neither_lose_nor_double() {
    let explored = holds(&entering());
    assert_eq!(explored.most_slots, 2);
    assert!(explored.states > 4_000, "{}", explored.states);
}

#[test]
fn vms_that_enter_count_and_beat_at_once_neither_lose_nor_double() {
    let explored = holds(&scenario(&[], &[&[Count, Beat], &[Count, Beat], &[Gather]]));
    assert_eq!(explored.most_slots, 2);
    assert!(explored.states > 40_000, "{}", explored.states);
}

#[test]
fn a_silent_vm_that_lives_is_suspected_and_objects_and_nothing_moves() {
    let programs: &[&[Work]] = &[&[Count, Beat, Count], &[Beat, Beat], &[Gather, Gather]];
    let before = &[(0, Count), (1, Beat)];
    let explored = holds(&Scenario { deaths: 0, ..scenario(before, programs) });
    assert!(explored.ends.iter().all(|(takeovers, _)| *takeovers == 0), "{:?}", explored.ends);
    assert!(explored.ends.contains(&(0, vec![SlotState::Owned, SlotState::Owned])));
    let suspected = holds(&Scenario { deaths: 0, ..scenario(SUSPECTED, programs) });
    assert!(suspected.ends.iter().all(|(takeovers, _)| *takeovers == 0), "{:?}", suspected.ends);
    assert!(suspected.ends.contains(&(0, vec![SlotState::Owned, SlotState::Owned])));
}

#[test]
fn a_vm_that_dies_at_any_step_is_taken_over_whole() {
    let programs: &[&[Work]] = &[&[Count, Beat, Count], &[Beat, Beat, Beat], &[Gather, Gather]];
    let explored = holds(&scenario(SUSPECTED, programs));
    assert!(
        explored.ends.contains(&(1, vec![SlotState::Free, SlotState::Owned])),
        "{:?}",
        explored.ends
    );
    assert!(explored.states > 20_000, "{}", explored.states);
}

#[test]
fn two_vms_that_take_over_the_same_slot_take_it_once() {
    let before = &[(0, Count), (1, Beat), (2, Beat), (1, Beat), (2, Beat)];
    let explored = holds(&scenario(before, &[&[], &[Beat, Count], &[Beat], &[Gather]]));
    assert!(explored.ends.iter().all(|(takeovers, _)| *takeovers <= 1), "{:?}", explored.ends);
    assert!(explored.ends.iter().any(|(takeovers, _)| *takeovers == 1), "{:?}", explored.ends);
}

#[test]
fn a_vm_that_objects_while_two_would_take_it_over_keeps_its_slot_or_dies() {
    let before = &[(0, Count), (1, Beat), (2, Beat), (1, Beat), (2, Beat)];
    let explored = holds(&scenario(before, &[&[Beat, Count], &[Beat], &[Beat], &[Gather]]));
    assert!(explored.states > 20_000, "{}", explored.states);
}

#[test]
fn a_slot_that_is_used_again_shows_neither_owner_twice() {
    let explored = holds(&used_again());
    let ends = &explored.ends;
    assert!(ends.iter().any(|(takeovers, slots)| *takeovers == 1 && slots.len() == 2), "{ends:?}");
}

#[test]
fn swaps_that_always_succeed_are_noticed() {
    let found = spoilt(Flaw::SwapsBlindly, entering());
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
}

/// A scrape that is overtaken by one change of owners finds the shard it looks for, since the next owner's has another
/// key; overtaken by two, it does not.
#[test]
fn a_scrape_that_does_not_look_at_the_directory_again_is_noticed() {
    let before = &[(0, Count), (1, Beat), (1, Beat), (1, Beat)];
    let programs: &[&[Work]] = &[&[], &[Beat; 5], &[Count], &[Count], &[Gather]];
    // The scrape has read the directory; then the first VM is taken over, and the third enters.
    let begun = vec![4, 1, 1, 1, 1, 1, 1, 2, 2, 2];
    let overtaken = Scenario { begun, deaths: 0, ..scenario(before, programs) };
    let found = spoilt(Flaw::GathersBlindly, overtaken);
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
}

/// What the protocol rests on is needed: see [`crate::shared::directory`].
#[test]
fn a_vm_that_beats_too_seldom_loses_counts_but_doubles_none() {
    let alone: &[&[Work]] = &[&[Count], &[Beat, Beat], &[Gather]];
    let replaced: &[&[Work]] = &[&[Count], &[Beat, Beat], &[Count], &[Gather]];
    for programs in [alone, replaced] {
        let late = || Scenario { ahead: usize::MAX, deaths: 0, ..scenario(SUSPECTED, programs) };
        let found = explore(&late());
        assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
        let explored = holds(&Scenario { may_lose: true, ..late() });
        assert!(explored.ends.iter().any(|(takeovers, _)| *takeovers == 1));
    }
}

/// One beat too few: the suspicion comes while its beat is under way, and the take-over before its next.
#[test]
fn a_vm_that_beats_half_as_often_as_it_must_is_noticed() {
    let programs: &[&[Work]] = &[&[Beat, Count], &[Beat, Beat, Beat], &[Gather]];
    let before = &[(0, Count), (1, Beat)];
    let late = Scenario { ahead: 2, deaths: 0, ..scenario(before, programs) };
    let found = explore(&late);
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
    holds(&Scenario { ahead: 1, ..late });
}
