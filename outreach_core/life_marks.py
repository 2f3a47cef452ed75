"""Marks that die with their process: a locked file each, so that others can tidy up after it.

Nothing rests on a pid or on a clean exit: the kernel drops the lock, and who finds a mark unlocked
knows that whoever made it is gone. For one machine; what several share is claimed in Postgres.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outreach_core.postgres_folder import Hold, try_lock, wait_for_lock

SUFFIX = ".alive"
CREATE_SECONDS = 30  # a sweeper holds a mark for as long as it tidies up
ARE_THERE = os.name != "nt"  # Windows has no such locks, so nothing is swept there


@contextmanager
def marked_alive(folder: Path, name: str) -> Iterator[None]:
    """Say for the length of the block that `name` lives; also the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    if not ARE_THERE:
        yield
        return
    mark = folder / f"{name}{SUFFIX}"
    lock = wait_for_lock(mark, Hold.ALONE, seconds=CREATE_SECONDS)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
        os.close(lock)


def sweep_dead(folder: Path) -> Iterator[str]:
    """The names whose process is gone. Each mark is removed when the next name is asked for."""
    for mark in sorted(folder.glob(f"*{SUFFIX}")) if ARE_THERE else []:
        lock = try_lock(mark, Hold.ALONE)
        if lock is None:
            continue
        try:
            yield mark.name.removesuffix(SUFFIX)
            mark.unlink(missing_ok=True)
        finally:
            os.close(lock)


@contextmanager
def living_folder(parent: Path, kind: str) -> Iterator[Path]:
    """An empty folder below the parent, gone with the block.

    What others that were killed left beside it is removed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for dead in sweep_dead(parent):
        shutil.rmtree(parent / dead, ignore_errors=True)
    name = f"{kind}-{secrets.token_hex(8)}"
    with marked_alive(parent, name):
        folder = parent / name
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
