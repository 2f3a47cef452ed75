"""The keeper: a small process that starts the embedded server and stops it after its last user.

Run as `python -m outreach_core.postgres_keeper <folder> <programs>`. It leaves its starter at once
and says `ready`, or what went wrong, on its output. Standard library only, so that it stays small.
Ending it with SIGTERM stops the server too.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from outreach_core.errors import OutreachError, PermanentError, RetryableError
from outreach_core.postgres_folder import (
    ADDRESS,
    POLL_SECONDS,
    READY,
    START_SECONDS,
    Hold,
    PostgresFolder,
    Postmaster,
    is_held,
    try_lock,
    wait_for_lock,
)
from outreach_core.postgres_programs import (
    ENVIRONMENT,
    as_user,
    free_space,
    server_user,
)

LOOK_EVERY_SECONDS = 5
LOG_BYTES = 8_000_000
PORTS_TRIED = 5
QUICK_SECONDS, QUICK_DEATHS = 10, 3  # a server that dies so soon so often is left alone
# Fast shutdown, then without a checkpoint, then by force; each with the seconds it gets.
STOPS = ((signal.SIGINT, 60), (signal.SIGQUIT, 15), (signal.SIGKILL, 15))

Child = subprocess.Popen[bytes]


class ServerEndedError(Exception):
    """The server is gone though somebody uses it."""


class UnusedError(Exception):
    """Another keeper has the folder for itself, because nobody uses the server."""


class StopAskedError(Exception):
    """Somebody ends the keeper, or has removed the data folder."""


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """One folder's server, and the programs it is run with."""

    folder: PostgresFolder
    programs: Path

    def keep(self) -> None:
        """Hold the server up while anybody uses the folder, then stop it.

        A server that ends meanwhile comes back, under the same port when that is free: other
        processes go on with the address they were given.
        """
        server = self.start()
        say(READY)
        quick_deaths = 0
        while quick_deaths < QUICK_DEATHS:
            started = time.monotonic()
            try:
                users = self.wait_until_unused(server)
            except StopAskedError:
                self.stop(server)
                return
            except ServerEndedError:
                is_quick = time.monotonic() - started < QUICK_SECONDS
                quick_deaths = quick_deaths + 1 if is_quick else 0
                server = self.start()
                continue
            self.stop(server)
            os.close(users)
            return

    def start(self) -> Child | None:
        """Bring the server up as one of its users, so that no other keeper stops it meanwhile.

        Raises UnusedError when another keeper is just stopping it: then nobody uses it.
        """
        use = try_lock(self.folder.in_use_lock, Hold.SHARED)
        if use is None:
            raise UnusedError
        try:
            return self.bring_up()
        finally:
            os.close(use)

    def bring_up(self) -> Child | None:
        """The server we started, or None for one that was there; it takes connections.

        Raises PermanentError when it cannot start, RetryableError when it takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            lock = try_lock(self.folder.server_lock, Hold.ALONE)
            if lock is not None:
                return self._start(lock, deadline)
            if self.folder.server():
                return None
            time.sleep(POLL_SECONDS)  # another keeper starts it, or its last workers still end
        raise RetryableError(
            f"the embedded PostgreSQL in {self.folder.path} has not come up in {START_SECONDS} s; "
            f"{self.folder.log} says why; try again"
        )

    def _start(self, lock: int, deadline: float) -> Child:
        try:
            self._sweep_pid_file()
            for _ in range(PORTS_TRIED):
                port = free_port(self.folder)
                server = self._launch(port, lock)
                if self._wait_until_ready(server, deadline):
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
                    f"{START_SECONDS} s; {self.folder.log} says why"
                )
            time.sleep(POLL_SECONDS)
        return False

    def _own(self, server: Child) -> Postmaster | None:
        found = self.folder.postmaster()
        return found if found and found.pid == server.pid else None

    def wait_until_unused(self, server: Child | None) -> int:
        """The lock that keeps new users out, once the last one is gone.

        Raises ServerEndedError or StopAskedError when one of these comes first.
        """

        def look(number: int, _frame: FrameType | None) -> None:
            if server and server.poll() is not None and number == signal.SIGCHLD:
                # Its last workers see its end in a moment; look again then.
                signal.setitimer(signal.ITIMER_REAL, 0.2, LOOK_EVERY_SECONDS)
            if not (self.folder.data / "PG_VERSION").exists():
                raise StopAskedError
            if not is_held(self.folder.server_lock):
                raise ServerEndedError
            shorten(self.folder.log)

        descriptor = os.open(self.folder.in_use_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with looking(look):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)  # a keeper that goes on must not keep the users out
            raise
        return descriptor

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


def shorten(log: Path) -> None:
    """Empty a log that has grown too long; its writers append, so they just go on."""
    with suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            os.truncate(log, 0)


def last_words(log: Path) -> str:
    """The last lines of the log, on one line."""
    with suppress(OSError):
        if lines := log.read_text(errors="replace")[-4000:].splitlines():
            return "; ".join(lines[-4:])
    return f"see {log}"


def leave_the_starter() -> None:
    """Go on as nobody's child: who started us waits only for our word, and need not reap us."""
    if os.fork():
        os._exit(0)


def say(word: str) -> None:
    """Tell the starter, and close the line to it."""
    with suppress(BrokenPipeError):
        os.write(1, word.encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.close(nothing)


def stop_asked(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends the server with us."""
    raise StopAskedError


@contextmanager
def looking(look: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call `look` when a child ends and every few seconds while the block waits.

    The clock is for a signal that comes just before the wait begins, and for a server that is not
    our child. SIGTERM counts in here only: in the middle of a start it would leave half a server.
    """
    signal.signal(signal.SIGTERM, stop_asked)
    signal.signal(signal.SIGALRM, look)
    signal.signal(signal.SIGCHLD, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY_SECONDS, LOOK_EVERY_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main(folder: Path, programs: Path) -> int:
    """Start or adopt the folder's server and keep it. 0 when it was stopped in good order."""
    keeper = Keeper(folder=PostgresFolder(folder), programs=programs)
    wait_for_lock(keeper.folder.keeper_lock, Hold.SHARED, seconds=START_SECONDS)
    leave_the_starter()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    shorten(keeper.folder.log)
    try:
        keeper.keep()
    except OutreachError as error:
        say(str(error))
        return 1
    except UnusedError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
