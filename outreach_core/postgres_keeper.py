"""The keeper: a small process that starts the embedded server and stops it after its last user.

Run as `python -m outreach_core.postgres_keeper <folder> <programs>`. It leaves its starter at once
and says `ready`, or what went wrong, on its output. Standard library only, so that it stays small.
Ending it with SIGTERM stops the server too.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from outreach_core.errors import OutreachError, RetryableError
from outreach_core.postgres_folder import (
    LATER,
    READY,
    START_SECONDS,
    Hold,
    PostgresFolder,
    is_held,
    try_lock,
    wait_for_lock,
)
from outreach_core.postgres_server import Child, Server

LOOK_EVERY_SECONDS = 5
LOG_BYTES = 8_000_000
QUICK_SECONDS, QUICK_DEATHS = 10, 3  # a server that dies so soon so often is left alone


class ServerEndedError(Exception):
    """The server is gone though somebody uses it."""


class UnusedError(Exception):
    """Another keeper has the folder for itself, because nobody uses the server."""


class StopAskedError(Exception):
    """Somebody ends the keeper, or has removed the data folder."""


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Keeps one server up for its users."""

    server: Server

    @property
    def folder(self) -> PostgresFolder:
        """Where the server's files and locks lie."""
        return self.server.folder

    def keep(self) -> None:
        """Hold the server up while anybody uses the folder, then stop it.

        A server that ends meanwhile comes back, under the same port when that is free: other
        processes go on with the address they were given.
        """
        child = self.start()
        say(READY)
        quick_deaths = 0
        while True:
            started = time.monotonic()
            try:
                users = self.wait_until_unused(child)
            except StopAskedError:
                self.server.stop(child)
                return
            except ServerEndedError:
                is_quick = time.monotonic() - started < QUICK_SECONDS
                quick_deaths = quick_deaths + 1 if is_quick else 0
                if quick_deaths == QUICK_DEATHS:
                    return  # whoever asks for the server next hears why it does not stay up
                child = self.start()
                continue
            self.server.stop(child)
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
            return self.server.bring_up()
        finally:
            os.close(use)

    def wait_until_unused(self, child: Child | None) -> int:
        """The lock that keeps new users out, once the last one is gone.

        Raises ServerEndedError or StopAskedError when one of these comes first.
        """

        def look(number: int, _frame: FrameType | None) -> None:
            if child and child.poll() is not None and number == signal.SIGCHLD:
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


def shorten(log: Path) -> None:
    """Empty a log that has grown too long; its writers append, so they just go on."""
    with suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            os.truncate(log, 0)


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
    our child. SIGTERM waits for this block: in the middle of a start it would leave half a server.
    """
    signal.signal(signal.SIGALRM, look)
    signal.signal(signal.SIGCHLD, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY_SECONDS, LOOK_EVERY_SECONDS)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def main(folder: Path, programs: Path) -> int:
    """Start or adopt the folder's server and keep it. 0 when it was stopped in good order."""
    keeper = Keeper(server=Server(folder=PostgresFolder(folder), programs=programs))
    wait_for_lock(keeper.folder.keeper_lock, Hold.SHARED, seconds=START_SECONDS)
    leave_the_starter()
    # PostgreSQL, which inherits the mask, sets its own.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, stop_asked)
    shorten(keeper.folder.log)
    try:
        keeper.keep()
    except OutreachError as error:
        say(f"{LATER if isinstance(error, RetryableError) else ''}{error}")
        return 1
    except OSError as error:
        say(f"OUTREACH_HOME: cannot use {error.filename or folder}: {error.strerror}")
        return 1
    except UnusedError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
