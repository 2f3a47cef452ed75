"""Policies are backed up to their destinations, and every outcome is in the audit log.

What happens for one policy and one destination is in back_up.py.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from outreach_assets.steps.backups.back_up import Outcome, back_up
from outreach_assets.steps.backups.every_place import EveryPlace
from outreach_assets.steps.backups.rclone import RcloneMissingError, StoppedError
from outreach_core.errors import OutreachError, RetryableError
from outreach_core.policies import FolderPolicy

BACKUP_RUN = "outreach_backup_run"
"""What became of a policy at a destination."""


@dataclass(frozen=True, kw_only=True)
class BackupRun(EveryPlace):
    """What to back up, and how it is told about."""

    def run(self, *, folder_id: str | None = None, destination: str | None = None) -> list[Outcome]:
        """The outcome of each policy at each of its destinations; all, or only those named.

        Raises NothingToBackUpError, RcloneMissingError and what Postgres raises.
        """
        return self.all_of(self._outcome, folder_id, destination)

    def by_destination(
        self,
        folder_id: str | None = None,
        destinations: Collection[str] | None = None,
        but: Collection[tuple[str, str]] = (),
    ) -> Iterator[tuple[str, list[Outcome]]]:
        """Each destination as it is done, with the outcome of each policy; nothing when none asks.

        `but`: policies and destinations that are done already. Raises as `run`.
        """
        return self.each(self._outcome, folder_id, destinations, but)

    def _outcome(self, policy: FolderPolicy, name: str) -> Outcome:
        outcome = Outcome(folder_id=policy.folder_id, destination=name)
        began = time.monotonic()
        try:
            with self.job(policy, name) as job:
                back_up(job, outcome)
        except (RcloneMissingError, StoppedError):
            raise
        except OutreachError as error:
            outcome.error = str(error)
            outcome.may_pass = isinstance(error, RetryableError)
        outcome.seconds = time.monotonic() - began
        seconds, at = round(outcome.seconds, 2), self.now.isoformat()
        said = {**vars(outcome), "seconds": seconds, "is_done": outcome.is_done, "at": at}
        self.record(BACKUP_RUN, said)
        return outcome
