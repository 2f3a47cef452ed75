"""The walls around a tool at work: memory, time, disk, and a DuckDB that reaches no other file.

Set by the worker on itself before it looks at what a stranger handed in.
"""

import ctypes
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.assignment import ToolLimits
from outreach_assets.tools.reading.columns import literal

BESIDE_DUCKDB_MB = 300
"""Python, the libraries, and by how much a process exceeds DuckDB's memory_limit."""

RESERVED_MB = 512
"""What stacks and allocators reserve beyond what they use: 0.1 GB with two threads (measured)."""

LOOK_EVERY_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
STATM = Path("/proc/self/statm")


def wall_in(limits: ToolLimits, out_of_memory: Callable[[], None]) -> None:
    """Bound this process and tie it to whoever holds its standard input.

    The kernel's limits are coarse: RLIMIT_DATA counts what is only reserved, so it stops one huge
    allocation; what is really used is looked at by a thread, which calls `out_of_memory`.
    """
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_CPU, limits.seconds * limits.threads)
    _bound(resource.RLIMIT_FSIZE, limits.disk_mb * 1024**2)
    if sys.platform == "linux":
        _end_with_parent()
        _bound(resource.RLIMIT_DATA, (limits.memory_mb + RESERVED_MB) * 1024**2)
    watch = threading.Thread(target=_watch, args=(limits.memory_mb, out_of_memory), daemon=True)
    watch.start()


def _end_with_parent() -> None:
    """By the kernel: the thread below waits where C code holds Python's lock (seen, minutes)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _bound(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _watch(memory_mb: int, out_of_memory: Callable[[], None]) -> None:
    while True:
        readable, _, _ = select.select([0], [], [], LOOK_EVERY_SECONDS)
        if readable and not os.read(0, 1):
            os._exit(1)  # whoever started us is gone, and nobody waits for the result
        if used_memory_mb() > memory_mb:
            out_of_memory()


def used_memory_mb() -> int:
    """What this process holds in memory now; where that cannot be seen, the most it ever held."""
    if STATM.exists():
        pages = int(STATM.read_text().split()[1])
        return pages * resource.getpagesize() // 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024**2


@contextmanager
def locked_duckdb(folder: Path, inputs: Mapping[str, Path], limits: ToolLimits) -> Iterator[Duck]:
    """A DuckDB in memory that sees the folder and the inputs, and cannot be talked out of it."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{max(limits.memory_mb - BESIDE_DUCKDB_MB, 100)}MB",
        "temp_directory": str(folder / "spill"),
        "max_temp_directory_size": f"{limits.disk_mb}MB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "threads": limits.threads,
    }
    paths = ", ".join(literal(str(path)) for path in inputs.values())
    with closing(duckdb.connect(":memory:", config=config)) as duck:
        duck.execute(f"SET allowed_directories = [{literal(f'{folder}/')}]")
        duck.execute(f"SET allowed_paths = [{paths}]")
        duck.execute("SET enable_external_access = false")
        duck.execute("SET lock_configuration = true")
        yield duck
