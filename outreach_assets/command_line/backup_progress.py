"""How the progress of a backup or a restore looks: a bar for each policy and destination.

On standard error.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from outreach_assets.steps.backups.mover import Moved


class BackupBars:
    """Bars on a terminal; elsewhere a line when a step begins. Use it in a `with`."""

    def __init__(self, between: str = "to") -> None:
        """`between`: a policy's name and a destination's, `from` for what comes back."""
        self._between = between
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[says]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def began(self, folder_id: str, destination: str, step: str) -> None:
        """Listing, copying or proving has begun."""
        if not self._console.is_terminal:
            line = f"{folder_id} {self._between} {destination}: {step}"
            self._console.print(line, highlight=False, soft_wrap=True)
        self._bars.update(self._task(folder_id, destination), says=step)

    def moved(self, folder_id: str, destination: str, moved: Moved) -> None:
        """So much has been copied."""
        self._bars.update(
            self._task(folder_id, destination),
            completed=moved.bytes,
            total=moved.total_bytes or None,
            says=moved.says,
        )

    def _task(self, folder_id: str, destination: str) -> TaskID:
        place = (folder_id, destination)
        if place not in self._tasks:
            name = f"{folder_id} {self._between} {destination}"
            self._tasks[place] = self._bars.add_task(name, says="")
        return self._tasks[place]
