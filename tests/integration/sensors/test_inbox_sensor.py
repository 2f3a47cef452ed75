"""One run for what lies in the inboxes, however often the sensor ticks; a bucket is not listed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from b2_resources import inbox as inbox_module
from b2_resources.local_store import LocalStore
from b2_resources.resource import B2Resource
from outreach_assets.definitions import build_defs
from outreach_assets.resources import NeonResource
from outreach_core.drops import announce_drops
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings
from outreach_core.task_rows import TaskFilter, list_tasks
from outreach_core.users import add_user
from sensors.inbox import build_inbox_sensor
from tests.integration.sensors.test_task_uploads import metadata

KEY = "users/anna/inbox/profile-my-data/leads.csv"


class Place:
    """A folder with inboxes, and the sensor over it."""

    def __init__(self, postgres: Postgres, home: Path) -> None:
        self.postgres, self.home = postgres, home
        self.store = LocalStore(home / "store")
        self.resources: dict[str, Any] = {
            "neon": NeonResource(connection_string=postgres.conninfo),
            "b2": B2Resource(local_root=str(home / "store")),
        }
        self.cursor: str | None = None

    def tick(self, instance: dg.DagsterInstance, minutes: int | None = 1) -> int:
        """How many runs it asks for."""
        with dg.build_sensor_context(
            instance, cursor=self.cursor, resources=self.resources
        ) as context:
            found = build_inbox_sensor(minutes).evaluate_tick(context)
        self.cursor = found.cursor
        return len(found.run_requests or ())

    def run(self, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        defs = build_defs(Settings(outreach_home=self.home), self.resources)
        job = defs.resolve_job_def("take_in_drops_job")
        return job.execute_in_process(instance=instance, raise_on_error=False)

    def tasks(self) -> int:
        with self.postgres.connect() as connection:
            return len(list_tasks(connection, "anna", TaskFilter(), limit=9))


@pytest.fixture
def place(migrated: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(inbox_module, "QUIET_TIME", timedelta(0))
    with migrated.connect() as connection:
        connection.execute("TRUNCATE shq.users, shq.announced_drops, shq.refused_drops CASCADE")
        add_user(connection, "anna", is_operator=False, now=datetime.now(UTC))
    return Place(migrated, tmp_path)


def test_what_was_dropped_is_asked_for_once_and_taken_in(
    place: Place, instance: dg.DagsterInstance
) -> None:
    assert place.tick(instance) == 0
    place.cursor = None  # as if a minute had gone by
    place.store.put_bytes(KEY, b"a\n1\n")
    place.store.put_bytes("users/nobody/inbox/x/leads.csv", b"a\n1\n")
    assert place.tick(instance) == 1
    done = place.run(instance)
    assert done.success
    found = metadata(done)
    assert (found["queued"], found["stays"], len(found["tasks"])) == (1, 1, 1)
    place.cursor = None
    assert (place.tick(instance), place.tasks()) == (0, 1)


def test_it_looks_as_often_as_was_said_and_takes_in_what_was_announced(
    place: Place, instance: dg.DagsterInstance
) -> None:
    assert place.tick(instance, minutes=60) == 0
    place.store.put_bytes(KEY, b"a\n1\n")
    assert (place.tick(instance, minutes=60), place.tick(instance, minutes=None)) == (0, 0)
    now = datetime.now(UTC)
    with place.postgres.connect() as connection:
        announce_drops(connection, [KEY], now=now, due_at=now)
    assert place.tick(instance, minutes=None) == 1


def test_a_run_at_work_or_one_that_failed_lately_is_enough(
    place: Place, instance: dg.DagsterInstance
) -> None:
    place.store.put_bytes(KEY, b"a\n1\n")
    job = build_defs(Settings()).resolve_job_def("take_in_drops_job")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert place.tick(instance) == 0
    instance.report_run_failed(run)
    assert place.tick(instance) == 0
