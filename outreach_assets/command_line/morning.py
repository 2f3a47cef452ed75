"""`outreach report`: how the night went, as a page and as a few lines."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.errors import PermanentError


def report(
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes; OUTREACH_HOME/morning.html.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Which states ran, which were held and why, what changed, and whether the bucket is right.

    Exit codes: 0 all is well, 3 a state is held or failed or an object is not as published.

    Examples: `outreach report` · `outreach report --out night.html` · `outreach report --json`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from outreach_assets.steps.export import EXPORTS_FOLDER  # noqa: PLC0415
    from outreach_assets.steps.morning import find_morning  # noqa: PLC0415
    from outreach_assets.steps.morning_page import morning_page  # noqa: PLC0415
    from outreach_assets.tables.catalogue import tables_for  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    tables = tables_for(settings.outreach_company_not_valid)
    now = datetime.now(UTC)  # noqa: TID251 the command line is where time comes in
    exports = settings.home / EXPORTS_FOLDER
    found = find_morning(open_neon(settings), build_store(settings), exports, tables, now=now)
    path = out or settings.home / "morning.html"
    try:
        path.write_text(morning_page(found, tables, settings.outreach_ui_url), encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"--out {path} cannot be written: {error.strerror}") from error
    ill = found.ill
    if as_json:
        print_json(
            {
                "page": str(path),
                "states": {one.state: one.status for one in found.states},
                "held_or_failed": {one.state: one.says for one in ill},
                "changes": found.changes,
                "problems": list(found.problems),
                "open_alerts": len(found.alerts),
                "failures_waiting": found.waiting,
            }
        )
    else:
        rows = [[f"states {name}", count] for name, count in found.statuses.items()]
        rows += [[f"rows {change}", count] for change, count in found.changes.items()]
        rows += [["open alerts", len(found.alerts)], ["failures waiting", found.waiting]]
        rows += [["objects asked for", found.objects], ["not as published", len(found.problems)]]
        print_table("how things stand", ["what", "count"], rows)
        for one in ill:
            typer.echo(f"{one.state} {one.status}: {one.says}")
        for problem in found.problems:
            typer.echo(problem)
        typer.echo(f"the page: {path}")
    raise typer.Exit(PARTLY if ill or found.problems else 0)
