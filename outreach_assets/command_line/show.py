"""How results and progress look on a terminal, and as plain lines where there is none."""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)
from rich.table import Table

UNFOLDED = 200
"""How wide a table may be where there is no terminal."""


def print_json(value: object) -> None:
    """One JSON object on standard output and nothing else."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; numbers to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    shown = [[_cell(value) for value in row] for row in rows]
    for number, column in enumerate(columns):
        numeric = all(row[number].replace(",", "").isdigit() for row in shown) and bool(shown)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:  # a pipe or a log has no edge to fold at
        console = Console(width=max(console.width, UNFOLDED))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count:,}" for name, count in value.items() if count) or "-"
    return str(value)


class RunProgress:
    """A run's steps as bars on a terminal, as one line each elsewhere; on standard error."""

    def __init__(self, states: int) -> None:
        self._states = states
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("states {task.fields[seconds]:5.1f} s  {task.fields[facts]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._steps: dict[str, TaskID] = {}
        self._facts: dict[str, Counter[str]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._said: set[str] = set()
        self._lock = Lock()
        self._step = ""
        self._began = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()
        for step in [step for step in self._facts if step not in self._said]:
            self._say(step)  # not every state passed it

    def began(self, step: str) -> None:
        """A step has begun or goes on."""
        self._step = step
        self._began = time.monotonic()
        if step not in self._steps:
            self._steps[step] = self._bars.add_task(step, total=self._states, facts="", seconds=0.0)
            self._facts[step] = Counter()

    def advanced(self, states: Sequence[str], facts: Mapping[str, int]) -> None:
        """These states have passed the step under way."""
        with self._lock:
            step, now = self._step, time.monotonic()
            self._seconds[step] += now - self._began
            self._began = now
            self._facts[step].update(facts)
            self._bars.update(
                self._steps[step],
                advance=len(states),
                seconds=self._seconds[step],
                facts=_listed(self._facts[step]),
            )
        if all(t.finished for t in self._bars.tasks if t.id == self._steps[step]):
            self._say(step)

    def _say(self, step: str) -> None:
        """A line for a step that is over, where no bar shows it."""
        self._said.add(step)
        if not self._console.is_terminal:
            line = f"{step:<9} {self._seconds[step]:6.1f} s  {_listed(self._facts[step])}"
            self._console.print(line, highlight=False, soft_wrap=True)


def _listed(facts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in facts.items())
