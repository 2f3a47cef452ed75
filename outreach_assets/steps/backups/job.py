"""One policy and one destination: all that is needed to work on them, and to be alone at it.

What is done with it is in back_up.py; how a place is named for rclone, in places.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from outreach_assets.steps.backups.mover import Moved
from outreach_assets.steps.backups.places import DestinationPlace, SourcePlace
from outreach_assets.steps.backups.rclone import Rclone
from outreach_core.destinations import Destination
from outreach_core.errors import PermanentError, RetryableError
from outreach_core.file_destinations import Place
from outreach_core.policies import FolderPolicy, deciding_policy, filter_rules
from outreach_core.policy_table import is_enabled
from outreach_core.postgres import DatabaseUnreachableError, Postgres

LOCK = 0x0047EAC5  # the first half of our advisory lock keys; the second is the place's hash


class PlaceBusyError(RetryableError):
    """Another run is at work on the same policy and destination."""


class PolicyGoneError(PermanentError):
    """The policy was removed or switched off while it ran."""


class BackupProgress(Protocol):
    """Hears how far a backup is. May come from any thread."""

    def began(self, folder_id: str, destination: str, step: str) -> None:
        """Listing, copying or proving has begun."""

    def moved(self, folder_id: str, destination: str, moved: Moved) -> None:
        """So much has been copied."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One policy and one destination, and all that is needed for it."""

    postgres: Postgres
    rclone: Rclone
    policy: FolderPolicy
    source: SourcePlace
    destination: Destination
    at: DestinationPlace
    others: Mapping[str, DestinationPlace] = field(default_factory=dict)
    """Other destinations of the policy that the rclone can read."""

    policies: Sequence[FolderPolicy]
    """All there are: a nearer one decides for its own folder."""

    now: datetime
    progress: BackupProgress
    is_new_passphrase: bool = False
    """Whether what is there may be encrypted with another, and is to be sent anew."""

    @property
    def place(self) -> Place:
        """Where its files are recorded."""
        return Place(
            folder_id=self.policy.folder_id,
            destination=self.destination.name,
            root=self.at.root,
            passphrase_mark=self.at.cipher.mark if self.at.cipher else None,
        )

    @property
    def rules(self) -> list[str]:
        """What of the source it takes, in rclone's words."""
        return filter_rules(self.policy, self.policies)

    def decides_for(self, path: str) -> bool:
        """True when the policy takes the file, and no nearer one decides for it."""
        whole = f"{self.policy.path}/{path}"
        decides = deciding_policy(self.policies, self.policy.source, whole)
        return decides == self.policy and self.policy.takes(whole)

    def reached(self, moved: Moved) -> None:
        """Say how far the copying is."""
        self.progress.moved(self.policy.folder_id, self.destination.name, moved)

    def step(self, name: str) -> None:
        """Say what is done now."""
        self.progress.began(self.policy.folder_id, self.destination.name, name)


@contextmanager
def alone(job: Job) -> Iterator[Callable[[], None]]:
    """The place for this run alone; what it gives raises PolicyGoneError when nobody wants it.

    Raises PlaceBusyError.
    """
    name = f"{job.policy.folder_id}/{job.destination.name}"
    is_done = False

    def still_wanted() -> None:
        if not is_enabled(connection, job.policy.folder_id):
            raise PolicyGoneError("its policy was removed or switched off while it ran")

    try:
        with job.postgres.connect() as connection:
            # A pooler or Neon would end an idle transaction, and with it the lock.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", (LOCK, name)
            ).fetchone()
            if row is None or not row[0]:
                raise PlaceBusyError("another run is at work on it: wait for it")
            yield still_wanted
            is_done = True
    except DatabaseUnreachableError:
        if not is_done:
            raise
