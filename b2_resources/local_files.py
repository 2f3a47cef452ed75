"""What LocalStore does with files: whole ones, their names, what crashes leave, disk errors."""

import errno
import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from b2_resources.keys import KeyRefusedError
from b2_resources.object_store import StoreRefusedError, StoreUnreachableError

PART = re.compile(r"(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{16}\.part")
OLD_SECONDS = 24 * 3600

REFUSALS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
}
"""What stays so until somebody changes something; the rest may pass."""


def part_name() -> str:
    """A name for a file that is not whole yet, with the process that is making it."""
    return f"{_machine()}-{os.getpid()}-{secrets.token_hex(8)}.part"


def sweep_parts(folder: Path) -> int:
    """Remove what processes that are no more have left; returns how many files.

    A process of another machine or container cannot be asked: of theirs goes what is a day old.
    """
    swept = 0
    for path in folder.glob("*.part"):
        with suppress(OSError):
            found = PART.fullmatch(path.name)
            is_old = time.time() - path.stat().st_mtime > OLD_SECONDS
            is_ours = found is not None and found["machine"] == _machine()
            if is_old or (found and is_ours and not _is_running(int(found["process"]))):
                path.unlink()
                swept += 1
    return swept


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 is no question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def written(part: Path, blocks: Iterable[bytes]) -> str:
    """Write the blocks, on disk before this returns; their sha256, taken on the way."""
    digest = hashlib.sha256()
    with part.open("xb") as file:
        for block in blocks:
            digest.update(block)
            file.write(block)
        file.flush()
        # Without this a power cut can leave the new name with none of its bytes.
        os.fsync(file.fileno())
    # The kernel's own times move in steps of milliseconds; two puts of one key must differ.
    now = time.time_ns()
    os.utime(part, ns=(now, now))
    return digest.hexdigest()


def renamed(part: Path, target: Path) -> None:
    """Rename into a folder that a delete beside us may just be removing."""
    for _ in range(100):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        except FileNotFoundError:
            continue
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise KeyRefusedError(
                f"{target}: a folder cannot hold an object `a` beside an object `a/b`"
            ) from None
        return
    raise FileNotFoundError(errno.ENOENT, "its folder keeps disappearing", str(target))


def old_path(target: Path, about_path: Callable[[os.stat_result], Path]) -> Path | None:
    """What `about_path` says of the file there, None where there is none."""
    try:
        return about_path(target.stat())
    except OSError:
        return None


@contextmanager
def disk_errors(key: str) -> Iterator[None]:
    """The operating system's refusals become ours, with the key and the cause in them."""
    try:
        yield
    except OSError as error:
        says = f"{key!r} on this disk: {error.strerror}: {error.filename or ''}".rstrip(": ")
        if error.errno in REFUSALS:
            raise StoreRefusedError(
                f"{says}: make room or mend its owner, or choose another OUTREACH_HOME"
            ) from error
        raise StoreUnreachableError(says) from error
