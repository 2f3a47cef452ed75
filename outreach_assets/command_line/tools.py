"""`outreach tools`: what can be done with a file of one's own, here and now."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from outreach_assets.tools.refusals import ToolRefusedError
    from outreach_assets.tools.run_tool import ToolResult, ToolRun
    from outreach_core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What can be done with a file of one's own.")

FAILED, WRONG_USAGE = 1, 2


@app.command("list")
def list_command(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Whole manifests, parameters as JSON schema.")
    ] = False,
) -> None:
    """The tools there are, and what each may be told.

    Examples: `outreach tools list` · `outreach tools list --json`
    """
    from outreach_assets.tools.catalogue import TOOLS  # noqa: PLC0415

    if as_json:
        print_json({"tools": [tool.as_json() for tool in TOOLS]})
        return
    rows = [
        [
            tool.id,
            tool.says,
            ", ".join(f"{n}={_shown(f.default)}" for n, f in tool.parameters.model_fields.items()),
            ", ".join(output.name for output in tool.outputs),
        ]
        for tool in TOOLS
    ]
    print_table(f"{len(TOOLS)} tools", ["tool", "what it does", "parameters", "writes"], rows)


def _shown(default: object) -> str:
    """A parameter's default as `--param` takes it."""
    return ",".join(default) if isinstance(default, tuple) else str(default)


@app.command("run")
def run_command(
    tool_id: Annotated[str, typer.Argument(metavar="TOOL", help="Such as profile-my-data.")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines, Parquet or XLSX.")],
    *,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="An earlier file to compare it with.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value; `tools list` names them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the results go.  [default: FILE-TOOL/]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a tool on a file of this machine; nothing is uploaded.

    Examples: `outreach tools run profile-my-data leads.csv` ·
    `outreach tools run profile-my-data june.csv --baseline may.csv --param top_values=20` ·
    `outreach tools run clean-my-data leads.csv --param agents=trim,phones,exact_duplicates` ·
    `outreach tools run validate-outreach people.csv --out judged --json`
    """
    from outreach_assets.tools.catalogue import tool_by_id  # noqa: PLC0415
    from outreach_assets.tools.folders import handed_out, run_folder  # noqa: PLC0415
    from outreach_assets.tools.refusals import ToolRefusedError  # noqa: PLC0415
    from outreach_assets.tools.run_tool import ToolRun  # noqa: PLC0415
    from outreach_assets.tools.tool import BASELINE, PRIMARY  # noqa: PLC0415

    settings = load_settings()
    inputs = {PRIMARY: file} | ({BASELINE: baseline} if baseline else {})
    try:
        tool = tool_by_id(tool_id)
        run = ToolRun(tool=tool, inputs=inputs, parameters=said_parameters(param or []))
        with run_folder(settings.home / "tools") as folder:
            result = _with_progress(run, folder, settings)
            written = handed_out(result.outputs, out or Path(f"{file.stem}-{tool.id}"))
    except ToolRefusedError as error:
        raise typer.Exit(_say_refusal(error, as_json=as_json)) from error
    if as_json:
        print_json(
            {
                "tool": tool.id,
                "result": result.facts,
                "outputs": [str(path) for path in written],
                "seconds": round(result.seconds, 3),
            }
        )
        return
    for name, value in result.facts.items():
        if isinstance(value, str | int | float):
            typer.echo(f"{name.replace('_', ' '):<16} {value}")
    for path in written:
        typer.echo(f"{path}")


def said_parameters(given: Sequence[str]) -> dict[str, object]:
    """What `--param name=value` says, over and over."""
    parameters: dict[str, object] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"{one}: write it as name=value", param_hint="--param")
        parameters[name.strip()] = value.strip()
    return parameters


def _say_refusal(error: "ToolRefusedError", *, as_json: bool) -> int:
    """Say why, where it is looked for; the exit code."""
    from outreach_assets.tools.refusals import ErrorCode  # noqa: PLC0415

    if as_json:
        print_json({"error_code": error.code, "detail": str(error)})
    else:
        typer.secho(f"error: {error} ({error.code})", fg="red", err=True)
    mistakes = (ErrorCode.INVALID_TOOL_ID, ErrorCode.INVALID_PARAMETERS, ErrorCode.FILES_NOT_FOUND)
    return WRONG_USAGE if error.code in mistakes else FAILED


def _with_progress(run: "ToolRun", folder: Path, settings: "Settings") -> "ToolResult":
    from outreach_assets.tools.assignment import ToolLimits  # noqa: PLC0415
    from outreach_assets.tools.run_tool import run_tool  # noqa: PLC0415

    with _bar() as heard:
        return run_tool(run, folder, limits=ToolLimits.of(settings), heard=heard)


@contextmanager
def _bar() -> Iterator[Callable[[str, int], None]]:
    """A bar on a terminal, nothing elsewhere; on standard error."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    console = Console(stderr=True)
    shown = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:.0f} %"),
    )
    with Progress(*shown, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=100)
        yield lambda stage, percent: progress.update(task, description=stage, completed=percent)
