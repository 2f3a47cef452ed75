"""How results and progress look on a terminal, and as plain lines where there is none."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table


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
    Console().print(table)


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

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("states"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
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

    def began(self, step: str, states: int) -> None:
        """A step has begun."""
        self._began = time.monotonic()
        self._task = self._bars.add_task(step, total=states, facts="")

    def advanced(self, state: str) -> None:
        """The step is done with a state."""
        if self._task is not None:
            self._bars.update(self._task, advance=1, facts=state)

    def ended(self, step: str, facts: str) -> None:
        """The step is done."""
        if self._task is not None:
            task = next(t for t in self._bars.tasks if t.id == self._task)
            self._bars.update(self._task, completed=task.total, facts=facts)
            self._bars.stop_task(self._task)
        if not self._console.is_terminal:
            seconds = time.monotonic() - self._began
            self._console.print(f"{step:<9} {seconds:6.1f} s  {facts}", highlight=False)
