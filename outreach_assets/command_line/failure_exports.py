"""`outreach failures export` and `batches`: bad rows, to the people who mend them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.show import print_json, print_table
from outreach_assets.steps.failures.kinds import FailureFormat, FailureType
from outreach_core.errors import OutreachError
from outreach_core.states import checked_states

if TYPE_CHECKING:
    from outreach_assets.steps.failures.export import ExportedBatch, ExportOrder, Waiting
    from outreach_core.postgres import Postgres
    from outreach_core.settings import Settings

WORK_FOLDER = "spill"
"""Below OUTREACH_HOME: where files are written before they go up."""


class Which(StrEnum):
    """Whose failures."""

    COMPANY = "company"
    PERSON = "person"
    BOTH = "both"

    @property
    def types(self) -> tuple[FailureType, ...]:
        """The kinds of failures meant."""
        return tuple(FailureType) if self is Which.BOTH else (FailureType(self.value),)


def export_command(  # noqa: PLR0913 a command's options are its parameters
    which: Annotated[Which, typer.Option("--type", help="Whose failures.")] = Which.BOTH,
    file_format: Annotated[
        FailureFormat, typer.Option("--format", help="The kind of file.")
    ] = FailureFormat.JSON,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Numbered files of so many rows; one per pipeline when not set."),
    ] = None,
    state: Annotated[str | None, typer.Option("--state", "-s", help="Only this state.")] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what waits to be exported.")
    ] = False,
    keep_formulas: Annotated[
        bool,
        typer.Option(
            "--keep-formulas", help="CSV: no apostrophe before what a spreadsheet would calculate."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put the failures that have not been exported yet into the store, each exactly once.

    What an export that was killed has left is finished first, as it was ordered. Safe to run
    twice, and at the same time.

    Examples: `outreach failures export` · `outreach failures export --type company --format csv
    --batch-size 1000 --state WV` · `outreach failures export --dry-run --json`
    """
    from outreach_assets.steps.failures.export import (  # noqa: PLC0415
        ExportOrder,
        waiting_failures,
    )
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    order = ExportOrder(
        prefix=settings.b2_validation_failures_prefix,
        types=which.types,
        file_format=file_format,
        batch_size=batch_size,
        state=checked_states([state])[0] if state else None,
        safe_cells=not keep_formulas,
    )
    postgres = open_neon(settings)
    waiting = waiting_failures(postgres, order.types, order.state)
    if dry_run:
        _print_waiting(waiting, as_json=as_json)
        return
    done, error = _export(settings, postgres, order, waiting)
    _print_exported(done, as_json=as_json)
    if error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise typer.Exit(PARTLY)


def export_everything(settings: "Settings") -> "list[ExportedBatch]":
    """What waits, as JSON, one file per pipeline; says on the screen what was exported."""
    from outreach_assets.steps.failures.export import (  # noqa: PLC0415
        ExportOrder,
        waiting_failures,
    )
    from outreach_core.neon import open_neon  # noqa: PLC0415

    postgres = open_neon(settings)
    order = ExportOrder(prefix=settings.b2_validation_failures_prefix)
    waiting = waiting_failures(postgres, order.types, order.state)
    done, error = _export(settings, postgres, order, waiting)
    _print_exported(done, as_json=False)
    if error:
        raise error
    return done


def batches_command(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """What has been exported, newest first; above it what is claimed and not finished.

    Examples: `outreach failures batches` · `outreach failures batches --limit 500 --json`
    """
    from outreach_assets.steps.failures.export import failure_batches  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    found = failure_batches(open_neon(load_settings()), limit=limit)
    if as_json:
        print_json({"batches": [{"status": batch.status, **vars(batch)} for batch in found]})
        return
    print_table(
        f"{len(found)} batches",
        ["status", "rows", "state", "claimed at", "key"],
        [[b.status, b.rows, b.state, f"{b.claimed_at:%Y-%m-%d %H:%M:%S}", b.key] for b in found],
    )


def _export(
    settings: "Settings", postgres: "Postgres", order: "ExportOrder", waiting: "Sequence[Waiting]"
) -> "tuple[list[ExportedBatch], OutreachError | None]":
    """What was exported, and the error that kept it from being all."""
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.failures.export import export_failures  # noqa: PLC0415

    store = build_store(settings)
    done: list[ExportedBatch] = []
    with ExportProgress(sum(one.rows for one in waiting)) as progress:

        def exported(batch: "ExportedBatch") -> None:
            done.append(batch)
            progress.exported(batch.key, batch.rows)

        try:
            export_failures(
                postgres,
                store,
                order,
                folder=settings.home / WORK_FOLDER,
                now=datetime.now(UTC),  # noqa: TID251 the command line is where time comes in
                exported=exported,
            )
        except OutreachError as error:
            if not done:
                raise
            return done, error
    return done, None


def _print_waiting(waiting: "Sequence[Waiting]", *, as_json: bool) -> None:
    rows = sum(one.rows for one in waiting)
    if as_json:
        print_json({"rows": rows, "waiting": [vars(one) for one in waiting]})
        return
    print_table(
        f"{rows:,} failures wait to be exported",
        ["type", "pipeline", "state", "rows", "oldest"],
        [[w.failure_type, w.pipeline_id, w.state, w.rows, _minute(w.oldest)] for w in waiting],
    )


def _print_exported(done: "Sequence[ExportedBatch]", *, as_json: bool) -> None:
    rows = sum(batch.rows for batch in done)
    if as_json:
        print_json({"rows": rows, "exported": [vars(batch) for batch in done]})
        return
    print_table(
        f"{rows:,} failures exported",
        ["rows", "bytes", "state", "taken up", "key"],
        [[b.rows, b.size_bytes, b.state, "yes" if b.taken_up else "", b.key] for b in done],
    )


def _minute(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else None


class ExportProgress:
    """Rows that arrived as a bar on a terminal, a line a file elsewhere; on standard error."""

    def __init__(self, rows: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("export"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("failures"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("export", total=rows)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def exported(self, key: str, rows: int) -> None:
        """These rows have arrived."""
        self._bar.advance(self._task, rows)
        if not self._console.is_terminal:
            line = f"{rows:,} failures in {key}"
            self._console.print(line, highlight=False, soft_wrap=True)
