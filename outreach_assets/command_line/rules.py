"""`outreach rules`: what rows are judged by, and how many have broken it over time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from outreach_assets.steps.snapshots.history import Point

POINTS = 30
"""How many versions the trend shows, and how many receipts of a state are read."""

BARS = "▁▂▃▄▅▆▇█"

app = typer.Typer(no_args_is_help=True, help="What rows are judged by.")


@app.command("list")
def list_command(
    *,
    as_json: AsJson = False,
) -> None:
    """Every rule, and how many rows broke it in the newest snapshots and before.

    From the receipts on this machine; `outreach snapshots fetch` brings those of others.

    Examples: `outreach rules list` · `outreach rules list --json`
    """
    from outreach_assets.steps.export import EXPORTS_FOLDER  # noqa: PLC0415
    from outreach_assets.steps.snapshots.history import broken_over_time  # noqa: PLC0415
    from outreach_assets.tables.catalogue import tables_for  # noqa: PLC0415

    settings = load_settings()
    tables = tables_for(settings.outreach_company_not_valid)
    exports = settings.home / EXPORTS_FOLDER
    history = broken_over_time(exports, tables, points=POINTS)
    found = [(table, rule, history[rule.name]) for table in tables for rule in table.rules]
    if as_json:
        print_json(
            {
                "rules": [
                    {
                        "table": table.name,
                        "rule": rule.name,
                        "says": rule.says,
                        "severity": rule.severity,
                        "fingerprint": rule.fingerprint,
                        "history": [vars(point) for point in points],
                    }
                    for table, rule, points in found
                ]
            }
        )
        return
    # Two tables, because one would be too wide for a terminal of 80 columns.
    print_table(
        f"{len(found)} rules",
        ["table", "rule", "a row is good when", "severity", "fingerprint"],
        [[t.name, rule.name, rule.says, rule.severity, rule.fingerprint] for t, rule, _ in found],
    )
    print_table(
        "rows that broke them",
        ["rule", "newest", "share", "before", "trend"],
        [
            [
                rule.name,
                points[-1].rows if points else None,
                _share(points),
                points[-2].rows if len(points) > 1 else None,
                _trend(points),
            ]
            for _, rule, points in found
        ],
    )
    if not any(points for _, _, points in found):
        typer.echo(
            f"no receipt under {exports}: `outreach run --all`, or `outreach snapshots fetch`"
        )


def _share(points: "Sequence[Point]") -> str | None:
    if not points or points[-1].rows is None or not points[-1].of:
        return None
    return f"{points[-1].rows / points[-1].of:.1%}"


def _trend(points: "Sequence[Point]") -> str:
    """One bar per version, between the least and the most there was; a gap where nobody knows."""
    known = [point.rows for point in points if point.rows is not None]
    if not known or Console().options.ascii_only:
        return ""
    least, most = min(known), max(known)
    step = (most - least) / (len(BARS) - 1) or 1
    return "".join(
        " " if point.rows is None else BARS[round((point.rows - least) / step)] for point in points
    )
