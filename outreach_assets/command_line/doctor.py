"""`outreach doctor`: every setting and service checked, each problem with its cure."""

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.show import print_json
from outreach_core.findings import Finding, Result, worst

BROKEN_SERVICE, WRONG_SETTING = 1, 2
COLOURS = {Result.OK: "green", Result.WARN: "yellow", Result.PROBLEM: "bold red"}


def doctor(*, as_json: AsJson = False) -> None:
    """Check every setting and service, and name each problem with its cure.

    Writes one throwaway object to the store and removes it; changes no table. Exit codes: 0 all
    fine (warnings allowed), 1 a service is broken, 2 a setting is wrong.

    Examples: `outreach doctor` · `outreach doctor --json`
    """
    from outreach_assets.command_line.diagnosis import diagnose  # noqa: PLC0415

    with Console(stderr=True).status("checking"):
        findings = diagnose()
    if as_json:
        print_json(as_object(findings))
    else:
        print_findings(findings)
    raise typer.Exit(exit_code(findings))


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when nothing is broken, 2 when a setting is wrong, 1 for anything else."""
    problems = [f for f in findings if f.result is Result.PROBLEM]
    if any(f.is_setting for f in problems):
        return WRONG_SETTING
    return BROKEN_SERVICE if problems else 0


def as_object(findings: Sequence[Finding]) -> dict[str, object]:
    """The findings as `--json` prints them."""
    return {
        "result": worst(findings),
        "checks": [
            {"check": f.check, "result": f.result, "found": f.found, "cure": f.cure}
            for f in findings
        ],
    }


def print_findings(findings: Sequence[Finding]) -> None:
    """A table on a terminal, and where there is none as well."""
    table = Table(header_style="bold", show_lines=any(f.cure for f in findings))
    for column in ("check", "result", "what was found", "cure"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.result]
        table.add_row(
            escape(finding.check),
            f"[{colour}]{finding.result}[/]",
            escape(finding.found),
            escape(finding.cure),
        )
    Console().print(table)
