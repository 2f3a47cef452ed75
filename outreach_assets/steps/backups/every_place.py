"""Several policies at several destinations, each by itself: a dead one stops no other.

What is done for one policy and one destination is said by who calls: run.py, verify_run.py,
repair_run.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import TypeVar

from outreach_assets.steps.backups.job import BackupProgress, Job
from outreach_assets.steps.backups.places import destination_place, rclone_for, source_place
from outreach_assets.steps.backups.rclone import Rclone, rclone_program
from outreach_core.audit import AuditEvent, write_event
from outreach_core.destinations import destination_named
from outreach_core.errors import PermanentError
from outreach_core.policies import FolderPolicy
from outreach_core.policy_table import list_policies
from outreach_core.postgres import Postgres
from outreach_core.settings import Settings

Result = TypeVar("Result")

Tell = Callable[[str, Mapping[str, object]], AuditEvent]
"""Who runs it, such as audit.command_event."""


class NothingToBackUpError(PermanentError):
    """No enabled policy, or none for that destination."""


@dataclass(frozen=True, kw_only=True)
class EveryPlace:
    """What is worked on, and how it is told about."""

    postgres: Postgres
    settings: Settings
    now: datetime
    progress: BackupProgress
    event: Tell
    is_new_passphrase: bool = False
    """Whether encrypted policies may send everything anew, with another passphrase."""

    running: list[Rclone] = field(default_factory=list)
    stopping: Event = field(default_factory=Event)

    def each(
        self,
        work: Callable[[FolderPolicy, str], Result],
        folder_id: str | None = None,
        destinations: Collection[str] | None = None,
        but: Collection[tuple[str, str]] = (),
    ) -> Iterator[tuple[str, list[Result]]]:
        """Each destination as it is done, with what the work gave for each of its policies.

        `but`: policies and destinations that are left out. Nothing when nobody asks for any.
        Raises what the work and Postgres raise.
        """
        wanted = _wanted(list_policies(self.postgres), folder_id, destinations, but)

        def at(name: str, policies: Sequence[FolderPolicy]) -> list[Result]:
            return [work(policy, name) for policy in policies]

        with ThreadPoolExecutor(len(wanted) or 1) as threads:
            begun = {threads.submit(at, name, ours): name for name, ours in wanted.items()}
            try:
                for one in as_completed(begun):
                    yield begun[one], one.result()
            except BaseException:
                self.stopping.set()
                for rclone in list(self.running):
                    rclone.stop()
                raise

    def all_of(
        self,
        work: Callable[[FolderPolicy, str], Result],
        folder_id: str | None,
        destination: str | None,
    ) -> list[Result]:
        """The same, of all that are named. Raises NothingToBackUpError for none."""
        found = dict(self.each(work, folder_id, destination and [destination]))
        if not found:
            raise NothingToBackUpError(
                f"no enabled policy{f' {folder_id!r}' if folder_id else ''}"
                f"{f' goes to {destination!r}' if destination else ''}: "
                "see `outreach policies list`"
            )
        return [result for name in sorted(found) for result in found[name]]

    @contextmanager
    def job(self, policy: FolderPolicy, name: str, *also: str) -> Iterator[Job]:
        """All that is needed to work on the policy at the destination, with a running rclone.

        `also`: other destinations whose copies it can read. Raises SettingsError,
        RcloneMissingError, and what Postgres raises.
        """
        program = rclone_program(self.settings.outreach_rclone)
        destination = destination_named(self.settings, name)
        source = source_place(self.settings, policy)
        places = [
            destination_place(
                self.settings,
                program,
                destination_named(self.settings, one),
                policy.folder_id,
                encrypted=policy.encrypted,
                suffix=str(number) if number else "",
            )
            for number, one in enumerate([name, *also])
        ]
        with rclone_for(self.settings, program, destination, source, *places) as rclone:
            self.running.append(rclone)
            if self.stopping.is_set():
                rclone.stop()
            yield Job(
                postgres=self.postgres,
                rclone=rclone,
                policy=policy,
                source=source,
                destination=destination,
                at=places[0],
                others=dict(zip(also, places[1:], strict=True)),
                policies=list_policies(self.postgres),
                now=self.now,
                progress=self.progress,
                is_new_passphrase=self.is_new_passphrase,
            )

    def record(self, event_type: str, details: Mapping[str, object]) -> None:
        """Write it into the audit log."""
        with self.postgres.connect() as connection:
            write_event(connection, self.event(event_type, details))


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
