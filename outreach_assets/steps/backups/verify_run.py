"""Several policies at several destinations are verified, and what was found is in the audit log.

What happens for one of them is in verify.py.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from outreach_assets.steps.backups.every_place import EveryPlace
from outreach_assets.steps.backups.rclone import RcloneMissingError, StoppedError
from outreach_assets.steps.backups.verify import Sample, Verification, verify
from outreach_core.errors import OutreachError, RetryableError
from outreach_core.policies import FolderPolicy

BACKUP_VERIFIED = "outreach_backup_verified"
"""What was found of a policy at a destination."""


@dataclass(frozen=True, kw_only=True)
class VerifyRun(EveryPlace):
    """What to verify, how much of it to the last byte, and how it is told about."""

    sample: Sample = field(default_factory=Sample)

    def run(
        self, *, folder_id: str | None = None, destination: str | None = None
    ) -> list[Verification]:
        """What was found of each policy at each of its destinations; of all, or of those named.

        Raises NothingToBackUpError, RcloneMissingError and what Postgres raises.
        """
        return self.all_of(self._verified, folder_id, destination)

    def by_destination(
        self, folder_id: str | None = None, destinations: Collection[str] | None = None
    ) -> Iterator[tuple[str, list[Verification]]]:
        """Each destination as it is done; nothing when none asks. Raises as `run`."""
        return self.each(self._verified, folder_id, destinations)

    def _verified(self, policy: FolderPolicy, name: str) -> Verification:
        began = time.monotonic()
        try:
            with self.job(policy, name) as job:
                found = verify(job, self.sample)
        except (RcloneMissingError, StoppedError):
            raise
        except OutreachError as error:
            found = Verification(
                folder_id=policy.folder_id,
                destination=name,
                error=str(error),
                may_pass=isinstance(error, RetryableError),
            )
        found = replace(found, seconds=round(time.monotonic() - began, 2))
        said = {name: value for name, value in vars(found).items() if name != "faults"}
        at = self.now.isoformat()
        self.record(BACKUP_VERIFIED, {**said, "is_sound": found.is_sound, "at": at})
        return found
