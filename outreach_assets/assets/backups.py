"""Folders to their destinations, one asset for each of these; a dead one stops no other.

The op brings all enabled policies to the destinations that were selected. What happens to one
policy at one destination is in steps/backups/back_up.py; drills are in backup_drill.py.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from outreach_assets.assets.at_work import Result
from outreach_assets.assets.chain import OWNERS
from outreach_assets.assets.metadata import Metadata
from outreach_assets.resources import NeonResource
from outreach_assets.retries import dagster_failures, will_retry
from outreach_assets.steps.backups.back_up import Outcome
from outreach_assets.steps.backups.every_place import NothingToBackUpError, Tell
from outreach_assets.steps.backups.history import Waiting, outcomes_of_run, waiting_policies
from outreach_assets.steps.backups.mover import Moved
from outreach_assets.steps.backups.run import BackupRun
from outreach_core.audit import SOURCE, AuditEvent, started_by
from outreach_core.backup_settings import asset_name
from outreach_core.destinations import S3_DESTINATIONS, Destination, all_destinations
from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.settings import Settings

GROUP = "backup"
IS_DESTINATION = ("outreach/backup", "destination")
"""The tag of the assets that are destinations: the nightly job is all of these."""

PROMPT = "nothing_waits_longer_than_a_day"
A_DAY = timedelta(days=1)
SAID_EVERY_SECONDS = 30


class NotAllBackedUpError(PermanentError):
    """Something is not at its destination; all else is."""


class NotAllBackedUpYetError(RetryableError):
    """The same for a reason that may pass, such as a destination that does not answer."""


class BackupConfig(dg.Config):
    """What to back up."""

    policy: str | None = Field(
        default=None, description="One policy's id; every enabled policy when not set."
    )


def backup_key(destination: str) -> dg.AssetKey:
    """`backup/aws_s3`."""
    return dg.AssetKey(["backup", asset_name(destination)])


def build_backups(settings: Settings) -> dg.AssetsDefinition:
    """The op with an asset for every destination that the settings describe or could describe."""
    destinations = all_destinations(settings)

    @dg.multi_asset(
        name="backups",
        specs=[_spec(one) for one in destinations.values()],
        check_specs=[
            dg.AssetCheckSpec(
                PROMPT,
                asset=backup_key(name),
                description="Every enabled policy was wholly there at some time within a day.",
            )
            for name in destinations
        ],
        can_subset=True,
    )
    def backups(
        context: dg.AssetExecutionContext, config: BackupConfig, neon: NeonResource
    ) -> Iterator[Result]:
        wanted = [n for n in destinations if backup_key(n) in context.selected_asset_keys]
        now = datetime.now(UTC)  # noqa: TID251 an edge: an asset's body
        with dagster_failures(context):
            run = BackupRun(
                postgres=neon.open(),
                settings=settings,
                now=now,
                progress=RunLog(context),
                event=run_event(context),
            )
            outcomes = yield from _backed_up(context, run, config.policy, wanted)
            error = _error_of(outcomes)
            if not (isinstance(error, RetryableError) and will_retry(context)):
                # Once in a run: the last attempt says it.
                yield from _checks(context, waiting_policies(run.postgres), now)
            if error:
                raise error

    return backups


def _spec(destination: Destination) -> dg.AssetSpec:
    unset = f" Not set up: {destination.missing}." if destination.missing else ""
    return dg.AssetSpec(
        backup_key(destination.name),
        description=f"The folders of all enabled policies that name `{destination.name}`, file by "
        "file and proven by hash; materialized when everything is there, observed when something "
        f"is not.{unset}",
        group_name=GROUP,
        owners=OWNERS,
        kinds={"s3" if destination.name in S3_DESTINATIONS else "file"},
        tags=dict([IS_DESTINATION]),
    )


def run_event(context: dg.AssetExecutionContext) -> Tell:
    """Events that say who has started the run."""
    by = {"who": started_by(context.run.tags), "run_id": context.run.run_id}

    def event(event_type: str, details: Mapping[str, object]) -> AuditEvent:
        return AuditEvent(event_type=event_type, event_source=SOURCE, details={**by, **details})

    return event


def _backed_up(
    context: dg.AssetExecutionContext, run: BackupRun, policy: str | None, wanted: Sequence[str]
) -> Generator[Result, None, list[Outcome]]:
    """Back up, and report each destination as soon as it is done; the outcomes.

    A retry leaves alone what this run has done already, and what trying again would not change.
    """
    before = outcomes_of_run(run.postgres, context.run.run_id) if context.retry_number else []
    found = {(one.folder_id, one.destination): one for one in before}
    settled = [place for place, one in found.items() if not one.is_worth_a_retry]
    for name, outcomes in run.by_destination(policy, wanted, settled):
        found |= {(one.folder_id, name): one for one in outcomes}
        yield from _reported(context, name, [o for o in found.values() if o.destination == name])
    if policy and not found:
        raise NothingToBackUpError(
            f"no enabled policy {policy!r} goes to any of {', '.join(wanted)}: "
            "see `outreach policies list`"
        )
    if not found:
        context.log.info("no enabled policy goes there: `outreach policies add`")
    return list(found.values())


def _reported(
    context: dg.AssetExecutionContext, destination: str, outcomes: Sequence[Outcome]
) -> Iterator[Result]:
    """Materialized when everything is there; otherwise what is, as an observation."""
    key = backup_key(destination)
    for one in outcomes:
        if one.problem:
            context.log.error("%s to %s: %s", one.folder_id, destination, one.problem)
    if all(one.is_done for one in outcomes):
        yield dg.MaterializeResult(asset_key=key, metadata=_facts(outcomes))
    else:
        context.log_event(dg.AssetObservation(key, metadata=dict(_facts(outcomes))))


def _facts(outcomes: Sequence[Outcome]) -> Metadata:
    return {
        "files": sum(one.files for one in outcomes),
        "there": sum(one.synced for one in outcomes),
        "sent": sum(one.sent for one in outcomes),
        "bytes": sum(one.sent_bytes for one in outcomes),
        "removed": sum(one.removed for one in outcomes),
        "failed": sum(one.failed for one in outcomes),
        "without_bytes": sum(one.without_bytes for one in outcomes),
        "seconds": sum(one.seconds for one in outcomes),
        "policies": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "policy": one.folder_id,
                        "files": one.files,
                        "there": one.synced,
                        "sent": one.sent,
                        "bytes": one.sent_bytes,
                        "removed": one.removed,
                        "failed": one.failed,
                        "seconds": round(one.seconds, 2),
                        "problem": one.problem,
                    }
                )
                for one in sorted(outcomes, key=lambda one: one.folder_id)
            ]
        ),
    }


def _checks(
    context: dg.AssetExecutionContext, waiting: Sequence[Waiting], now: datetime
) -> Iterator[Result]:
    for check in context.selected_asset_check_keys:
        here = [one for one in waiting if backup_key(one.destination) == check.asset_key]
        late = [one for one in here if now - one.since > A_DAY]
        yield dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "waiting": len(here),
                "late": [f"{one.folder_id} since {one.since:%Y-%m-%d %H:%M}" for one in late],
            },
        )


def _error_of(outcomes: Sequence[Outcome]) -> OutreachError | None:
    """What is not there, by destination; None when all is."""
    by_destination: dict[str, list[str]] = {}
    for one in outcomes:
        if one.problem:
            says = f"{one.folder_id}: {one.problem}"
            by_destination.setdefault(one.destination, []).append(says)
    said = "; ".join(f"{name} failed: {'; '.join(s)}" for name, s in by_destination.items())
    if any(one.is_worth_a_retry for one in outcomes):
        return NotAllBackedUpYetError(said)
    return NotAllBackedUpError(said) if said else None


class RunLog:
    """How far each policy is at each destination, told to the run's log now and then."""

    def __init__(self, context: dg.AssetExecutionContext, way: str = "to") -> None:
        self._log, self._way = context.log, way
        self._said: dict[tuple[str, str], float] = {}

    def began(self, folder_id: str, destination: str, step: str) -> None:
        """Listing, copying or proving has begun."""
        self._said[folder_id, destination] = time.monotonic()
        self._log.info("%s %s %s: %s", folder_id, self._way, destination, step)

    def moved(self, folder_id: str, destination: str, moved: Moved) -> None:
        """So much has been copied."""
        now = time.monotonic()
        if now - self._said[folder_id, destination] >= SAID_EVERY_SECONDS:
            self._said[folder_id, destination] = now
            self._log.info("%s %s %s: %s", folder_id, self._way, destination, moved.says)
