"""The run's own DuckDB: in memory, bounded, closed whatever happens (DESIGN D1).

The workbench, which outlives runs, is in workbench.py.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

import duckdb

from outreach_core.errors import PermanentError
from outreach_core.life_marks import marked_alive, sweep_dead

Duck = duckdb.DuckDBPyConnection

NO_SPACE = "No space left"
"""How DuckDB, whose errors carry no number, says ENOSPC."""


class DiskFullError(PermanentError):
    """No room for what the run has to write."""


class DiskRefusedError(PermanentError):
    """A folder under OUTREACH_HOME cannot be used, and not for lack of room."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run may take. The process is 0.3-0.4 GB larger than `memory_mb` (measured)."""

    memory_mb: int
    temp_gb: int
    folder: Path
    """Where it may spill; made when missing, emptied when the run ends."""

    threads: int | None = None


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses inside the block, DuckDB or us, into an error naming the cure.

    Raises DiskFullError or DiskRefusedError.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise DiskRefusedError(
                f"OUTREACH_HOME: cannot use {error.filename or folder}: {error.strerror}. "
                "Mend its owner or kind, or choose another OUTREACH_HOME"
            ) from error
        raise DiskFullError(
            f"no room left under {folder}: free some or choose another OUTREACH_HOME"
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise DiskFullError(
            "the run needs more than OUTREACH_DUCKDB_MEMORY_MB of memory and "
            f"OUTREACH_DUCKDB_TEMP_GB of disk: raise one of them ({error})"
        ) from error
    except duckdb.IOException as error:
        if NO_SPACE not in str(error):
            raise
        raise DiskFullError(
            f"no room left under {folder}: free some or choose another OUTREACH_HOME"
        ) from error


@contextmanager
def private_duckdb(limits: Limits) -> Iterator[Duck]:
    """A database of this run's own that spills within its limits; DiskFullError beyond them.

    Extensions are loaded by path only; nothing is installed or found by itself.
    """
    with own_folder(limits.folder) as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{limits.memory_mb}MB",
            "temp_directory": str(spill),
            "max_temp_directory_size": f"{limits.temp_gb}GB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # Rows have no order in Postgres either; keeping one costs 1.9 CPU seconds at M.
            "preserve_insertion_order": False,
        }
        if limits.threads is not None:
            config["threads"] = limits.threads
        with (
            _interrupts(),
            disk_errors(limits.folder),
            closing(duckdb.connect(":memory:", config=config)) as duck,
        ):
            yield duck


@contextmanager
def _interrupts() -> Iterator[None]:
    """Ctrl-C as Python knows it: DuckDB swallows it and says RuntimeError (seen, 1.5.5)."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from error


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """A folder of the caller's alone, gone afterwards; what killed ones left beside it goes too."""
    for dead in sweep_dead(parent):
        shutil.rmtree(parent / dead, ignore_errors=True)
    name = f"spill-{secrets.token_hex(8)}"
    spill = parent / name
    with marked_alive(parent, name):
        try:
            spill.mkdir()
            yield spill
        finally:
            shutil.rmtree(spill, ignore_errors=True)
