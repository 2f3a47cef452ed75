"""Tasks as assets: each materialization is one task that was worked on, or one round of upkeep.

What is done is in tools/process_task.py and tools/task_upkeep.py. Metadata names no file as its
sender does, and no parameter's value: both may hold personal data.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from b2_resources.keys import task_output_key
from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.assets.metadata import Metadata
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.process_task import Processed, TaskPlace, process_task
from outreach_assets.tools.task_upkeep import look_after_tasks
from outreach_core.errors import OutreachError
from outreach_core.task_runs import OP

TASK_OUTPUTS = dg.AssetKey(["b2", "task_outputs"])
TASK_UPKEEP = dg.AssetKey(["b2", "task_upkeep"])


class TaskConfig(dg.Config):
    """Which task."""

    task_id: str | None = Field(
        default=None, description="Its id; the one that has waited longest when not set."
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 an edge: a heartbeat is now


def build_tasks(limits: ToolLimits) -> dg.AssetsDefinition:
    """The asset that works on tasks; `limits` are what one run of a tool may take."""

    @dg.multi_asset(
        name=OP,
        specs=[
            dg.AssetSpec(
                TASK_OUTPUTS,
                description="What came of the files that people handed in: one task in each run. "
                "A task that another run has, or that was cancelled, is left alone. A file that "
                "the tool refuses is a FAILED task and a run that went well.",
                group_name="tasks",
                owners=OWNERS,
                kinds={"s3", "duckdb"},
            )
        ],
    )
    def task_outputs(
        context: dg.AssetExecutionContext,
        config: TaskConfig,
        neon: NeonResource,
        b2: B2Resource,
        private_duckdb: PrivateDuckDBResource,
    ) -> Iterator[Result]:
        place = TaskPlace(
            postgres=neon.open(),
            store=b2.create_store(),
            folder=private_duckdb.folder / "tools",
            limits=limits,
            now=_now,
        )
        try:
            done = process_task(place, config.task_id, run_id=context.run.run_id)
        except OutreachError as error:
            # The claim is still this run's, so trying again here would find nothing to do.
            raise dg.Failure(str(error), allow_retries=False) from error
        if done is None:
            context.log.info("nothing to do: it is another run's, was cancelled, or none waits")
        yield dg.MaterializeResult(
            asset_key=TASK_OUTPUTS, metadata=_facts(done) if done else {"processed": False}
        )

    return task_outputs


@dg.multi_asset(
    name="task_upkeep",
    specs=[
        dg.AssetSpec(
            TASK_UPKEEP,
            description="Tasks without their files in time: EXPIRED. Tasks whose worker was silent "
            "for 30 minutes: queued again once, then FAILED. Inputs are removed for good 7 days "
            "after a task's end, outputs 30 days after it, what an expired one has at once.",
            group_name="tasks",
            owners=OWNERS,
            kinds={"s3", "postgres"},
        )
    ],
)
def task_upkeep(neon: NeonResource, b2: B2Resource) -> Iterator[Result]:
    """One round of upkeep; trying again is the next round's."""
    try:
        done = look_after_tasks(neon.open(), b2.create_store(), now=_now())
    except OutreachError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    yield dg.MaterializeResult(asset_key=TASK_UPKEEP, metadata=vars(done))


def _facts(done: Processed) -> Metadata:
    """What the run read, did and wrote."""
    task = done.task
    return {
        "processed": True,
        "task_id": task.id,
        "tool": task.tool_id,
        "status": task.status.value,
        **({"error_code": task.error_code} if task.error_code else {}),
        "parameters": sorted(task.parameters),
        "read": _table(
            {"input": one.name, "bytes": one.size_bytes, "sha256": one.sha256 or "-"}
            for one in task.inputs
        ),
        "did": _table({"stage": name, "seconds": took} for name, took in done.stages.items()),
        **(
            {
                "wrote": _table(
                    {
                        "key": task_output_key(task.user_id, task.id, one.name),
                        "bytes": one.size_bytes,
                        "sha256": one.sha256,
                    }
                    for one in task.outputs
                )
            }
            if task.outputs
            else {}
        ),
        # Counts only: a tool's texts may be names of somebody's columns.
        **{f"found/{n}": v for n, v in done.facts.items() if isinstance(v, int | float)},
    }


def _table(rows: Iterator[Mapping[str, str | int | float]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows])
