"""The failures in the store, where the people who mend them look, and how long any has waited.

Writing them into the log is part of the chain (tables.py); how an export is exactly once is said in
steps/failures/export.py.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from b2_resources.resource import B2Resource
from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import FAILURES_LOG, OWNERS
from outreach_assets.assets.metadata import Metadata
from outreach_assets.resources import NeonResource, PrivateDuckDBResource
from outreach_assets.retries import dagster_failures
from outreach_assets.steps.failures.export import (
    ExportedBatch,
    ExportOrder,
    FailureFormat,
    FailureType,
    Waiting,
    export_failures,
    waiting_failures,
)
from outreach_assets.steps.failures.lists import Wanted, failure_stats
from outreach_core.postgres import Postgres

EXPORTED_FAILURES = dg.AssetKey(["b2", "validation_failures"])
PROMPT = "no_failure_waits_longer_than_a_day"
A_DAY = timedelta(days=1)
SHOWN = 20


class FailuresConfig(dg.Config):
    """How the failures are wanted."""

    file_format: FailureFormat = Field(default=FailureFormat.JSON, description="Of the files.")
    batch_size: int | None = Field(
        default=None, description="Numbered files of so many rows; one per pipeline when not set."
    )


def build_failures(prefix: str) -> dg.AssetsDefinition:
    """The asset and its check; `prefix` is B2_VALIDATION_FAILURES_PREFIX."""

    @dg.multi_asset(
        name="validation_failures",
        specs=[
            dg.AssetSpec(
                EXPORTED_FAILURES,
                description="What is new in `marketing.validation_failures_log`, one object per "
                "pipeline and type or numbered batches, by date; each row exactly once.",
                group_name="upload",
                owners=OWNERS,
                kinds={"s3", "json"},
                deps=[FAILURES_LOG],
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                PROMPT,
                asset=EXPORTED_FAILURES,
                description="Every failure in the log has been exported, or is younger than a day.",
            )
        ],
    )
    def validation_failures(
        context: dg.AssetExecutionContext,
        config: FailuresConfig,
        neon: NeonResource,
        b2: B2Resource,
        private_duckdb: PrivateDuckDBResource,
    ) -> Iterator[Result]:
        postgres = neon.open()
        now = datetime.now(UTC)  # noqa: TID251 the run's own clock
        order = ExportOrder(
            prefix=prefix,
            file_format=config.file_format,
            batch_size=config.batch_size,
        )

        def exported(batch: ExportedBatch) -> None:
            context.log.info("%s: %d rows", batch.key, batch.rows)

        with dagster_failures(context):
            done = export_failures(
                postgres,
                b2.create_store(),
                order,
                folder=private_duckdb.spill,
                now=now,
                exported=exported,
            )
            waiting = waiting_failures(postgres, tuple(FailureType), None)
        yield dg.MaterializeResult(asset_key=EXPORTED_FAILURES, metadata=_facts(postgres, done))
        yield _promptness(waiting, now)

    return validation_failures


def _facts(postgres: Postgres, done: Sequence[ExportedBatch]) -> Metadata:
    """Counts, keys and why records are bad now, the commonest reason first."""
    stats = failure_stats(postgres, Wanted())
    reasons = [
        dg.TableRecord({"of": kind, "reason": reason, "records": count})
        for reason, counts in stats.by_reason.items()
        for kind, count in counts.items()
    ]
    reasons.sort(key=lambda record: -int(str(record.data["records"])))
    keys = [dg.TableRecord({"key": one.key, "rows": one.rows}) for one in done[:SHOWN]]
    return {
        "dagster/row_count": sum(one.rows for one in done),
        "objects": len(done),
        "bytes": sum(one.size_bytes for one in done),
        **({"keys": dg.MetadataValue.table(keys)} if keys else {}),
        **({"open_reasons": dg.MetadataValue.table(reasons[:SHOWN])} if reasons else {}),
    }


def _promptness(waiting: Sequence[Waiting], now: datetime) -> dg.AssetCheckResult:
    late = [one for one in waiting if one.oldest is not None and now - one.oldest > A_DAY]
    return dg.AssetCheckResult(
        asset_key=EXPORTED_FAILURES,
        check_name=PROMPT,
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "waiting": sum(one.rows for one in waiting),
            "late": sum(one.rows for one in late),
            "pipelines": ", ".join(one.pipeline_id for one in late[:SHOWN]) or "none",
        },
    )
