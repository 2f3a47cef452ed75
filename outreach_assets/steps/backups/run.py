"""Several policies to several destinations, each by itself: a dead one stops no other.

What happens for one policy and one destination is in back_up.py. Every outcome is in the audit log.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from outreach_assets.steps.backups.back_up import Outcome, back_up
from outreach_assets.steps.backups.job import BackupProgress, Job
from outreach_assets.steps.backups.places import destination_place, rclone_for, source_place
from outreach_assets.steps.backups.rclone import (
    Rclone,
    RcloneMissingError,
    StoppedError,
    rclone_program,
)
from outreach_core.audit import AuditEvent, write_event
from outreach_core.destinations import Destination, destination_named
from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import list_policies
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings

BACKUP_RUN = "outreach_backup_run"
"""What became of a policy at a destination."""

Tell = Callable[[str, Mapping[str, object]], AuditEvent]
"""Who runs it, such as audit.command_event."""


class NothingToBackUpError(PermanentError):
    """No enabled policy, or none for that destination."""


@dataclass(frozen=True, kw_only=True)
class BackupRun:
    """What to back up, and how it is told about."""

    postgres: Postgres
    settings: Settings
    now: datetime
    progress: BackupProgress
    event: Tell
    is_new_passphrase: bool = False
    """Whether encrypted policies may send everything anew, with another passphrase."""

    running: list[Rclone] = field(default_factory=list)
    stopping: Event = field(default_factory=Event)

    def run(self, *, folder_id: str | None = None, destination: str | None = None) -> list[Outcome]:
        """The outcome of each policy at each of its destinations; all, or only those named.

        Raises NothingToBackUpError, RcloneMissingError and what Postgres raises.
        """
        found = dict(self.by_destination(folder_id, destination and [destination]))
        if not found:
            raise NothingToBackUpError(
                f"no enabled policy{f' {folder_id!r}' if folder_id else ''}"
                f"{f' goes to {destination!r}' if destination else ''}: "
                "see `outreach policies list`"
            )
        return [outcome for name in sorted(found) for outcome in found[name]]

    def by_destination(
        self,
        folder_id: str | None = None,
        destinations: Collection[str] | None = None,
        but: Collection[tuple[str, str]] = (),
    ) -> Iterator[tuple[str, list[Outcome]]]:
        """Each destination as it is done, with the outcome of each policy; nothing when none asks.

        `but`: policies and destinations that are done already. Raises as `run`.
        """
        policies = list_policies(self.postgres)
        wanted = _wanted(policies, folder_id, destinations, but)
        program = rclone_program(self.settings.outreach_rclone)
        with ThreadPoolExecutor(len(wanted) or 1) as threads:
            begun = {
                threads.submit(self._to_destination, program, name, ours, policies): name
                for name, ours in wanted.items()
            }
            try:
                for one in as_completed(begun):
                    yield begun[one], one.result()
            except BaseException:
                self.stopping.set()
                for rclone in list(self.running):
                    rclone.stop()
                raise

    def _to_destination(
        self,
        program: str,
        name: str,
        ours: Sequence[FolderPolicy],
        policies: Sequence[FolderPolicy],
    ) -> list[Outcome]:
        outcomes = []
        for policy in ours:
            outcome = Outcome(folder_id=policy.folder_id, destination=name)
            began = time.monotonic()
            try:
                destination = destination_named(self.settings, name)
                self._one(program, policy, destination, policies, outcome)
            except (RcloneMissingError, StoppedError):
                raise
            except OutreachError as error:
                outcome.error = str(error)
                outcome.may_pass = isinstance(error, RetryableError)
            outcome.seconds = time.monotonic() - began
            self._record(outcome)
            outcomes.append(outcome)
        return outcomes

    def _one(
        self,
        program: str,
        policy: FolderPolicy,
        destination: Destination,
        policies: Sequence[FolderPolicy],
        outcome: Outcome,
    ) -> None:
        source = source_place(self.settings, policy)
        at = destination_place(
            self.settings, program, destination, policy.folder_id, encrypted=policy.encrypted
        )
        with rclone_for(self.settings, program, destination, source, at) as rclone:
            self.running.append(rclone)
            if self.stopping.is_set():
                rclone.stop()
            job = Job(
                postgres=self.postgres,
                rclone=rclone,
                policy=policy,
                source=source,
                destination=destination,
                at=at,
                policies=policies,
                now=self.now,
                progress=self.progress,
                is_new_passphrase=self.is_new_passphrase,
            )
            back_up(job, outcome)

    def _record(self, outcome: Outcome) -> None:
        details = {
            **vars(outcome),
            "seconds": round(outcome.seconds, 2),
            "is_done": outcome.is_done,
            "at": self.now.isoformat(),
        }
        with self.postgres.connect() as connection:
            write_event(connection, self.event(BACKUP_RUN, details))


def _wanted(
    policies: Sequence[FolderPolicy],
    folder_id: str | None,
    destinations: Collection[str] | None,
    but: Collection[tuple[str, str]],
) -> dict[str, list[FolderPolicy]]:
    """By destination, the policies that go there."""
    found: dict[str, list[FolderPolicy]] = {}
    for policy in policies:
        if policy.enabled and folder_id in (None, policy.folder_id):
            for name in policy.destinations:
                is_chosen = destinations is None or name in destinations
                if is_chosen and (policy.folder_id, name) not in but:
                    found.setdefault(name, []).append(policy)
    return found
