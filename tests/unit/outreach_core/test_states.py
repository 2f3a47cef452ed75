"""States as people write them, and the ranges a run covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_core.states import (
    ALL_STATES,
    STATE_CODES,
    UNASSIGNED,
    UnknownStateError,
    checked_states,
    contiguous_ranges,
)


def test_there_are_fifty_states_dc_five_territories_and_the_rest() -> None:
    assert len(STATE_CODES) == len(set(STATE_CODES)) == 56
    assert list(STATE_CODES) == sorted(STATE_CODES)
    assert (*STATE_CODES, UNASSIGNED) == ALL_STATES


@given(asked=st.lists(st.sampled_from(ALL_STATES)))
def test_states_come_back_once_each_in_our_order(asked: list[str]) -> None:
    mixed = [s.lower() if number % 2 else s.upper() for number, s in enumerate(asked)]
    found = checked_states(mixed)
    assert set(found) == set(asked)
    assert list(found) == sorted(set(asked), key=ALL_STATES.index)


@pytest.mark.parametrize("asked", ["ZZ", "", "West Virginia", "W V", "WV,PA", "XX "])
def test_a_state_that_does_not_exist_is_named(asked: str) -> None:
    with pytest.raises(UnknownStateError, match=rf"unknown state {asked.upper()}: expected a two"):
        checked_states(["WV", asked])


def test_all_that_do_not_exist_are_named() -> None:
    with pytest.raises(UnknownStateError, match="unknown state QQ, ZZ:"):
        checked_states(["zz", "WV", "qq"])


@given(asked=st.sets(st.sampled_from(ALL_STATES)))
def test_ranges_hold_every_state_once_and_are_as_few_as_can_be(asked: set[str]) -> None:
    ranges = contiguous_ranges(asked)
    assert [s for r in ranges for s in r] == [s for s in ALL_STATES if s in asked]
    for part in ranges:
        first = ALL_STATES.index(part[0])
        assert part == ALL_STATES[first : first + len(part)]
    ends = [ALL_STATES.index(r[-1]) + 1 for r in ranges[:-1]]
    assert all(ALL_STATES[end] not in asked for end in ends)
