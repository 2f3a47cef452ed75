"""`outreach tasks`: hand in a file, watch the work on it, get the results, over the HTTP API."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import FAILED
from outreach_assets.command_line.show import print_json
from outreach_assets.command_line.tools import said_parameters
from outreach_core.errors import SettingsError
from outreach_core.tasks import OPEN

if TYPE_CHECKING:
    from outreach_assets.command_line.task_client import Shown, TaskClient

app = typer.Typer(no_args_is_help=True, help="Files handed in to the API, and what came of them.")

LOOK_EVERY_SECONDS = 1.0
AWAY_SECONDS = 60.0
"""An API that is away for no longer is waited for."""

LARGE_BYTES = 100 * 1000 * 1000
"""Above this a file goes up in parts."""


TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The id that `submit` said.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it has ended.")]
Baseline = Annotated[Path | None, typer.Option("--baseline", help="An earlier file.", exists=True)]
Out = Annotated[Path | None, typer.Option("--out", help="Where the results go.  [default: TASK/]")]


@app.command("submit")
def submit_command(
    file: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSON Lines, Parquet or XLSX.", exists=True)
    ],
    *,
    tool: Annotated[str, typer.Option("--tool", help="Such as profile-my-data.")],
    baseline: Baseline = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="name=value; `tools list` names them.")
    ] = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Upload a file and have a tool work on it; with `--wait`, watch it.

    A large file goes up in parts; when it breaks off, `outreach tasks resume` goes on.

    Examples: `outreach tasks submit leads.csv --tool profile-my-data --wait` ·
    `outreach tasks submit june.csv --tool profile-my-data --baseline may.csv --param top_values=20`
    """
    files = {"primary": file} | ({"baseline": baseline} if baseline else {})
    parameters = said_parameters(param or [])
    client = _client()
    task = client.create(tool, files, parameters)
    _upload(client, task["id"], files)
    _go_on(client, client.process(task["id"]), wait=wait, as_json=as_json)


@app.command("resume")
def resume_command(
    task: TaskId,
    file: Annotated[Path, typer.Argument(help="The same file.", exists=True)],
    *,
    baseline: Baseline = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a `submit` that was broken off less than 15 minutes ago: only the rest is sent.

    Example: `outreach tasks resume 3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11 leads.csv --wait`
    """
    from outreach_assets.command_line.task_client import ApiRefusedError  # noqa: PLC0415

    files = {"primary": file} | ({"baseline": baseline} if baseline else {})
    client = _client()
    try:
        found = client.process(task)  # perhaps only this was missing
    except ApiRefusedError as error:
        if error.code != "FILES_NOT_FOUND":
            raise
        missing = error.context.get("files", list(files))
        _upload(client, task, {name: files[name] for name in missing if name in files})
        found = client.process(task)
    _go_on(client, found, wait=wait, as_json=as_json)


@app.command("status")
def status_command(
    task: TaskId,
    *,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """How a task stands.

    Examples: `outreach tasks status 3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11` ·
    `outreach tasks status 3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11 --wait --json`
    """
    client = _client()
    found = client.show(task)
    _show(_waited(client, found) if wait else found, as_json=as_json)


@app.command("list")
def list_command(
    *,
    status: Annotated[str | None, typer.Option(help="Only these, such as FAILED.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="Only of this tool.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """Your tasks, the newest first.

    Examples: `outreach tasks list` · `outreach tasks list --status FAILED --json`
    """
    found = _client().newest(limit=limit, status=status, tool_id=tool)
    if as_json:
        print_json({"tasks": found})
        return
    for one in found:  # no table: it would fold the ids, which people copy
        typer.echo(f"{one['id']}  {one['status']:<13} {one['progress']:>3} %  {one['tool_id']}")


@app.command("download")
def download_command(task: TaskId, *, out: Out = None, as_json: AsJson = False) -> None:
    """The results of a completed task.

    Examples: `outreach tasks download 3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11` ·
    `outreach tasks download 3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11 --out june`
    """
    client = _client()
    results = client.downloads(task)
    with _bar("download", sum(one["size_bytes"] for one in results)) as moved:
        written = [client.download(one, out or Path(task), moved) for one in results]
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(str(path))


@app.command("cancel")
def cancel_command(task: TaskId, *, as_json: AsJson = False) -> None:
    """Stop a task; one that is being worked on is left within seconds.

    Example: `outreach tasks cancel 3f0c7a52-9f0f-4c55-8a53-8f6d1f1f6c11`
    """
    _show(_client().cancel(task), as_json=as_json)


def _client() -> "TaskClient":
    from outreach_assets.command_line.task_client import TaskClient  # noqa: PLC0415

    settings = load_settings()
    if settings.outreach_api_token is None:
        raise SettingsError("OUTREACH_API_TOKEN is not set: `outreach users add NAME` shows one")
    return TaskClient(
        url=settings.outreach_api_url, token=settings.outreach_api_token.get_secret_value()
    )


def _upload(client: "TaskClient", task_id: str, files: Mapping[str, Path]) -> None:
    """The files are there; when they are not, how to go on has been said."""
    from outreach_assets.command_line.part_client import PartSender  # noqa: PLC0415

    sizes = {name: path.stat().st_size for name, path in files.items()}
    small = {name: path for name, path in files.items() if sizes[name] <= LARGE_BYTES}
    with _bar("uploading", sum(sizes.values())) as moved:
        try:
            if small:
                client.upload(task_id, small, moved)
            for name in files.keys() - small.keys():
                PartSender(
                    client=client, task_id=task_id, name=name, path=files[name], moved=moved
                ).send()
        except BaseException:  # also on Ctrl-C
            words = " ".join(["FILE", *("--baseline FILE" for name in files if name == "baseline")])
            typer.echo(f"to go on: outreach tasks resume {task_id} {words}", err=True)
            raise


def _go_on(client: "TaskClient", task: "Shown", *, wait: bool, as_json: bool) -> None:
    if wait:
        typer.echo(f"task {task['id']}", err=True)
        task = _waited(client, task)
    _show(task, as_json=as_json)
    if wait and task["status"] != "COMPLETED":
        raise typer.Exit(FAILED)


def _waited(client: "TaskClient", task: "Shown") -> "Shown":
    """The task when it has ended."""
    from outreach_assets.command_line.task_client import ApiUnreachableError  # noqa: PLC0415

    heard_at = time.monotonic()
    with _bar(task["status"].lower(), 100) as moved:
        done = 0
        while task["status"] in OPEN:
            time.sleep(LOOK_EVERY_SECONDS)
            try:
                task = client.show(task["id"])
                heard_at = time.monotonic()
            except ApiUnreachableError:
                if time.monotonic() - heard_at > AWAY_SECONDS:
                    raise
            moved(task["progress"] - done)
            done = task["progress"]
    return task


def _show(task: "Shown", *, as_json: bool) -> None:
    if as_json:
        print_json(task)
        return
    typer.echo(f"{task['id']}  {task['tool_id']}  {task['status']}")
    if task["status"] in OPEN:
        typer.echo(f"{task['progress']} %  {task['stage']}")
    if task["error"]:
        typer.secho(f"{task['error']['detail']} ({task['error']['error_code']})", fg="red")
    for one in task["outputs"]:
        typer.echo(f"{one['name']:<28} {one['size_bytes']:>12,} bytes")
    if task["outputs"]:
        typer.echo(f"`outreach tasks download {task['id']}` brings them here")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere; on standard error."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    console = Console(stderr=True)
    shown = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:.0f} %"),
    )
    with Progress(*shown, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda more: progress.update(bar, advance=more)
