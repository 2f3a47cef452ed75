"""`outreach run` ended by Ctrl-C or SIGTERM anywhere: quiet, code 130, its audit rows true."""

import random
import signal

import pytest

from tests.faults.invariants import (
    UNFINISHED,
    assert_one_ending_each,
    assert_settled,
    half_published,
    manifests_of,
    orphans,
)
from tests.faults.moments import (
    Moment,
    begun,
    claimed,
    somewhere_after,
    uploaded,
    while_exporting,
    while_uploading_files,
    while_uploading_manifests,
)
from tests.faults.workplace import STATES, Finished, MissedError, Workplace, kill, run_words

INTERRUPTED = 130
TRIES = 5
MOMENTS = (
    begun,
    claimed,
    somewhere_after("extract"),
    somewhere_after("validate"),
    while_exporting,
    while_uploading_files,
    while_uploading_manifests,
    uploaded,
)


def interrupt(
    workplace: Workplace, moment: Moment, chance: random.Random, number: int
) -> Finished | None:
    """Start a run and end it then; None when it was quicker."""
    workplace.touch()
    with workplace.started(*run_words(STATES)) as process:
        try:
            moment(workplace, process, chance)
        except MissedError:
            return None
        finished = kill(process, number)
    return None if finished.code == 0 else finished


def assert_interrupted_well(workplace: Workplace, finished: Finished) -> None:
    assert finished.code == INTERRUPTED, finished.said
    assert "Traceback" not in finished.said
    assert "Error" not in finished.said
    assert half_published(workplace.store) == []
    assert orphans(workplace.store) == []
    assert workplace.open_runs() == set()
    keys = [found.key for found in workplace.store.list_objects("outreach/")]
    published = {(m.run_id, m.state) for m in manifests_of(workplace.store, keys)}
    endings = assert_one_ending_each(workplace)
    statuses = workplace.dagster_statuses()
    assert not UNFINISHED.intersection(statuses.values()), statuses
    for one, status in endings.items():
        assert status == ("published" if one in published else "cancelled"), one


def interrupt_and_go_on(
    workplace: Workplace, moments: tuple[Moment, ...], number: int, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 no secret
    for moment in moments:
        tries = (interrupt(workplace, moment, chance, number) for _ in range(TRIES))
        finished = next((one for one in tries if one), None)
        if finished is None and moment is uploaded:
            continue  # the audit rows are there within milliseconds
        assert finished is not None, "every run was quicker"
        assert_interrupted_well(workplace, finished)
    workplace.touch()
    after = workplace.refresh()
    assert after.code == 0, after.said
    assert_settled(workplace)


@pytest.mark.slow
def test_ctrl_c_ends_a_run_quietly(workplace: Workplace) -> None:
    interrupt_and_go_on(workplace, (while_uploading_files,), signal.SIGINT, seed=1)


@pytest.mark.slow
def test_runs_interrupted_anywhere_end_quietly(either_workplace: Workplace) -> None:
    interrupt_and_go_on(either_workplace, MOMENTS, signal.SIGINT, seed=2)


@pytest.mark.slow
def test_runs_asked_to_end_anywhere_do_so_quietly(workplace: Workplace) -> None:
    interrupt_and_go_on(workplace, MOMENTS, signal.SIGTERM, seed=2)
