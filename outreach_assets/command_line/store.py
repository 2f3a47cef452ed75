"""`outreach store`: what lies in the object store."""

from pathlib import Path
from typing import Annotated

import typer

from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.show import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="What lies in the object store.")


@app.command("ls")
def list_command(
    prefix: Annotated[str, typer.Argument(help="Only keys that begin with this.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
) -> None:
    """The objects under a prefix.

    Examples: `outreach store ls` · `outreach store ls outreach/wv/ --json`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415

    found = list(build_store(load_settings()).list_objects(prefix))
    if as_json:
        print_json(
            {"objects": [{"key": o.key, "bytes": o.size_bytes, "at": o.modified_at} for o in found]}
        )
        return
    rows = [[o.key, o.size_bytes, f"{o.modified_at:%Y-%m-%d %H:%M:%S}"] for o in found]
    print_table(f"{len(found):,} objects", ["key", "bytes", "modified (UTC)"], rows)


@app.command("get")
def get_command(
    key: Annotated[str, typer.Argument(help="As `outreach store ls` shows it.")],
    target: Annotated[Path, typer.Argument(help="A file, or a folder to put it in.")] = Path(),
) -> None:
    """An object as a file, proven by its sha256.

    Example: `outreach store get outreach/wv/people/bad/people_bad.parquet .`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415

    path = target / key.rsplit("/", 1)[-1] if target.is_dir() else target
    found = build_store(load_settings()).get_file(key, path)
    typer.echo(f"{path}  {found.size_bytes:,} bytes  sha256 {found.sha256}")
