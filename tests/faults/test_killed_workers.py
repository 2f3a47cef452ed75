"""`outreach dev` under the knife: a run's process, then the command itself, killed at work."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2_resources.build_store import STORE_FOLDER
from b2_resources.local_store import LocalStore
from outreach_assets.assets.chain import chain
from outreach_core.embedded_postgres import EmbeddedPostgres
from outreach_core.neon import POSTGRES_FOLDER
from outreach_core.postgres import Postgres
from outreach_core.states import ALL_STATES
from tests.end_to_end.published import audit_rows, half_published
from tests.servers.outreach_dev import OutreachDev, until

pytestmark = [
    pytest.mark.xdist_group("dagster"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

WHOLE_COUNTRY = {
    "dagster/asset_partition_range_start": ALL_STATES[0],
    "dagster/asset_partition_range_end": ALL_STATES[-1],
}
WORKER = re.compile(r"Started process for run \(pid: (\d+)\)")
CHAIN = [spec.key.to_user_string() for spec in chain()]
TRIES = 5
ANNOUNCED = ("Dagster UI", "API")
CLOSED_SECONDS = 240
"""The sensor looks every minute."""


def open_states(neon: Postgres, run_id: str) -> set[str]:
    """The states that a run is at work in, or died at work in."""
    with neon.connect() as connection:
        rows = connection.execute("SELECT state FROM shq.open_runs WHERE run_id = %s", (run_id,))
        return {row[0] for row in rows}


def versions(dev: OutreachDev) -> int:
    """How many versioned files there are in the store."""
    return sum(1 for _ in (dev.home / STORE_FOLDER).glob("outreach/*/*/*/*_*_*.parquet"))


def publishing(dev: OutreachDev, neon: Postgres, **tags: str) -> str:
    """A run over all states that has begun to publish new rows; its id."""
    with neon.connect() as connection:
        connection.execute("UPDATE marketing.company_master SET updated_at = clock_timestamp()")
    before = versions(dev)
    asked = {key.replace("_", "/", 1): value for key, value in tags.items()}
    run_id = dev.launch_run(CHAIN, {**WHOLE_COUNTRY, **asked})
    until(lambda: versions(dev) > before, seconds=120, what=f"run {run_id} to publish")
    return run_id


def killed_while_publishing(dev: OutreachDev, neon: Postgres, **tags: str) -> str:
    """A run over all states whose process was killed in the middle; its id."""
    for _ in range(TRIES):
        run_id = publishing(dev, neon, **tags)
        said = "\n".join(event.get("message") or "" for event in dev.events(run_id))
        found = WORKER.search(said)
        assert found is not None, said
        os.kill(int(found[1]), signal.SIGKILL)
        if dev.ended_run(run_id) == "FAILURE":
            return run_id
    raise AssertionError(f"{TRIES} runs were done before they could be killed")


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutreachDev]:
    with OutreachDev(tmp_path_factory.mktemp("killed") / "home") as running:
        yield running


@pytest.fixture
def neon(dev: OutreachDev) -> Iterator[Postgres]:
    with EmbeddedPostgres(dev.home / POSTGRES_FOLDER) as embedded:
        yield embedded.ensure_running()


def endings(neon: Postgres, run_id: str) -> list[tuple[str, str]]:
    return sorted((row["state"], row["status"]) for row in audit_rows(neon, run_id))


KILLED = sorted((state, "killed") for state in ALL_STATES)


def test_a_killed_run_is_tried_again_and_closed_by_the_next(
    dev: OutreachDev, neon: Postgres
) -> None:
    killed = killed_while_publishing(dev, neon)
    (again,) = until(
        lambda: dev.runs(dagster_parent_run_id=killed),
        seconds=CLOSED_SECONDS,
        what="Dagster to try it again",
    )
    assert dev.ended_run(again["id"]) == "SUCCESS"
    assert endings(neon, killed) == KILLED
    assert half_published(LocalStore(dev.home / STORE_FOLDER)) == []


def test_a_killed_run_without_a_next_one_is_closed_by_the_sensor(
    dev: OutreachDev, neon: Postgres
) -> None:
    killed = killed_while_publishing(dev, neon, dagster_max_retries="0")
    until(
        lambda: not open_states(neon, killed), seconds=CLOSED_SECONDS, what="the sensor to close it"
    )
    assert dev.runs(dagster_parent_run_id=killed) == []
    assert endings(neon, killed) == KILLED
    assert half_published(LocalStore(dev.home / STORE_FOLDER)) == []


def test_nothing_outlives_a_killed_outreach_dev(tmp_path: Path) -> None:
    with OutreachDev(tmp_path / "home") as dev:
        with EmbeddedPostgres(dev.home / POSTGRES_FOLDER) as embedded:
            killed = publishing(dev, embedded.ensure_running())
            assert dev.process is not None
            dev.process.kill()
        until(lambda: not dev.processes(), seconds=CLOSED_SECONDS, what="all it started to end")
    with OutreachDev(dev.home) as after, EmbeddedPostgres(dev.home / POSTGRES_FOLDER) as embedded:
        assert after.ended_run(killed) in {"FAILURE", "SUCCESS"}
        neon = embedded.ensure_running()
        until(lambda: not open_states(neon, killed), seconds=CLOSED_SECONDS, what="its end")
        assert [state for state, _ in endings(neon, killed)] == sorted(ALL_STATES)


def said(dev: OutreachDev) -> list[str]:
    """Its lines, but for what the daemon says of a young instance, which may come at any time."""
    lines = dev.log.read_text().splitlines()
    return [line for line in lines if line and "EventLogConsumer" not in line]


def test_ctrl_c_ends_everything_without_another_word(tmp_path: Path) -> None:
    with OutreachDev(tmp_path / "home") as dev:
        # Dagster may answer before the command has looked and said so.
        until(
            lambda: all(re.search(f"(?m)^{what}: ", dev.log.read_text()) for what in ANNOUNCED),
            seconds=60,
            what="it to say where the UI and the API are",
        )
        before = said(dev)
        assert dev.stop() == 130
    assert said(dev) == before
