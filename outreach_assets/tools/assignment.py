"""What a tool is handed when it works, and the limits it works within."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from outreach_assets.steps.private_duckdb import Duck
from outreach_assets.tools.tool import Parameters


@dataclass(frozen=True, kw_only=True)
class ToolLimits:
    """What one run of a tool may take."""

    memory_mb: int = 1024
    """The whole process; DuckDB gets what is left beside Python."""

    seconds: int = 600
    disk_mb: int = 20_000
    """For the largest file it writes, and for what it spills."""

    threads: int = 2


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One run of a tool, from the inside."""

    duck: Duck
    inputs: Mapping[str, Path]
    parameters: Parameters
    scratch: Path
    """Emptied afterwards."""

    outputs: Path
    progress: Callable[[str, int], None]
    """Takes a stage, in a word or two, and how many percent are done."""
