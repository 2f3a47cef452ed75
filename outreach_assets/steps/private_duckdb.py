"""The run's own DuckDB: in memory, bounded, closed whatever happens (DESIGN D1).

The workbench, which outlives runs, is in workbench.py.
"""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

import duckdb

from outreach_core.errors import PermanentError

Duck = duckdb.DuckDBPyConnection

NO_SPACE = "No space left"
"""How DuckDB, whose errors carry no number, says ENOSPC."""


class DiskFullError(PermanentError):
    """No room for what the run has to write."""


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
    """Turn a full disk inside the block, DuckDB's or ours, into DiskFullError naming the cure."""
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise DiskFullError(
            f"no room left under {folder}: free some or move OUTREACH_HOME"
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
            f"no room left under {folder}: free some or move OUTREACH_HOME"
        ) from error


@contextmanager
def private_duckdb(limits: Limits) -> Iterator[Duck]:
    """A database of this run's own that spills within its limits; DiskFullError beyond them.

    Extensions are loaded by path only; nothing is installed or found by itself.
    """
    limits.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=limits.folder, prefix="spill-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{limits.memory_mb}MB",
            "temp_directory": spill,
            "max_temp_directory_size": f"{limits.temp_gb}GB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # Rows have no order in Postgres either; keeping one costs 1.9 CPU seconds at M.
            "preserve_insertion_order": False,
        }
        if limits.threads is not None:
            config["threads"] = limits.threads
        with (
            disk_errors(limits.folder),
            closing(duckdb.connect(":memory:", config=config)) as duck,
        ):
            yield duck
