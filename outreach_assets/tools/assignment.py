"""What a tool is handed when it works, and the limits it works within."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outreach_assets.tools.tool import Parameters

if TYPE_CHECKING:  # who only hands a tool its limits does without
    from outreach_assets.steps.private_duckdb import Duck
    from outreach_core.settings import Settings

MOST_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """What one run of a tool may take."""

    memory_mb: int = 1024
    """The whole process; DuckDB gets what is left beside Python."""

    seconds: int = 600
    disk_mb: int = 20_000
    """For the largest file it writes, and for what it spills."""

    threads: int = 2

    @classmethod
    def of(cls, settings: "Settings") -> "ToolLimits":
        """As the environment sets them."""
        return cls(
            memory_mb=settings.outreach_tool_memory_mb,
            seconds=settings.outreach_tool_seconds,
            disk_mb=settings.outreach_duckdb_temp_gb * 1024,
            threads=settings.outreach_duckdb_threads or min(os.cpu_count() or 1, MOST_THREADS),
        )


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One run of a tool, from the inside."""

    duck: "Duck"
    one_thread: Callable[[], AbstractContextManager["Duck"]]
    """Opens another DuckDB, each of whose cursors works in the caller's thread alone."""

    threads: int
    """So many may be at work at once."""

    inputs: Mapping[str, Path]
    parameters: Parameters
    scratch: Path
    """Emptied afterwards."""

    outputs: Path
    progress: Callable[[str, int], None]
    """Takes a stage, in a word or two, and how many percent are done."""
