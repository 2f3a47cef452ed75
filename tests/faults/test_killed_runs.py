"""`outreach run` killed with SIGKILL anywhere: nothing half published, the next run right."""

import random
import sys
from collections.abc import Sequence

import pytest

from tests.faults.invariants import (
    UNFINISHED,
    assert_one_ending_each,
    assert_settled,
    half_published,
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
from tests.faults.workplace import OUTREACH, STATES, MissedError, Workplace, kill, run_words

TRIES = 4


MOMENTS: tuple[Moment, ...] = (
    while_uploading_files,
    while_uploading_manifests,
    while_exporting,
    claimed,
    somewhere_after("extract"),
    somewhere_after("export"),
    begun,
    uploaded,
    somewhere_after("validate"),
)


def kill_at(
    workplace: Workplace,
    moment: Moment,
    chance: random.Random,
    program: Sequence[str] = (OUTREACH,),
) -> bool:
    """Start a run that has something to publish and kill it then; whether that hit work."""
    workplace.touch()
    with workplace.started(*run_words(STATES), program=program) as process:
        try:
            moment(workplace, process, chance)
        except MissedError:
            return False
        code = kill(process).code
    return code < 0 and bool(UNFINISHED.intersection(workplace.dagster_statuses().values()))


def kill_and_go_on(workplace: Workplace, moments: Sequence[Moment], seed: int) -> None:
    """Kill runs at these moments; each time see what is there, and what the next run makes of it.

    Now and then the next run is killed too.
    """
    chance = random.Random(seed)  # noqa: S311 no secret
    assert workplace.refresh().code == 0
    for number, moment in enumerate(moments):
        assert any(kill_at(workplace, moment, chance) for _ in range(TRIES)), "never hit work"
        assert half_published(workplace.store) == []
        began = workplace.open_runs()
        if number % 3 == 1:
            continue
        after = workplace.refresh()
        assert after.code == 0, after.said
        assert_settled(workplace)
        endings = assert_one_ending_each(workplace, began)
        assert {endings[one] for one in began} <= {"killed"}
    assert workplace.refresh().code == 0
    assert_settled(workplace)


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_half_published(workplace: Workplace) -> None:
    kill_and_go_on(workplace, MOMENTS[:2], seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_killed_anywhere_leave_nothing_half_published(either_workplace: Workplace) -> None:
    kill_and_go_on(either_workplace, MOMENTS, seed=2)


MANIFEST_FIRST = """
from b2_resources.object_store import Upload, put_files
from outreach_assets.steps import upload
from outreach_assets.command_line.main import run

def naive(store, exports, manifest, hold):
    store.put_bytes(manifest.key, manifest.body)
    put_files(store, [Upload(key=f.key, path=exports / f.key) for f in manifest.files], workers=1)
    return 1

upload._upload = naive
run()
"""

NEWEST_FIRST = """
from b2_resources import keys
from outreach_assets.steps import upload
from outreach_assets.command_line.main import run

right = upload._upload

def naive(store, exports, manifest, hold):
    for file in manifest.files:
        newest = keys.newest_key(manifest.state, file.table, file.verdict)
        store.put_file(newest, exports / file.key)
    return right(store, exports, manifest, hold)

upload._upload = naive
run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("naive", [MANIFEST_FIRST, NEWEST_FIRST], ids=["manifest", "newest"])
def test_another_order_of_publishing_would_be_seen(workplace: Workplace, naive: str) -> None:
    """The control: were the product so naive, the tests above would fail."""
    chance = random.Random(3)  # noqa: S311 no secret
    assert workplace.refresh().code == 0

    def shows() -> bool:
        moment = while_uploading_files if naive == NEWEST_FIRST else while_uploading_manifests
        kill_at(workplace, moment, chance, program=(sys.executable, "-c", naive))
        return bool(half_published(workplace.store))

    assert any(shows() for _ in range(8)), "the naive order went unnoticed"
