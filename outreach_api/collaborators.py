"""What the API is given to work with: it opens nothing and reads no setting by itself.

Who gives it is outreach_assets/command_line/serve.py, or a test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from b2_resources.local_parts import LocalParts
from b2_resources.local_store import LocalStore
from b2_resources.object_store import ObjectStore
from b2_resources.part_uploads import PART_BYTES, PartUploads
from b2_resources.signing import LocalSigning, SigningStore
from outreach_core.errors import PermanentError
from outreach_core.postgres_pool import PostgresPool


class WrongParametersError(PermanentError):
    """A tool does not take these parameters; the message says which is wrong, and how."""


@dataclass(frozen=True, kw_only=True)
class OfferedTool:
    """A tool as people may ask for it. What it does is not known here."""

    manifest: Mapping[str, object]
    """As `GET /tools` shows it; `inputs` is a list of objects with `name` and `required`."""

    check: Callable[[Mapping[str, object]], None]
    """Raises WrongParametersError."""


@dataclass(frozen=True, kw_only=True)
class OfferedDestination:
    """A place for backups as policies may name it. How anything gets there is not known here."""

    place: str
    """The bucket and prefix, or the folder; empty when it is not set up."""

    missing: str | None
    """What must be set first."""

    unreachable: Callable[[], str | None]
    """Why it does not answer now; None when it does. Takes seconds."""


class TaskQueue(Protocol):
    """Starts the work on a task that waits, so that nobody need wait for the next sweep."""

    def push(self, task_id: str) -> None:
        """Ask for a run. Raises OutreachError when nobody could be asked: the sweep then finds it.

        May be called twice for one task: whoever works on it claims it first.
        """
        ...


class SweptQueue(TaskQueue):
    """Pushes nothing: every task waits for the sweep."""

    def push(self, task_id: str) -> None:
        """See TaskQueue."""


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    """A folder whose signed URLs the API serves itself."""

    parts: LocalParts
    store: LocalStore
    signing: LocalSigning


@dataclass(frozen=True, kw_only=True)
class B2Events:
    """A bucket whose provider tells of what happens in it."""

    bucket: str
    secret: bytes = field(repr=False)
    """Of the event rule: what its deliveries are signed with."""

    path: str = "/b2/events"


@dataclass(frozen=True, kw_only=True)
class ApiLimits:
    """What one user may do."""

    open_tasks: int = 100
    requests_per_minute: int = 1200
    """Of all servers together."""


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 an edge: the moment of the request


@dataclass(frozen=True, kw_only=True)
class Collaborators:
    """Everything the routes use."""

    database: PostgresPool
    store: ObjectStore
    signing: SigningStore
    parts: PartUploads
    tools: Mapping[str, OfferedTool]
    destinations: Mapping[str, OfferedDestination] = field(default_factory=dict)
    queue: TaskQueue = field(default_factory=SweptQueue)
    local_files: LocalFiles | None = None
    """None where a bucket takes the files itself."""

    part_bytes: int = PART_BYTES
    """Of a file that is sent in parts."""

    b2_events: B2Events | None = None
    """None where nobody tells: then there is no such route."""

    limits: ApiLimits = field(default_factory=ApiLimits)
    metrics_folder: Path | None = None
    """Where several servers of one machine put their counts together; None for one alone."""

    now: Callable[[], datetime] = _now
    new_id: Callable[[], str] = lambda: str(uuid4())
