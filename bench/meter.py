"""What each part of a piece of work costs: seconds, and CPU seconds here and in a server.

What is measured, and beside what, is each bench's own.
"""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(kw_only=True)
class Cost:
    """Seconds of one part, however often it came round."""

    wall: float = 0.0
    cpu: float = 0.0
    """Of this process, user and system."""

    postgres: float = 0.0
    """CPU seconds of the server; what its other clients made it do meanwhile is in it."""


@dataclass(kw_only=True)
class Meter:
    """Adds up the parts that are run inside it."""

    server: int
    """The pid of the Postgres server on this machine."""

    costs: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what the block costs to this part."""
        wall, cpu, postgres = time.monotonic(), own_cpu(), server_cpu(self.server)
        yield
        cost = self.costs[name]
        cost.wall += time.monotonic() - wall
        cost.cpu += own_cpu() - cpu
        cost.postgres += server_cpu(self.server) - postgres

    def found(self) -> dict[str, dict[str, float]]:
        """The costs by part, as JSON takes them."""
        return {name: asdict(cost) for name, cost in self.costs.items()}


def own_cpu() -> float:
    """CPU seconds of this process so far."""
    times = os.times()
    return times.user + times.system


def peak_mb() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def server_cpu(pid: int) -> float:
    """CPU seconds of a server and all its children, also those that have ended; Linux only."""
    return sum(_ticks(Path(f"/proc/{one}/stat")) for one in [pid, *_children(pid)]) / TICKS


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _ticks(stat: Path) -> int:
    """User and system time, and that of children that were waited for."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:  # it has ended since; its parent knows its time at the next look
        return 0
    return sum(int(ticks) for ticks in fields[11:15])
