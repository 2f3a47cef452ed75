"""Each run's outcome reaches the audit log once, whatever its job, and whoever looks how often."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from outreach_assets.resources import NeonResource
from outreach_core.audit import RUN_FINISHED, WHO_TAG, EventFilter, latest_events
from outreach_core.audit_chain import check_chain
from outreach_core.postgres import DatabaseRefusedError, Postgres
from sensors.run_outcomes import run_outcomes_sensor


@dg.op(config_schema={"goes_well": dg.Field(bool, default_value=True)})
def work(context: dg.OpExecutionContext) -> None:
    if not context.op_config["goes_well"]:
        raise ValueError("it went wrong")


@dg.job
def some_job() -> None:
    work()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def neon(postgres: Postgres) -> NeonResource:
    return NeonResource(connection_string=postgres.conninfo)


def ran(instance: dg.DagsterInstance, *, well: bool = True, **tags: str) -> str:
    """A run of the job in this process; its id."""
    result = some_job.execute_in_process(
        run_config={"ops": {"work": {"config": {"goes_well": well}}}},
        instance=instance,
        tags={name.replace("__", "/"): value for name, value in tags.items()},
        raise_on_error=False,
    )
    return result.run_id


def cancelled(instance: dg.DagsterInstance) -> str:
    """A run that was cancelled before it began; its id."""
    run = instance.create_run_for_job(some_job, status=dg.DagsterRunStatus.CANCELING)
    instance.report_run_canceled(run)
    return run.run_id


def evaluated(
    instance: dg.DagsterInstance, neon: NeonResource, cursor: str | None = None
) -> str | None:
    """One tick of the sensor; its cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result = run_outcomes_sensor(context, neon=neon)
    assert isinstance(result, dg.SensorResult)
    return result.cursor


def outcomes(neon: NeonResource) -> dict[str, dict[str, object]]:
    """The details of each event by its run."""
    with neon.open().connect() as connection:
        found = latest_events(connection, EventFilter(event_type=RUN_FINISHED), limit=99)
    told = {str(event.details["run_id"]): dict(event.details) for event in found if event.details}
    assert len(told) == len(found), "a second outcome"
    return told


def test_success_failure_and_cancellation_are_told_once(
    instance: dg.DagsterInstance, neon: NeonResource
) -> None:
    ranged = {
        "dagster__asset_partition_range_start": "WI",
        "dagster__asset_partition_range_end": "WY",
    }
    well, badly = ran(instance, **ranged), ran(instance, well=False)
    stopped = cancelled(instance)
    cursor = evaluated(instance, neon)
    evaluated(instance, neon)  # as if the first tick's cursor had been lost
    later = ran(instance)
    evaluated(instance, neon, cursor)
    told = outcomes(neon)
    statuses = {run: details["status"] for run, details in told.items()}
    assert statuses == {well: "success", badly: "failure", stopped: "canceled", later: "success"}
    assert (told[well]["first_partition"], told[well]["last_partition"]) == ("WI", "WY")
    assert told[well]["job"] == "some_job"
    assert float(str(told[well]["seconds"])) >= 0
    assert check_chain(neon.open()).breaks == ()


@pytest.mark.parametrize(
    ("tags", "who"),
    [
        ({WHO_TAG.replace("/", "__"): "anna@laptop"}, "anna@laptop"),
        ({"dagster__schedule_name": "nightly"}, "schedule nightly"),
        ({}, "somebody in the Dagster UI"),
    ],
)
def test_an_outcome_says_who_started_the_run(
    instance: dg.DagsterInstance, neon: NeonResource, tags: dict[str, str], who: str
) -> None:
    run = ran(instance, **tags)
    evaluated(instance, neon)
    assert outcomes(neon)[run]["who"] == who


def test_a_run_that_ended_while_the_database_was_away_is_told_later(
    instance: dg.DagsterInstance, neon: NeonResource, postgres: Postgres
) -> None:
    cursor = evaluated(instance, neon)
    run = ran(instance)
    away = NeonResource(connection_string=postgres.database("away").conninfo)
    with pytest.raises(DatabaseRefusedError):
        evaluated(instance, away, cursor)
    evaluated(instance, neon, cursor)
    assert set(outcomes(neon)) == {run}
