"""Whether what was backed up is there still, as an asset: all by hash, a share of it by its bytes.

What a verification does is in steps/backups/verify.py. Published snapshots have their own, in
verified.py.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from outreach_assets.assets.at_work import Result
from outreach_assets.assets.backups import GROUP, NotAllBackedUpYetError, RunLog, run_event
from outreach_assets.assets.chain import OWNERS
from outreach_assets.assets.metadata import Metadata
from outreach_assets.resources import NeonResource
from outreach_assets.retries import dagster_failures, will_retry
from outreach_assets.steps.backups.verify import Sample, Verification
from outreach_assets.steps.backups.verify_run import VerifyRun
from outreach_core.file_proofs import ProvenPlace, proven_places
from outreach_core.settings import Settings

BACKUP_VERIFIED = dg.AssetKey(["backup", "verified"])
AGREE = "hashes_agree"
COVERED = "bytes_are_proven_in_thirty_days"
RUNS = 4
"""Weekly ones in thirty days, at the least."""

ENOUGH = 0.98
"""Of the share that so many runs read: a file that was busy then is read the next time."""


class VerifyConfig(dg.Config):
    """How much to read."""

    share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Of the files of each place; OUTREACH_BACKUP_VERIFY_SHARE when not set.",
    )


def build_backup_verified(settings: Settings) -> dg.AssetsDefinition:
    """The asset and its checks, at the destinations that the settings describe."""

    @dg.multi_asset(
        name="backup_verified",
        specs=[
            dg.AssetSpec(
                BACKUP_VERIFIED,
                description="Every backed up file at every destination, by its hash; those whose "
                "last proof by bytes is the oldest are read to the last one. Sends and removes "
                "nothing: `outreach backup repair` mends, and so does the next run.",
                group_name=GROUP,
                owners=OWNERS,
                kinds={"file"},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                AGREE,
                asset=BACKUP_VERIFIED,
                description="What was brought to a destination is there still, by hash and bytes.",
            ),
            dg.AssetCheckSpec(
                COVERED,
                asset=BACKUP_VERIFIED,
                description="Of what has been there for thirty days, as much was read meanwhile as "
                "OUTREACH_BACKUP_VERIFY_SHARE promises.",
            ),
        ],
    )
    def backup_verified(
        context: dg.AssetExecutionContext, config: VerifyConfig, neon: NeonResource
    ) -> Iterator[Result]:
        """List, compare, read, report."""
        now = datetime.now(UTC)  # noqa: TID251 an edge: an asset's body
        promised = settings.outreach_backup_verify_share
        with dagster_failures(context):
            run = VerifyRun(
                postgres=neon.open(),
                settings=settings,
                now=now,
                progress=RunLog(context),
                event=run_event(context),
                sample=Sample(share=promised if config.share is None else config.share),
            )
            found = [one for _, together in run.by_destination() for one in together]
            _retry(context, found)
            places = {(one.folder_id, one.destination) for one in found}
            proven = [one for one in proven_places(run.postgres, now=now) if one[:2] in places]
        yield dg.MaterializeResult(asset_key=BACKUP_VERIFIED, metadata=_facts(found))
        yield _agreement(found)
        yield _coverage(proven, promised)

    return backup_verified


def _retry(context: dg.AssetExecutionContext, found: Sequence[Verification]) -> None:
    passing = [f"{_place(one)}: {one.error}" for one in found if one.may_pass]
    if passing and will_retry(context):
        raise NotAllBackedUpYetError("; ".join(passing))


def _place(one: Verification | ProvenPlace) -> str:
    return f"{one.folder_id} at {one.destination}"


def _facts(found: Sequence[Verification]) -> Metadata:
    names = ("files", "sound", "missing", "replaced", "damaged", "read", "bytes_proven", "seconds")
    totals = {name: sum(getattr(one, name) for one in found) for name in names}
    records = [
        dg.TableRecord(
            {
                "policy": one.folder_id,
                "destination": one.destination,
                **{name: getattr(one, name) for name in names},
                "problem": one.error or one.source_error or "",
            }
        )
        for one in found
    ]
    share = {"proven_share": totals["bytes_proven"] / totals["sound"]} if totals["sound"] else {}
    return {
        **totals,
        **share,
        "bytes": sum(one.read_bytes for one in found),
        **({"places": dg.MetadataValue.table(records)} if records else {}),
    }


def _agreement(found: Sequence[Verification]) -> Result:
    problems = [f"{_place(one)}: {_problem(one)}" for one in found if not one.is_sound]
    return dg.AssetCheckResult(
        asset_key=BACKUP_VERIFIED,
        check_name=AGREE,
        passed=not problems,
        metadata={"problems": problems, "places": len(found)},
    )


def _problem(one: Verification) -> str:
    counts = (
        f"{one.missing} missing, {one.replaced} replaced, {one.damaged} damaged, "
        f"{one.unread} could not be read"
    )
    return one.error or one.source_error or counts


def _coverage(proven: Sequence[ProvenPlace], share: float) -> Result:
    wanted = ENOUGH * min(1.0, RUNS * share)
    short = [one for one in proven if one.proven < int(wanted * one.files)]
    return dg.AssetCheckResult(
        asset_key=BACKUP_VERIFIED,
        check_name=COVERED,
        passed=not short,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "wanted": f"{wanted:.0%} in 30 days",
            "short": [f"{_place(one)}: {one.proven / one.files:.0%}" for one in short],
        },
    )
