"""Start and stop the embedded server's own process, whoever started it.

Standard library only, see postgres_folder.py. When it is started and stopped is decided in
postgres_keeper.py.
"""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from outreach_core.errors import PermanentError, RetryableError
from outreach_core.postgres_folder import (
    ADDRESS,
    POLL_SECONDS,
    Hold,
    PostgresFolder,
    Postmaster,
    is_held,
    try_lock,
)
from outreach_core.postgres_programs import ENVIRONMENT, as_user, free_space, server_user

PORTS_TRIED = 5
RECOVERY_SECONDS = 1800  # after a crash gigabytes of log may be replayed first
# Fast shutdown, then without a checkpoint, then by force; each with the seconds it gets.
STOPS = ((signal.SIGINT, 60), (signal.SIGQUIT, 15), (signal.SIGKILL, 15))

Child = subprocess.Popen[bytes]


@dataclass(frozen=True, kw_only=True)
class Server:
    """One folder's server, and the programs it is run with."""

    folder: PostgresFolder
    programs: Path

    def bring_up(self) -> Child | None:
        """The server we started, or None for one that was there; it takes connections.

        Raises PermanentError when it cannot start, RetryableError when it takes too long.
        """
        deadline = time.monotonic() + RECOVERY_SECONDS
        while time.monotonic() < deadline:
            lock = try_lock(self.folder.server_lock, Hold.ALONE)
            if lock is not None:
                return self._start(lock, deadline)
            if self.folder.server():
                return None
            time.sleep(POLL_SECONDS)  # another keeper starts it, or its last workers still end
        raise RetryableError(
            f"the embedded PostgreSQL in {self.folder.path} has not come up in "
            f"{RECOVERY_SECONDS} s; {self.folder.log} says why; try again"
        )

    def _start(self, lock: int, deadline: float) -> Child:
        try:
            self._sweep_pid_file()
            for _ in range(PORTS_TRIED):
                port = free_port(self.folder)
                server = self._launch(port, lock)
                if self._wait_until_ready(server, deadline):
                    with suppress(OSError):  # a full disk: the next start takes another port
                        self.folder.port.write_text(f"{port}\n")
                    return server
                if can_listen(port):  # else another program was quicker: take another port
                    break
        finally:
            os.close(lock)  # from here on only the server itself holds it
        raise PermanentError(
            f"the embedded PostgreSQL in {self.folder.path} (OUTREACH_HOME) does not start: "
            f"{last_words(self.folder.log)}; {free_space(self.folder)}"
        )

    def _sweep_pid_file(self) -> None:
        """Remove what a killed server left, which may name a zombie or another program's pid.

        Nothing of ours is alive while we hold the server's lock. A server that was started by hand
        on this folder does not hold it, and is left alone.
        """
        left = self.folder.postmaster()
        if left and left.data == self.folder.data and is_alive(left.pid) and left.answers():
            raise PermanentError(
                f"process {left.pid} runs a PostgreSQL of its own on {left.data}: "
                "stop it, or choose another OUTREACH_HOME"
            )
        (self.folder.data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self, port: int, lock: int) -> Child:
        program = self.programs / "postgres"
        fixed = {"listen_addresses": ADDRESS, "port": port, "unix_socket_directories": ""}
        with self.folder.log.open("ab") as log:
            return subprocess.Popen(
                [
                    *as_user(server_user(self.folder), program, self.folder.path),
                    *("-D", str(self.folder.data)),
                    *(word for name, value in fixed.items() for word in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                pass_fds=(lock,),
                start_new_session=True,
            )

    def _wait_until_ready(self, server: Child, deadline: float) -> bool:
        """False when it ended instead."""
        while server.poll() is None:
            if (found := self._own(server)) and found.is_ready and found.answers():
                return True
            if time.monotonic() > deadline:
                self.stop(server)
                raise RetryableError(
                    f"the embedded PostgreSQL in {self.folder.path} has not come up in "
                    f"{RECOVERY_SECONDS} s; {self.folder.log} says why"
                )
            time.sleep(POLL_SECONDS)
        return False

    def _own(self, server: Child) -> Postmaster | None:
        found = self.folder.postmaster()
        return found if found and found.pid == server.pid else None

    def stop(self, server: Child | None) -> None:
        """End the server and wait until its last worker is gone."""
        pid = self._living(server)
        for how, seconds in STOPS:
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            if self._has_ended(pid, seconds):
                break
        if server:
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=5)

    def _has_ended(self, pid: int | None, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while is_held(self.folder.server_lock):
            found = self.folder.server()
            if found and found.pid != pid:
                return True  # a keeper that has users has already started the next
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _living(self, server: Child | None) -> int | None:
        """Our child, or the server that another keeper has started since ours ended."""
        if server and server.poll() is None:
            return server.pid
        found = self.folder.server()
        return found.pid if found else None


def free_port(folder: PostgresFolder) -> int:
    """The port of the last start when it is free, or any that is."""
    with suppress(OSError, ValueError):
        port = int(folder.port.read_text())
        if can_listen(port):
            return port
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def can_listen(port: int) -> bool:
    """True when a server may open the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
        try:
            probe.bind((ADDRESS, port))
        except (OSError, OverflowError):
            return False
    return True


def is_alive(pid: int) -> bool:
    """True when a process of that number exists, zombies included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def last_words(log: Path) -> str:
    """The last lines of the log, on one line."""
    with suppress(OSError):
        if lines := log.read_text(errors="replace")[-4000:].splitlines():
            return "; ".join(lines[-4:])
    return f"see {log}"
