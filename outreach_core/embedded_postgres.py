"""A real PostgreSQL on this machine when no other is named, for as long as somebody uses it.

Four kernel locks in its folder hold it together; nothing rests on a pid or on a clean exit.

- in_use.lock: every process that uses the server shares it as long as it lives.
- start.lock: held by the one that makes the data folder or starts a keeper.
- keeper.lock: says that a keeper lives. It started the server, brings it back when it ends, and
  stops it once it gets in_use.lock for itself (postgres_keeper.py).
- server.lock: inherited by the server's own processes, says that one of them lives.

A server is started only by a holder of a share in in_use.lock and stopped only by one who holds it
alone, so several keepers (after kills there may be two) do each other no harm. Where a process
finds one lock without another, the next `ensure_running` mends it.
"""

import atexit
import errno
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from outreach_core.errors import PermanentError, RetryableError, SettingsError
from outreach_core.postgres import Postgres
from outreach_core.postgres_folder import (
    ADDRESS,
    LATER,
    READY,
    START_SECONDS,
    Hold,
    PostgresFolder,
    Postmaster,
    is_held_by_anyone,
    is_same_file,
    wait_for_lock,
)
from outreach_core.postgres_programs import (
    DATABASES,
    MAJOR_VERSION,
    SUPERUSER,
    create_data,
    find_programs,
    make_ours,
)

NAME = "the embedded PostgreSQL"
STOP_SECONDS = 100  # what a keeper gives a server to stop, and a little
MAY_NOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
CODE_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class EmbeddedStatus:
    """What there is of the server now."""

    running: bool
    pid: int | None
    port: int | None
    data: Path
    version: str | None
    """PostgreSQL's major version that made the data folder; None before the first start."""


class EmbeddedPostgres:
    """The server whose files lie in one folder, `OUTREACH_HOME/postgres`; makes nothing yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = PostgresFolder(folder.absolute())
        self._lease: int | None = None
        self._guard = threading.Lock()
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ensure_running(self) -> Postgres:
        """Our database on a running server, kept up until `close` or this process's end.

        Costs under a millisecond when it runs, a second when not, two the first time. Raises
        PermanentError naming OUTREACH_HOME and the cure when it cannot start, RetryableError when
        another process has it stopping or starting for too long.
        """
        _refuse_windows()
        with self._guarded(), _folder_errors(self._folder.path):
            self._take_lease()
            server = self._kept_server() or self._start()
            return self._address(server)

    def database(self, name: str) -> Postgres:
        """Another database of the server, made when it is not there. Two may ask at once."""
        postgres = self.ensure_running().database(name)
        if name in DATABASES:
            return postgres
        with self._start_lock(), postgres.database("postgres").connect(autocommit=True) as door:
            if not door.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                quoted = '"' + name.replace('"', '""') + '"'
                door.execute(f"CREATE DATABASE {quoted}".encode())
        return postgres

    def close(self) -> None:
        """Give up this process's use; the last one's leave stops the server soon after."""
        with self._guarded():
            if self._lease is None:
                return
            atexit.unregister(self.close)
            try:
                # After a keeper was killed nobody would stop the server: leave it to a new one.
                if self._folder.server() and not is_held_by_anyone(self._folder.keeper_lock):
                    self._run_keeper()
            finally:
                os.close(self._lease)
                self._lease = None

    def status(self) -> EmbeddedStatus:
        """What runs and where; never starts it."""
        _refuse_windows()
        with _folder_errors(self._folder.path):
            server = self._folder.server()
            version = self._folder.data / "PG_VERSION"
            return EmbeddedStatus(
                running=server is not None,
                pid=server.pid if server else None,
                port=server.port if server else None,
                data=self._folder.data,
                version=version.read_text().strip() if version.exists() else None,
            )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """One thread at a time, also in a child forked while another thread was inside."""
        if self._owner != os.getpid():
            self._guard, self._owner = threading.Lock(), os.getpid()
        with self._guard:
            yield

    def _take_lease(self) -> None:
        if self._lease is not None and is_same_file(self._lease, self._folder.in_use_lock):
            return
        self._folder.path.mkdir(parents=True, exist_ok=True)
        stale, self._lease = self._lease, None
        if stale is not None:  # the folder was removed or replaced under us
            os.close(stale)
        self._lease = wait_for_lock(self._folder.in_use_lock, Hold.SHARED, seconds=STOP_SECONDS)
        atexit.unregister(self.close)
        atexit.register(self.close)

    def _kept_server(self) -> Postmaster | None:
        server = self._folder.server()
        return server if server and is_held_by_anyone(self._folder.keeper_lock) else None

    @contextmanager
    def _start_lock(self) -> Iterator[int]:
        lock = wait_for_lock(self._folder.start_lock, Hold.ALONE, seconds=START_SECONDS)
        try:
            yield lock
        finally:
            os.close(lock)

    def _start(self) -> Postmaster:
        with self._start_lock() as lock:
            if server := self._kept_server():
                return server  # another process was quicker
            self._prepare(lock)
            self._run_keeper()
            server = self._folder.server()
        if server is None:
            raise RetryableError(f"{NAME} in {self._folder.path} ended at once: try again")
        return server

    def _prepare(self, lock: int) -> None:
        version = self._folder.data / "PG_VERSION"
        if not self._folder.data.exists():
            _write_password(self._folder.password)
            create_data(self._folder, find_programs(), lock=lock)
        elif not version.exists() or version.read_text().strip() != MAJOR_VERSION:
            found = version.read_text().strip() if version.exists() else "unknown"
            raise PermanentError(
                f"OUTREACH_HOME: {self._folder.data} was made by PostgreSQL {found}, and this is "
                f"{MAJOR_VERSION}: dump it with the old release of this project and load it into a "
                "new OUTREACH_HOME, or remove the folder to start afresh"
            )
        make_ours(self._folder)

    def _run_keeper(self) -> None:
        """Start a keeper and hear that the server is up. Raises what it says went wrong."""
        words = [str(self._folder.path), str(find_programs())]
        try:
            with self._folder.log.open("ab") as log:
                said = subprocess.run(
                    # Without site-packages: it needs none, and stays small.
                    [sys.executable, "-ES", "-m", "outreach_core.postgres_keeper", *words],
                    cwd=CODE_FOLDER,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the command, not for the server
                    text=True,
                    check=False,
                    timeout=START_SECONDS,
                ).stdout
        except subprocess.TimeoutExpired:
            raise RetryableError(
                f"{NAME} is still starting after {START_SECONDS} s, as it may after a crash: "
                f"try again; {log.name} says what it does"
            ) from None
        if said.startswith(LATER):
            raise RetryableError(said.removeprefix(LATER))
        if said != READY:
            raise PermanentError(said or f"{NAME}: its keeper ended; see {log.name}")

    def _address(self, server: Postmaster) -> Postgres:
        if not self._folder.password.exists():
            raise PermanentError(
                f"OUTREACH_HOME: {self._folder.password} is missing: put it back, or stop what "
                f"uses {self._folder.path} and remove that folder to start afresh"
            )
        password = self._folder.password.read_text().strip()
        parts = {
            "host": ADDRESS,
            "port": server.port,
            "dbname": DATABASES[0],
            "user": SUPERUSER,
            "password": password,
            "sslmode": "disable",  # it never leaves this machine
        }
        return Postgres(conninfo=" ".join(f"{k}={v}" for k, v in parts.items()), name=NAME)


def _write_password(path: Path) -> None:
    if path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(24))
        file.flush()
        os.fsync(descriptor)
    part.replace(path)


@contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = SettingsError if error.errno in MAY_NOT_WRITE else PermanentError
        raise kind(
            f"OUTREACH_HOME: {NAME} cannot use {error.filename or folder}: {error.strerror}. "
            "Free some space or mend its owner, or choose another OUTREACH_HOME, or set NEON_*"
        ) from error


def _refuse_windows() -> None:
    if os.name == "nt":
        raise PermanentError(
            f"{NAME} needs Linux or macOS: on Windows set NEON_* to a database, or use WSL"
        )
