"""`outreach run --changed` as people type it: what has changed is run and nothing else, whatever
became of the run before."""

import pytest

from outreach_core.states import ALL_STATES
from tests.faults.workplace import Workplace, kill, step_ended, wait_until

pytestmark = pytest.mark.slow

CHANGED = ("run", "--changed", "--json")


def test_what_has_changed_is_run_and_nothing_else(workplace: Workplace) -> None:
    assert list(workplace.run(*CHANGED).statuses) == list(ALL_STATES)
    nothing = workplace.run(*CHANGED)
    assert (nothing.code, nothing.statuses) == (0, {})
    assert workplace.run("run", "--changed").out == "nothing has changed\n"
    workplace.touch(["PA", "WV"])
    assert workplace.run(*CHANGED).statuses == {"PA": "published", "WV": "published"}


def test_what_a_killed_run_left_undone_is_still_changed(workplace: Workplace) -> None:
    workplace.run(*CHANGED)
    workplace.touch(["WV"])
    with workplace.started("run", "--state", "WV") as process:
        wait_until(process, step_ended(process, "extract"))
        kill(process)
    assert workplace.run(*CHANGED).statuses == {"WV": "published"}
