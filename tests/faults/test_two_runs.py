"""Two `outreach run` at once: one of the same state waits for nobody, other states go on."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.invariants import assert_one_ending_each, assert_settled
from tests.faults.workplace import STATES, Workplace, ended, run_words, wait_until

FAILED = 1


def test_the_second_run_of_a_state_is_told_which_one_is_busy(workplace: Workplace) -> None:
    """The first is stopped in its tracks meanwhile, so that it is at work for sure."""
    with workplace.started(*run_words(STATES[:1])) as first:
        wait_until(first, workplace.open_runs)
        first.send_signal(signal.SIGSTOP)
        second = workplace.refresh(STATES[:2])
        first.send_signal(signal.SIGCONT)
        assert second.code == FAILED, second.said
        assert f"another run is at work in {STATES[0]}" in second.result["error"]
        assert STATES[1] not in second.result["error"]
        assert ended(first).code == 0
    after = workplace.refresh(STATES[:2])
    assert after.statuses == {STATES[0]: "unchanged", STATES[1]: "published"}
    assert_settled(workplace, STATES[:2])


@pytest.mark.slow
def test_a_run_of_all_states_refuses_before_it_does_anything(workplace: Workplace) -> None:
    """Whoever asked for all hears at once that it would not be all."""
    with workplace.started(*run_words(STATES[:1])) as first:
        wait_until(first, workplace.open_runs)
        first.send_signal(signal.SIGSTOP)
        began = workplace.open_runs()
        refused = workplace.run("run", "--all", "--json")
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
