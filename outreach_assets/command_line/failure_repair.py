"""`outreach failures repair`: a corrected CSV back into the masters, if asked and allowed."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.failure_lists import shown
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outreach_assets.steps.failures.repair import Repair, RowRepair
    from outreach_core.postgres import Postgres
    from outreach_core.settings import Settings

SHOWN_ROWS = 50
ALLOWED = "OUTREACH_ALLOW_MASTER_WRITES"


def repair_command(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The corrected rows, as CSV.")
    ],
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help=f"Write the good rows back; wants {ALLOWED}=true.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge corrected rows by the rules, before and after, and with `--apply` write them back.

    FILE has a key column (company_id, company_unique_id, person_id or unique_id) and any columns of
    that master table with their right values; the other columns of exported files are left aside,
    and so is updated_at. **An empty cell means: leave it as it is.** An apostrophe that the export
    put before `=`, `+`, `-` or `@` is taken off. Dates are year first, and UTC where they name no
    zone. UTF-8; commas, semicolons or tabs.

    Without `--apply` nothing is written. With it, the rows that are good with their corrections are
    written in one transaction, only their changed columns and updated_at, with an audit row each;
    rows that are still bad or were refused are not. If anybody has changed one of the rows
    meanwhile, none is written. Repeating it is harmless. Personal values are masked.

    Exit codes: 0 all rows are good, 3 some are still bad or refused.

    Examples: `outreach failures repair mended.csv` · `outreach failures repair mended.csv --apply`
    """
    from outreach_assets.steps.failures.repair_write import write_repair  # noqa: PLC0415 duckdb, psycopg
    from outreach_core.neon import open_neon  # noqa: PLC0415

    settings = load_settings()
    if apply and not settings.outreach_allow_master_writes:
        raise SettingsError(
            f"--apply writes to the master tables, and {ALLOWED} is not true: set it to allow that"
        )
    postgres = open_neon(settings)
    repair = _planned(settings, postgres, file)
    written = write_repair(postgres, repair) if apply else 0
    if as_json:
        print_json(_as_object(repair, written=written, applied=apply))
    else:
        _print_repair(repair, written=written, applied=apply)
    raise typer.Exit(0 if repair.is_all_good else PARTLY)


def _planned(settings: "Settings", postgres: "Postgres", file: Path) -> "Repair":
    from outreach_assets.steps.failures.corrections import read_corrections  # noqa: PLC0415
    from outreach_assets.steps.failures.repair import plan_repair  # noqa: PLC0415
    from outreach_assets.steps.private_duckdb import Limits, private_duckdb  # noqa: PLC0415
    from outreach_assets.steps.source import held_snapshot  # noqa: PLC0415
    from outreach_assets.tables.catalogue import tables_for  # noqa: PLC0415

    corrections = read_corrections(file)
    limits = Limits(
        memory_mb=settings.outreach_duckdb_memory_mb,
        temp_gb=settings.outreach_duckdb_temp_gb,
        threads=settings.outreach_duckdb_threads,
        folder=settings.home / "spill",
    )
    with private_duckdb(limits) as duck, held_snapshot(postgres) as snapshot:
        tables = tables_for(settings.outreach_company_not_valid)
        return plan_repair(duck, snapshot, tables, corrections)


def _counts(repair: "Repair") -> dict[str, int]:
    from outreach_assets.steps.failures.repair import Outcome  # noqa: PLC0415

    outcomes = Counter(row.outcome for row in repair.rows)
    return {
        **{outcome.value: outcomes[outcome] for outcome in Outcome},
        "refused": len(repair.refused),
        "to write": len(repair.to_write),
    }


def _as_object(repair: "Repair", *, written: int, applied: bool) -> dict[str, object]:
    from outreach_assets.steps.failures.repair import masked_changes  # noqa: PLC0415

    return {
        "table": repair.table.source,
        "counts": _counts(repair),
        "applied": applied,
        "written": written,
        "rows": [
            {
                "line": row.line,
                "key": row.key,
                "outcome": row.outcome,
                "reasons_before": row.reasons_before,
                "reasons_after": row.reasons_after,
                "changes": {
                    name: {"before": change.before, "after": change.after}
                    for name, change in masked_changes(repair.table, row).items()
                },
            }
            for row in repair.rows
        ],
        "refused": [{"line": r.line, "key": r.key, "why": r.why} for r in repair.refused],
    }


def _print_repair(repair: "Repair", *, written: int, applied: bool) -> None:
    rows = sorted(repair.rows, key=lambda row: (not row.reasons_after, row.line))
    beyond = f", the first {SHOWN_ROWS} here: --json has all" if len(rows) > SHOWN_ROWS else ""
    if rows:
        print_table(
            f"{len(rows):,} corrected rows of {repair.table.source}{beyond}",
            ["line", "key", "outcome", "wrong now", "wrong after", "changes"],
            [_row(repair, row) for row in rows[:SHOWN_ROWS]],
        )
    if repair.refused:
        beyond = ", the first here" if len(repair.refused) > SHOWN_ROWS else ""
        print_table(
            f"{len(repair.refused):,} rows refused{beyond}",
            ["line", "key", "why"],
            [[r.line, shown(r.key), shown(r.why)] for r in repair.refused[:SHOWN_ROWS]],
        )
    counts = _counts(repair)
    changing = counts.pop("to write")
    typer.echo(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if not changing:
        typer.echo("nothing to change")
    elif applied:
        typer.echo(f"{written:,} rows written, each with a row in shq.audit_log")
    else:
        typer.echo(f"{changing:,} rows would be written: --apply does it")


def _row(repair: "Repair", row: "RowRepair") -> list[object]:
    from outreach_assets.steps.failures.repair import masked_changes  # noqa: PLC0415

    changes = [
        f"{shown(name)}: {shown(change.before)} → {shown(change.after)}"
        for name, change in masked_changes(repair.table, row).items()
    ]
    return [
        row.line,
        shown(row.key),
        row.outcome,
        _in_words(repair, row.reasons_before),
        _in_words(repair, row.reasons_after),
        "\n".join(changes) or "-",
    ]


def _in_words(repair: "Repair", reasons: "Sequence[str]") -> str:
    """As the failures log says it."""
    complaints = {rule.name: rule.complaint for rule in repair.table.rules}
    return "; ".join(complaints[reason] for reason in reasons) or "-"
