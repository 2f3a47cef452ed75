"""Two `outreach run` at once: the busy state is left alone, others go on."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.invariants import assert_one_ending_each, assert_settled
from tests.faults.workplace import STATES, Workplace, ended, run_words, wait_until

FAILED, PARTLY = 1, 3


@pytest.mark.slow
def test_the_second_run_leaves_the_busy_state_and_does_the_others(workplace: Workplace) -> None:
    """The first is stopped in its tracks meanwhile, so that it is at work for sure."""
    with workplace.started(*run_words(STATES[:1])) as first:
        wait_until(first, workplace.open_runs)
        first.send_signal(signal.SIGSTOP)
        second = workplace.refresh(STATES[:2])
        first.send_signal(signal.SIGCONT)
        assert second.code == PARTLY, second.said
        assert f"another run is at work in {STATES[0]}" in second.result["error"]
        assert second.statuses == {STATES[0]: "failed", STATES[1]: "published"}
        assert ended(first).code == 0
    after = workplace.refresh(STATES[:2])
    assert after.statuses == {STATES[0]: "unchanged", STATES[1]: "unchanged"}
    assert_settled(workplace, STATES[:2])


@pytest.mark.slow
def test_a_second_run_of_the_same_state_alone_is_refused(workplace: Workplace) -> None:
    with workplace.started(*run_words(STATES[:1])) as first:
        wait_until(first, workplace.open_runs)
        first.send_signal(signal.SIGSTOP)
        began = workplace.open_runs()
        refused = workplace.refresh(STATES[:1])
        assert refused.code == FAILED, refused.said
        assert f"another run is at work in {STATES[0]}" in refused.result["error"]
        assert workplace.open_runs() == began
        assert workplace.keys() == set()
        first.send_signal(signal.SIGCONT)
        assert ended(first).code == 0
    assert_one_ending_each(workplace, began)


@pytest.mark.slow
def test_runs_of_different_states_at_once_both_go_well(either_workplace: Workplace) -> None:
    with ThreadPoolExecutor(2) as pool:
        halves = [STATES[:6], STATES[6:]]
        for finished in pool.map(either_workplace.refresh, halves):
            assert finished.code == 0, finished.said
    assert_settled(either_workplace)
