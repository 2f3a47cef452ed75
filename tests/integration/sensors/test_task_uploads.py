"""One run for a task that waits, however often the sensor ticks, and what that run leaves."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from b2_resources.keys import task_input_key, task_output_key
from b2_resources.resource import B2Resource
from outreach_assets.definitions import build_defs
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.steps.record import NotMigratedError
from outreach_core.migrate import migrate
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings
from outreach_core.task_changes import claim_task, retry_task
from outreach_core.task_runs import JOB, TASK_TAG
from outreach_core.task_sweep import expire_tasks
from outreach_core.tasks import HEARTBEAT_TIME, INPUTS_KEPT, OUTPUTS_KEPT, TaskStatus
from outreach_core.users import add_user
from sensors import task_uploads
from sensors.task_uploads import task_uploads_sensor
from tests.integration.outreach_assets.tools.task_at_hand import TasksAtHand, clock


class Place(TasksAtHand):
    """Tasks, and what a run opens them with."""

    @property
    def resources(self) -> dict[str, Any]:
        return {
            "neon": NeonResource(connection_string=self.postgres.conninfo),
            "b2": B2Resource(local_root=str(self.home / "store")),
            "private_duckdb": PrivateDuckDBResource(home=str(self.home)),
        }


@pytest.fixture
def tasks(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(task_uploads, "PUSH_TIME", timedelta(0))
    migrate(postgres)
    with postgres.connect() as connection:
        add_user(connection, "anna", is_operator=False, now=clock())
    return Place(postgres=postgres, home=tmp_path)


def tick(tasks: Place, instance: dg.DagsterInstance) -> Sequence[dg.RunRequest]:
    with dg.build_sensor_context(instance, resources={"neon": tasks.resources["neon"]}) as context:
        found = task_uploads_sensor.evaluate_tick(context)
    return list(found.run_requests or ())


def launched(
    instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus
) -> None:
    job = build_defs(Settings()).resolve_job_def(JOB)
    instance.create_run_for_job(
        job, run_config=request.run_config, tags=request.tags, status=status
    )


def executed(
    tasks: Place, instance: dg.DagsterInstance, job: str, **asked: Any
) -> dg.ExecuteInProcessResult:
    """The job as a launched run does it."""
    defs = build_defs(Settings(outreach_home=tasks.home), tasks.resources)
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance, raise_on_error=False, **asked
    )


def metadata(done: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = done.get_asset_materialization_events()
    found = event.step_materialization_data.materialization.metadata
    return {name: getattr(value, "records", value.value) for name, value in found.items()}


def test_each_task_that_waits_is_asked_for_once_in_order_whoever_ticks(
    tasks: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [tasks.queued() for _ in range(3)]
    monkeypatch.setattr(task_uploads, "MOST_AT_ONCE", 2)
    first = tick(tasks, instance)
    assert [one.tags[TASK_TAG] for one in first] == [task.id for task in waiting[:2]]
    # Twice, or by a sensor that was restarted, before there are runs: Dagster knows the same keys.
    assert [one.run_key for one in tick(tasks, instance)] == [one.run_key for one in first]
    monkeypatch.setattr(task_uploads, "MOST_AT_ONCE", 100)
    launched(instance, first[0], dg.DagsterRunStatus.NOT_STARTED)
    launched(instance, first[1], dg.DagsterRunStatus.STARTED)
    assert [one.tags[TASK_TAG] for one in tick(tasks, instance)] == [waiting[2].id]


def test_a_run_that_failed_before_it_had_the_task_is_asked_for_again_after_a_pause(
    tasks: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.queued()
    (first,) = tick(tasks, instance)
    launched(instance, first, dg.DagsterRunStatus.FAILURE)
    assert tick(tasks, instance) == []
    monkeypatch.setattr(task_uploads, "PAUSE", timedelta(0))
    (second,) = tick(tasks, instance)
    assert second.run_key != first.run_key


def test_a_run_whose_machine_is_gone_does_not_keep_its_task_waiting(
    tasks: Place, instance: dg.DagsterInstance
) -> None:
    task = tasks.queued()
    (first,) = tick(tasks, instance)
    launched(instance, first, dg.DagsterRunStatus.STARTED)
    with tasks.postgres.connect() as connection:
        claim_task(connection, task.id, run_id="of the first", now=clock())
        expire_tasks(connection, now=clock() + HEARTBEAT_TIME + timedelta(seconds=1))
    (second,) = tick(tasks, instance)
    assert (second.tags, second.run_key != first.run_key) == (first.tags, True)


def test_a_task_is_left_to_the_push_at_first(
    tasks: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_uploads, "PUSH_TIME", timedelta(minutes=1))
    tasks.queued()
    assert tick(tasks, instance) == []


def test_a_database_that_is_not_migrated_says_so(
    tasks: Place, instance: dg.DagsterInstance
) -> None:
    with tasks.postgres.connect() as connection:
        connection.execute("DROP TABLE shq.task_history, shq.tasks CASCADE")
    with pytest.raises(NotMigratedError, match="outreach db migrate"):
        tick(tasks, instance)


def test_the_run_shows_what_it_read_did_and_wrote_and_a_second_has_nothing_to_do(
    tasks: Place, instance: dg.DagsterInstance
) -> None:
    task = tasks.queued(said={"top_values": 2})
    (asked,) = tick(tasks, instance)
    run = {"run_config": asked.run_config, "tags": asked.tags}
    done = executed(tasks, instance, JOB, **run)
    assert done.success
    assert tasks.now_is(task).run_id == done.run_id
    shown = metadata(done)
    assert (shown["task_id"], shown["status"], shown["found/rows"]) == (task.id, "COMPLETED", 3)
    assert shown["parameters"] == ["top_values"]
    assert [row.data["input"] for row in shown["read"]] == ["primary"]
    assert {row.data["key"] for row in shown["wrote"]} == {
        task_output_key("anna", task.id, name) for name in tasks.outputs(task)
    }
    assert "uploading" in [row.data["stage"] for row in shown["did"]]
    assert metadata(executed(tasks, instance, JOB, **run)) == {"processed": False}


def test_a_refused_file_is_a_run_that_went_well_and_a_retry_asks_again(
    tasks: Place, instance: dg.DagsterInstance
) -> None:
    task = tasks.queued(primary=b"a,b\n")
    (asked,) = tick(tasks, instance)
    done = executed(tasks, instance, JOB, run_config=asked.run_config, tags=asked.tags)
    assert done.success
    assert metadata(done)["error_code"] == "NO_ROWS"
    assert tick(tasks, instance) == []
    with tasks.postgres.connect() as connection:
        retry_task(connection, "anna", task.id, now=clock(), most_open=9)
    (again,) = tick(tasks, instance)
    assert again.run_key != asked.run_key


def test_upkeep_removes_inputs_after_a_week_and_outputs_after_a_month(
    tasks: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks.queued()
    executed(tasks, instance, JOB)  # the one that has waited longest
    tasks.store.put_bytes(task_output_key("anna", task.id, "left.part"), b"by a lost worker")
    assert tasks.now_is(task).status is TaskStatus.COMPLETED
    executed(tasks, instance, "task_upkeep_job")
    inputs = task_input_key("anna", task.id, "primary")
    assert {one.key for one in tasks.store.list_objects()} > {inputs}
    ages(tasks, INPUTS_KEPT)
    shown = metadata(executed(tasks, instance, "task_upkeep_job"))
    assert (shown["inputs_removed"], shown["outputs_removed"]) == (1, 0)
    assert inputs not in {one.key for one in tasks.store.list_objects()}
    assert "left.part" in tasks.outputs(task)
    ages(tasks, OUTPUTS_KEPT)
    executed(tasks, instance, "task_upkeep_job")
    assert list(tasks.store.list_objects()) == []


def ages(tasks: Place, by: timedelta) -> None:
    """As if all tasks had ended so long before."""
    with tasks.postgres.connect() as connection:
        connection.execute(
            "UPDATE shq.tasks SET ended_at = ended_at - %(by)s, "
            "uploads_until = uploads_until - %(by)s",
            {"by": by},
        )
