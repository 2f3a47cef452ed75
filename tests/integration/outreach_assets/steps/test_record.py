"""Exactly one audit row for each state and run, however the run ends."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from outreach_assets.steps.record import (
    Claim,
    ClaimLostError,
    Ending,
    NotMigratedError,
    OpenRun,
    StateBusyError,
    Status,
    claimed,
    close_cancelled,
    sweep_abandoned,
)
from outreach_core.audit import events_of_run
from outreach_core.postgres import Postgres
from tests.given import VERSION, given_sql

PROJECT = Path(__file__).parents[4]
PUBLISHED = Ending(status=Status.PUBLISHED, details={"companies_good": 3})
BACKENDS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# Claims two states, says so, and waits to be killed.
CLAIMER = f"""
import sys, time
from outreach_assets.steps.record import claimed
from outreach_core.postgres import Postgres
postgres = Postgres(conninfo=sys.stdin.readline().strip(), name="the test's")
with claimed(
    postgres, ["PA", "WV"], run_id="killed", version="{VERSION}", abandoned=lambda _run: None
):
    print("claimed", flush=True)
    time.sleep(300)
"""


@contextmanager
def a_claim(
    postgres: Postgres, *states: str, run_id: str = "r1", found: list[OpenRun] | None = None
) -> Iterator[Claim]:
    heard = [] if found is None else found
    with claimed(
        postgres,
        states,
        run_id=run_id,
        version=VERSION,
        abandoned=heard.append,
        who="anna@laptop",
    ) as claim:
        yield claim


def audit(postgres: Postgres, run_id: str = "r1") -> list[tuple[object, object]]:
    """State and status of each of the run's rows."""
    with postgres.connect() as connection:
        return [(e["state"], e["status"]) for e in events_of_run(connection, run_id)]


def open_runs(postgres: Postgres) -> list[tuple[str, str]]:
    with postgres.connect() as connection:
        return connection.execute(
            "SELECT run_id, state FROM shq.open_runs ORDER BY 1, 2"
        ).fetchall()


def test_each_state_of_a_run_has_one_row(postgres: Postgres) -> None:
    with a_claim(postgres, "PA", "WV") as claim:
        claim.close({"WV": PUBLISHED, "PA": Ending(status=Status.HELD)})
    assert sorted(audit(postgres)) == [("PA", "held"), ("WV", "published")]
    assert open_runs(postgres) == []


def test_a_row_says_what_readers_ask_for(postgres: Postgres) -> None:
    with a_claim(postgres, "WV") as claim:
        claim.close({"WV": PUBLISHED})
    with postgres.connect() as connection:
        [(source, details)] = connection.execute(
            "SELECT event_source, details FROM shq.audit_log "
            "WHERE event_type = 'outreach_validation_run' ORDER BY created_at DESC"
        ).fetchall()
    assert source == "outreach_workbench"
    assert details["companies_good"] == 3
    assert details["who"] == "anna@laptop"
    assert details["snapshot_version"] == VERSION
    assert details["start_time"] <= details["end_time"]


def test_closing_again_writes_nothing(postgres: Postgres) -> None:
    with a_claim(postgres, "WV") as claim:
        claim.close({"WV": PUBLISHED})
        claim.close({"WV": Ending(status=Status.FAILED)})
    assert audit(postgres) == [("WV", "published")]


def test_two_who_close_the_same_states_at_once_do_not_wait_for_each_other(
    postgres: Postgres,
) -> None:
    """In opposite orders: each must lock the open rows in one order, and the audit log last."""
    with ThreadPoolExecutor(2) as pool:
        for run in ("r1", "r2", "r3", "r4", "r5"):
            with a_claim(postgres, "OH", "PA", "WV", run_id=run) as claim:
                closing = pool.submit(claim.close, dict.fromkeys(["WV", "PA", "OH"], PUBLISHED))
                close_cancelled(postgres, run)
                closing.result()
            assert sorted(state for state, _ in audit(postgres, run)) == ["OH", "PA", "WV"]


def test_of_two_claimers_at_once_the_second_is_told_which_state_is_busy(
    postgres: Postgres,
) -> None:
    with a_claim(postgres, "PA", "WV") as first:
        with a_claim(postgres, "OH", "WV", run_id="r2") as second:
            assert second.busy == ["WV"]
            second.close({"OH": PUBLISHED, "WV": PUBLISHED})
        first.hold()
        first.close({"WV": PUBLISHED, "PA": PUBLISHED})
    assert sorted(audit(postgres)) == [("PA", "published"), ("WV", "published")]
    assert audit(postgres, "r2") == [("OH", "published")]
    assert open_runs(postgres) == []


def test_a_run_that_only_wants_busy_states_is_refused(postgres: Postgres) -> None:
    with (
        a_claim(postgres, "WV"),
        pytest.raises(StateBusyError, match="in WV:"),
        a_claim(postgres, "WV", run_id="r2"),
    ):
        pass
    assert audit(postgres, "r2") == []


def test_a_run_that_waits_to_try_again_is_not_taken_for_dead(postgres: Postgres) -> None:
    with a_claim(postgres, "WV") as first:
        first.wait()
    assert sweep_abandoned(postgres, lambda _run: None) == []
    with pytest.raises(StateBusyError), a_claim(postgres, "WV", run_id="r2"):
        pass
    with a_claim(postgres, "WV") as again:
        again.close({"WV": PUBLISHED})
    assert audit(postgres) == [("WV", "published")]


def test_other_states_can_be_claimed_meanwhile(postgres: Postgres) -> None:
    with a_claim(postgres, "PA") as first, a_claim(postgres, "WV", run_id="r2") as second:
        first.hold()
        second.hold()


def test_a_sweep_leaves_the_living_alone(postgres: Postgres) -> None:
    with a_claim(postgres, "WV"):
        assert sweep_abandoned(postgres, abandoned=pytest.fail) == []
    assert open_runs(postgres) == [("r1", "WV")]


def test_a_run_that_raised_without_closing_is_swept_once(postgres: Postgres) -> None:
    with a_claim(postgres, "WV"):
        pass
    found: list[OpenRun] = []
    swept = sweep_abandoned(postgres, abandoned=found.append)
    assert swept == found == [OpenRun(run_id="r1", state="WV", version=VERSION)]
    assert sweep_abandoned(postgres, abandoned=pytest.fail) == []
    assert audit(postgres) == [("WV", "killed")]


def test_a_sweep_that_fails_leaves_the_run_for_the_next_one(postgres: Postgres) -> None:
    with a_claim(postgres, "WV"):
        pass

    def fail(run: OpenRun) -> None:
        raise OSError(run.state)

    with pytest.raises(OSError, match="WV"):
        sweep_abandoned(postgres, abandoned=fail)
    assert open_runs(postgres) == [("r1", "WV")]
    assert audit(postgres) == []


@contextmanager
def a_killed_claimer(postgres: Postgres) -> Iterator[None]:
    """Behind the `with` line is a process that claimed PA and WV and was killed by SIGKILL."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMER],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(postgres.conninfo + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "claimed\n"
        with pytest.raises(StateBusyError), a_claim(postgres, "WV"):
            pass
    finally:
        process.kill()
        process.communicate(timeout=30)
    wait_until_claimable(postgres, "WV")
    yield


def wait_until_claimable(postgres: Postgres, state: str) -> None:
    """Until Postgres has noticed that the process is gone."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with postgres.connect() as connection:
            [(locks,)] = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchall()
        if not locks:
            return
        time.sleep(0.02)
    pytest.fail(f"{state} is still locked")


def test_a_killed_run_is_swept_by_the_next_run_of_its_state(postgres: Postgres) -> None:
    found: list[OpenRun] = []
    with a_killed_claimer(postgres), a_claim(postgres, "WV", run_id="next", found=found) as claim:
        claim.close({"WV": PUBLISHED})
    assert found == [OpenRun(run_id="killed", state="WV", version=VERSION)]
    assert audit(postgres, "killed") == [("WV", "killed")]
    assert audit(postgres, "next") == [("WV", "published")]
    assert open_runs(postgres) == [("killed", "PA")]


def test_a_killed_run_is_swept_everywhere_by_the_sensor(postgres: Postgres) -> None:
    with a_killed_claimer(postgres):
        sweep_abandoned(postgres, abandoned=lambda _run: None)
    assert sorted(audit(postgres, "killed")) == [("PA", "killed"), ("WV", "killed")]
    assert open_runs(postgres) == []


def test_a_claim_whose_connection_was_lost_says_so_before_publishing(postgres: Postgres) -> None:
    with a_claim(postgres, "WV") as claim:
        given_sql(postgres, BACKENDS)
        with pytest.raises(ClaimLostError, match="held the states"):
            claim.hold()


def test_a_run_that_lost_its_claim_still_leaves_its_row(postgres: Postgres) -> None:
    with a_claim(postgres, "WV") as claim:
        given_sql(postgres, BACKENDS)
        claim.close({"WV": PUBLISHED})
    assert audit(postgres) == [("WV", "published")]


def test_a_run_whose_state_was_taken_over_does_not_add_a_row(postgres: Postgres) -> None:
    with a_claim(postgres, "WV") as first:
        given_sql(postgres, BACKENDS)
        with a_claim(postgres, "WV", run_id="r2") as second:
            second.close({"WV": PUBLISHED})
        first.close({"WV": PUBLISHED})
    assert audit(postgres) == [("WV", "killed")]
    assert audit(postgres, "r2") == [("WV", "published")]


def test_a_retry_of_the_same_run_closes_what_the_first_attempt_opened(postgres: Postgres) -> None:
    with a_claim(postgres, "WV"):
        pass
    found: list[OpenRun] = []
    with a_claim(postgres, "WV", found=found) as claim:
        claim.close({"WV": PUBLISHED})
    assert found == [OpenRun(run_id="r1", state="WV", version=VERSION)]
    assert audit(postgres) == [("WV", "published")]


def test_a_retry_of_a_run_that_is_closed_adds_no_row(postgres: Postgres) -> None:
    for _attempt in range(2):
        with a_claim(postgres, "WV") as claim:
            claim.close({"WV": PUBLISHED})
    assert audit(postgres) == [("WV", "published")]


def test_a_database_that_was_not_migrated_says_what_to_run(empty_postgres: Postgres) -> None:
    with (
        pytest.raises(NotMigratedError, match="outreach db migrate"),
        a_claim(empty_postgres, "WV"),
    ):
        pass
