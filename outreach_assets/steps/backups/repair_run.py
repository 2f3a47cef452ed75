"""Several policies at several destinations are repaired, and what came of it is in the audit log.

What happens for one of them is in repair.py.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from outreach_assets.steps.backups.every_place import EveryPlace
from outreach_assets.steps.backups.rclone import RcloneMissingError, StoppedError
from outreach_assets.steps.backups.repair import Repair, repair
from outreach_core.destinations import all_destinations
from outreach_core.errors import OutreachError
from outreach_core.policies import FolderPolicy

BACKUP_REPAIRED = "outreach_backup_repaired"
"""What became of the faults of a policy at a destination."""


@dataclass(frozen=True, kw_only=True)
class RepairRun(EveryPlace):
    """What to repair, and how it is told about."""

    def run(self, *, folder_id: str | None = None, destination: str | None = None) -> list[Repair]:
        """What came of each policy at each of its destinations; of all, or of those named.

        Raises NothingToBackUpError, RcloneMissingError and what Postgres raises.
        """
        return self.all_of(self._repaired, folder_id, destination)

    def by_destination(
        self, folder_id: str | None = None, destinations: Collection[str] | None = None
    ) -> Iterator[tuple[str, list[Repair]]]:
        """Each destination as it is done; nothing when none asks. Raises as `run`."""
        return self.each(self._repaired, folder_id, destinations)

    def _repaired(self, policy: FolderPolicy, name: str) -> Repair:
        began = time.monotonic()
        known = all_destinations(self.settings)
        others = [o for o in policy.destinations if o != name and o in known]
        try:
            with self.job(policy, name, *(o for o in others if not known[o].missing)) as job:
                done = repair(job)
        except (RcloneMissingError, StoppedError):
            raise
        except OutreachError as error:
            done = Repair(folder_id=policy.folder_id, destination=name, error=str(error))
        done = replace(done, seconds=round(time.monotonic() - began, 2))
        said = {**vars(done), "left": len(done.left), "is_done": done.is_done}
        self.record(BACKUP_REPAIRED, {**said, "at": self.now.isoformat()})
        return done
