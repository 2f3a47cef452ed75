"""States whose snapshots cannot be read, told at the end: one of them hides no other state's."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from outreach_assets.command_line.exit_codes import PARTLY


class Unreadable:
    """Collects what is wrong, state by state."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    @contextmanager
    def skipped(self, state: str) -> Iterator[None]:
        """Go on with the next state when this one's receipts or files are not what they were."""
        from b2_resources.object_store import ObjectCorruptError, ObjectMissingError  # noqa: PLC0415
        from outreach_assets.steps.manifest import ManifestUnreadableError  # noqa: PLC0415
        from outreach_assets.steps.snapshots.fetch import FetchDiffersError  # noqa: PLC0415

        try:
            yield
        except (
            FetchDiffersError,
            ManifestUnreadableError,
            ObjectCorruptError,
            ObjectMissingError,
        ) as error:
            self._problems.append(f"{state}: {error}")

    def tell(self) -> None:
        """Say what was skipped; ends the command with 3 when there was anything."""
        for problem in self._problems:
            typer.echo(problem, err=True)
        if self._problems:
            raise typer.Exit(PARTLY)
