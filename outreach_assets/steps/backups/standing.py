"""How the backups stand, in one sentence for people who look once a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from outreach_assets.steps.backups.history import Waiting, waiting_policies
from outreach_core.drill_table import DrillResult, list_drills
from outreach_core.file_destinations import place_summaries
from outreach_core.policies import NEON
from outreach_core.policy_table import list_policies
from outreach_core.postgres import Postgres


@dataclass(frozen=True, kw_only=True)
class BackupStanding:
    """Of all enabled policies at their destinations."""

    policies: int
    synced: int
    bytes_proven: int
    """So many of them were read and found right within thirty days."""

    missing: int
    """Files that are pending or failed, once for each destination."""

    waiting: Sequence[Waiting]
    drilled_at: datetime | None
    drills: int
    """Policies and destinations that the last drill has tried."""

    drills_passed: int

    @property
    def is_well(self) -> bool:
        """True when everything is there and the last drill has passed."""
        return not self.missing and not self.waiting and self.drills == self.drills_passed

    @property
    def says(self) -> str:
        """All of it."""
        if not self.policies:
            return "No folder is backed up."
        missing = f"{self.missing:,} are not there" if self.missing else "none is missing"
        waiting = ", ".join(
            f"{one.folder_id} at {one.destination} since {one.since:%Y-%m-%d %H:%M}"
            for one in self.waiting
        )
        drilled = (
            f"Last drill {self.drilled_at:%Y-%m-%d}: {self.drills_passed} of {self.drills} passed."
            if self.drilled_at
            else "Never drilled."
        )
        not_whole = f" Not whole: {waiting}." if waiting else ""
        # Not 100 before all of them are.
        proven = f"{int(100 * self.bytes_proven / self.synced)} %" if self.synced else "nothing"
        return (
            f"{self.synced:,} files are at their destinations, {missing}; {proven} read and found "
            f"right in 30 days.{not_whole} {drilled}"
        )


def backup_standing(postgres: Postgres) -> BackupStanding:
    """How they stand now. Raises what Postgres raises."""
    enabled = [policy for policy in list_policies(postgres) if policy.enabled]
    wanted = {(policy.folder_id, name) for policy in enabled for name in policy.destinations}
    places = [
        one for one in place_summaries(postgres) if (one.folder_id, one.destination) in wanted
    ]
    drill = _last_drill(postgres)
    return BackupStanding(
        policies=len(enabled),
        synced=sum(one.synced for one in places),
        bytes_proven=sum(one.bytes_proven for one in places),
        missing=sum(one.pending + one.failed for one in places),
        waiting=waiting_policies(postgres),
        drilled_at=drill[0].drilled_at if drill else None,
        drills=len(drill),
        drills_passed=sum(one.is_passed for one in drill),
    )


def _last_drill(postgres: Postgres) -> Sequence[DrillResult]:
    newest = [one for one in list_drills(postgres) if one.folder_id != NEON]
    return [one for one in newest if one.drill_id == newest[0].drill_id]
