"""What lies in the embedded server's folder: its paths, its kernel locks, and what they tell.

Standard library only: the keeper process (postgres_keeper.py) imports this and stays small. Who
takes which lock, and why, is said in embedded_postgres.py.

A lock is an open file that the kernel unlocks when the last process holding it is gone, also after
SIGKILL. It is never unlocked, only closed: after a fork both processes hold the same lock, and
unlocking in one would take it from the other.
"""

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from outreach_core.errors import RetryableError

try:
    import fcntl
except ImportError:  # Windows; EmbeddedPostgres refuses to start there
    fcntl = None  # type: ignore[assignment]

ADDRESS = "127.0.0.1"
# The keeper's words to its starter; LATER goes before a reason that may pass.
READY, LATER = "ready", "later: "
START_SECONDS = 120  # how long a user waits for the server
POLL_SECONDS = 0.02
PID_FILE_LINES = 8  # the eighth is the server's state


class Hold(IntEnum):
    """How a lock is held: by many at once, or by one alone."""

    SHARED = 1
    ALONE = 2


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """The server that data/postmaster.pid speaks of; it may be long dead."""

    pid: int
    data: Path
    port: int
    is_ready: bool

    def answers(self) -> bool:
        """True when something accepts connections on its port."""
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((ADDRESS, self.port)) == 0


@dataclass(frozen=True)
class PostgresFolder:
    """Paths and locks under `OUTREACH_HOME/postgres`."""

    path: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own files; whole or absent."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """What the server and its keeper say."""
        return self.path / "postgres.log"

    @property
    def password(self) -> Path:
        """The server's password, readable by its owner only."""
        return self.path / "password"

    @property
    def port(self) -> Path:
        """The port of the last start, taken again when it is free."""
        return self.path / "port"

    @property
    def in_use_lock(self) -> Path:
        """Shared by every process that uses the server; alone by a keeper that stops it."""
        return self.path / "in_use.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the one process that prepares the data folder or starts a keeper."""
        return self.path / "start.lock"

    @property
    def keeper_lock(self) -> Path:
        """Shared by every keeper while it lives."""
        return self.path / "keeper.lock"

    @property
    def server_lock(self) -> Path:
        """Inherited by the server and all its workers: held as long as one of them lives.

        Unlike a pid this cannot belong to another program, and a zombie does not hold it.
        """
        return self.path / "server.lock"

    def postmaster(self) -> Postmaster | None:
        """What data/postmaster.pid says; None when it is missing or not written out yet."""
        with suppress(OSError, ValueError, IndexError):
            lines = os.fsdecode((self.data / "postmaster.pid").read_bytes()).splitlines()
            return Postmaster(
                pid=int(lines[0]),
                data=Path(lines[1]),
                port=int(lines[3]),
                is_ready=len(lines) >= PID_FILE_LINES and lines[7].strip() == "ready",
            )
        return None

    def server(self) -> Postmaster | None:
        """The server of this folder if it is alive and takes connections. Costs under 1 ms."""
        found = self.postmaster()
        if found and found.is_ready and is_held(self.server_lock) and found.answers():
            return found
        return None


def try_lock(path: Path, hold: Hold) -> int | None:
    """The lock as an open file descriptor, or None when others hold it. Not inherited by exec."""
    return _try(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), path, hold)


def _try(descriptor: int, path: Path, hold: Hold) -> int | None:
    how = fcntl.LOCK_SH if hold is Hold.SHARED else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        if is_same_file(descriptor, path):
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def wait_for_lock(path: Path, hold: Hold, *, seconds: float) -> int:
    """The lock, waited for. Raises RetryableError when others still hold it after `seconds`."""
    deadline = time.monotonic() + seconds
    while (descriptor := try_lock(path, hold)) is None:
        if time.monotonic() > deadline:
            raise RetryableError(
                f"the embedded PostgreSQL: another process has held {path} for {seconds:.0f} s; "
                "try again, or end that process"
            )
        time.sleep(POLL_SECONDS)
    return descriptor


def is_held(path: Path) -> bool:
    """True when a process holds the lock alone. Asks without standing in another asker's way."""
    return _refused(path, Hold.SHARED)


def is_held_by_anyone(path: Path) -> bool:
    """True when a process holds the lock, shared or alone."""
    return _refused(path, Hold.ALONE)


def _refused(path: Path, hold: Hold) -> bool:
    try:
        descriptor = _try(os.open(path, os.O_RDWR | os.O_CLOEXEC), path, hold)
    except FileNotFoundError:
        return False
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def is_same_file(descriptor: int, path: Path) -> bool:
    """False when the open file has been deleted or replaced since it was opened."""
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
